"""The exception family: every error a user can cause is a `WeaksegError`.

A message says what was expected, what arrived, where, and what to do. The command line prints it as one line.
"""


class WeaksegError(Exception):
    """Base of every error the package raises on purpose."""


class ConfigError(WeaksegError):
    """A recipe or a command-line override is wrong."""


class DataError(WeaksegError):
    """A file or folder the user gave cannot be used as it is."""


class UnknownImage(DataError, KeyError):
    """There is no image of that id; also a `KeyError`, as mappings by id are expected to raise."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would put it in quotes


class ShapeError(WeaksegError):
    """An array or tensor has the wrong shape, dtype or range."""


class ArtifactError(WeaksegError):
    """A run folder, checkpoint or downloaded file is missing, damaged or does not fit."""


class MissingExtra(WeaksegError):
    """An optional dependency is needed; the message names the extra to install."""


class UsageError(WeaksegError):
    """The command line itself is wrong: an unknown verb or option, or a missing argument."""


class PeerFailed(WeaksegError):
    """Another process of the same run has failed and says why; this one ends without a word."""
