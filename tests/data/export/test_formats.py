from pathlib import Path

import pytest

from tests.data.export.made_split import make_split, read_files
from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.formats import FORMATS


@pytest.mark.parametrize("name", FORMATS)
def test_exporting_again_changes_nothing_and_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    split = make_split(tmp_path / "photos")
    contents = []
    for _ in range(2):
        folder = ExportFolder(tmp_path / "out", format=name)
        FORMATS[name].write(split, folder)
        folder.finish()
        contents.append(read_files(tmp_path / "out"))
    assert contents[0] == contents[1] != {}
    assert not list((tmp_path / "out").rglob("*.partial"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_says_whether_it_holds_the_images(name: str, tmp_path: Path) -> None:
    split = make_split(tmp_path / "photos")
    folder = ExportFolder(tmp_path / "out", format=name, link_images=True)
    FORMATS[name].write(split, folder)
    links = [path for path in (tmp_path / "out").rglob("*") if path.is_symlink()]
    assert len(links) == (len(split.samples) if FORMATS[name].holds_images else 0)
