"""Whose files are in a folder: a stage's in a run, a study's in its own. Both keep a record of what made them.

Files that no record tells of are left alone, files made otherwise are replaced only when that is asked for, and all
else is gone on with. Nothing is written before that is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from weakseg.errors import ArtifactError, ConfigError
from weakseg.files import JsonValue
from weakseg.pipeline.records import describe_changes


@dataclass(frozen=True)
class Claim:
    """What somebody who writes into a folder has to say of it.

    Args:
        who: Who writes, for messages: `stage 'refine'`.
        root: The folder.
        outputs: The files and folders that are its own; they need not exist.
        unknown: Said of files that no record tells of: `run.json does not tell that ... wrote it`.
        redo: What replaces files that were made otherwise: `--redo to replace it`.
        elsewhere: The option that chooses another folder.
    """

    who: str
    root: Path
    outputs: tuple[Path, ...]
    unknown: str
    redo: str
    elsewhere: str

    def require_own(self, *, is_recorded: bool) -> None:
        """Refuse to take over, or later to remove, what nobody is known to have written: a user's own `masks`.

        Args:
            is_recorded: Whether there is a record of its work; the files are then its own.

        Raises:
            ArtifactError: If there are files without a record.
        """
        found = [] if is_recorded else [path for path in self.outputs if path.exists()]
        if found:
            raise ArtifactError(
                f"{found[0]} exists, but {self.unknown}; move it away, or choose another {self.elsewhere}"
            )

    def refuse_changes(self, made: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue]) -> NoReturn:
        """Refuse to go on with files that were made otherwise.

        Args:
            made: What the record says they were made with, by name.
            wanted: What they are to be made with; something differs.

        Raises:
            ConfigError: Always; it names what differs.
        """
        raise ConfigError(
            f"{self.who} in {self.root} was made with other settings: {describe_changes(made, wanted)}; add "
            f"{self.redo}, or choose another {self.elsewhere}"
        )
