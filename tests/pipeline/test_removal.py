import errno
from pathlib import Path

import pytest

from weakseg.errors import ArtifactError
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.records import StageRecord, read_records, write_records
from weakseg.pipeline.removal import remove_half_written, remove_results


def make_run(root: Path) -> RunFolder:
    folder = RunFolder(root)
    (folder.root / "seeds").mkdir(parents=True)
    (folder.root / "seeds" / "a.npz").touch()
    (folder.root / "report.html").touch()
    write_records(folder, {name: StageRecord(True, name, {}) for name in ("localize", "report")})
    return folder


def test_a_stages_files_and_record_go_and_others_stay(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    left = remove_results(folder, [("localize", ("seeds", "never-made"))])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "run.json"]
    assert left.keys() == read_records(folder).keys() == {"report"}


@pytest.mark.parametrize(
    ("name", "code", "advice"),
    [
        ("report.html", errno.EROFS, "Read-only file system; .* choose another place"),
        ("report.html", errno.EACCES, "Permission denied; you may not write there"),
    ],
)
def test_what_cannot_be_removed_is_one_line(
    name: str, code: int, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(code, {errno.EROFS: "Read-only file system", errno.EACCES: "Permission denied"}[code], str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ArtifactError, match=f"cannot remove .*{name}: {advice}"):
        remove_results(folder, [("report", (name,))])
    (tmp_path / ".run.json.7.partial").touch()
    with pytest.raises(ArtifactError, match="cannot remove half-written files of"):
        remove_half_written(folder.root, ())
