"""Files of a run, to be compared with those of another."""

import re
from pathlib import Path

VARYING = {"run.json", "weakseg.log"}
"""Hold times; every other file of a run is a function of recipe and data."""


def read_files(run: Path) -> dict[str, bytes]:
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and path.name not in VARYING
    }


def normalised(run: Path) -> dict[str, bytes]:
    """Files of a run with what names the run's own place blanked: paths and modification times; and durations."""
    files = read_files(run)
    files.pop("images.json")
    files["report.html"], count = re.subn(rb'<table class="times">.*?</table>', b"", files["report.html"], flags=re.S)
    assert count == 1
    for own in (str(run), run.name):  # its commands go on from the run's own folder
        files["report.html"] = files["report.html"].replace(own.encode(), b"RUN")
    return files


def assert_equal_runs(run: Path, whole: Path) -> None:
    ours, theirs = normalised(run), normalised(whole)
    assert ours.keys() == theirs.keys()
    for name, content in theirs.items():
        assert ours[name] == content, name
