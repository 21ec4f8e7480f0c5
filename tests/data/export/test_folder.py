import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.export.made_split import read_files
from weakseg.data.export.folder import JOURNAL, ExportFolder
from weakseg.data.images import read_image
from weakseg.errors import ArtifactError, DataError
from weakseg.files import write_text
from weakseg.types import Sample


def export(root: Path, *names: str, format: str = "voc") -> None:
    folder = ExportFolder(root, format=format)
    for name in names:
        write_text(folder.claim(name), f"new {name}")
    folder.finish()


def sample_of(path: Path) -> Sample:
    return Sample("a", path, np.zeros(1, np.uint8), np.ones(1, bool))


def write_photo(path: Path, *, orientation: int | None = None, size_hw: tuple[int, int] = (6, 9)) -> Path:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size_hw, 3), np.uint8))
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif)
    return path


def test_an_export_into_a_new_or_empty_folder(tmp_path: Path) -> None:
    export(tmp_path / "new" / "deep", "a.txt", "sub/b.txt")
    assert list(read_files(tmp_path / "new" / "deep")) == ["a.txt", "sub/b.txt"]
    (tmp_path / "empty").mkdir()
    export(tmp_path / "empty", "a.txt")
    assert list(read_files(tmp_path / "empty")) == ["a.txt"]


def test_an_earlier_export_is_replaced_and_what_it_had_more_is_removed(tmp_path: Path) -> None:
    export(tmp_path, "a.txt", "sub/deep/b.txt", "sub/c.txt")
    write_text(tmp_path / "a.txt", "old")
    export(tmp_path, "a.txt", "sub/c.txt")
    assert read_files(tmp_path) == {"a.txt": b"new a.txt", "sub/c.txt": b"new sub/c.txt"}
    assert not (tmp_path / "sub" / "deep").exists()


@pytest.mark.parametrize("foreign", ["notes.txt", "sub/notes.txt", ".hidden", ".x.12.partial"])
def test_a_folder_with_a_foreign_file_is_refused_and_left_alone(foreign: str, tmp_path: Path) -> None:
    export(tmp_path, "a.txt")
    write_text(tmp_path / "a.txt", "old")
    write_text(tmp_path / foreign, "mine")
    with pytest.raises(ArtifactError, match=rf"{foreign} exists, but .* does not tell that an export wrote it"):
        export(tmp_path, "a.txt")
    assert (tmp_path / foreign).read_text() == "mine"
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_that_no_export_made_is_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "out" / "photo.jpg", "mine")
    with pytest.raises(ArtifactError, match=r"photo\.jpg exists"):
        export(tmp_path / "out", "a.txt")
    with pytest.raises(ArtifactError, match=r"photo\.jpg is no folder; choose another --out"):
        export(tmp_path / "out" / "photo.jpg", "a.txt")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["out", "photo.jpg"]


def test_a_linked_folder_inside_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(ArtifactError, match="link exists"):
        export(tmp_path / "out", "a.txt")


def test_a_folder_holds_one_format(tmp_path: Path) -> None:
    export(tmp_path, "a.txt")
    with pytest.raises(ArtifactError, match="holds an export to 'voc', not 'coco'"):
        export(tmp_path, "a.txt", format="coco")


def test_a_killed_export_is_taken_up(tmp_path: Path) -> None:
    export(tmp_path, "a.txt")
    killed = ExportFolder(tmp_path, format="voc")
    write_text(killed.claim("b.txt"), "b")
    write_text(tmp_path / ".c.txt.77.partial", "half")
    killed.claim("c.txt")
    with (tmp_path / JOURNAL).open("a") as journal:
        journal.write('"d.t')  # killed while it entered a name
    export(tmp_path, "d.txt")
    assert list(read_files(tmp_path)) == ["d.txt"]
    assert [path.name for path in tmp_path.iterdir() if path.name[0] == "."] == [JOURNAL]


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / JOURNAL, "{}\n")
    with pytest.raises(ArtifactError, match=rf"{JOURNAL} is damaged"):
        export(tmp_path, "a.txt")


def test_the_journal_lists_the_files(tmp_path: Path) -> None:
    export(tmp_path, "b.txt", "sub/ü.txt")
    lines = (tmp_path / JOURNAL).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"format": "voc"}, "b.txt", "sub/ü.txt"]


def test_images_are_copied_byte_by_byte(tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "a.JPG")
    folder = ExportFolder(tmp_path / "out", format="voc")
    assert folder.add_image("images/x", sample_of(photo), size_hw=(6, 9)) == "images/x.JPG"
    assert (tmp_path / "out/images/x.JPG").read_bytes() == photo.read_bytes()
    assert not (tmp_path / "out/images/x.JPG").is_symlink()


def test_images_can_be_linked_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = write_photo(tmp_path / "a.jpg")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        folder = ExportFolder(Path("out"), format="voc", link_images=True)
        folder.add_image("x", sample_of(Path("a.jpg")), size_hw=(6, 9))
        folder.finish()
        assert (tmp_path / "out/x.jpg").readlink() == photo


@pytest.mark.parametrize("link", [False, True])
def test_an_image_that_exif_turns_is_written_upright(link: bool, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "a.jpg", orientation=6, size_hw=(6, 9))
    folder = ExportFolder(tmp_path / "out", format="voc", link_images=link)
    assert folder.add_image("x", sample_of(photo), size_hw=(9, 6)) == "x.png"
    with Image.open(tmp_path / "out" / "x.png") as written:
        assert not written.getexif()
        np.testing.assert_array_equal(np.asarray(written), read_image(photo))


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize(
    ("name", "written", "is_same"),
    [("a.JPG", "x.JPG", True), ("a.jfif", "x.jpg", True), ("a.JPE", "x.jpg", True), ("a.gif", "x.png", False)],
)
def test_an_image_that_readers_of_the_format_pass_over_has_another_name(
    name: str, written: str, is_same: bool, link: bool, tmp_path: Path
) -> None:
    photo = write_photo(tmp_path / name)
    folder = ExportFolder(tmp_path / "out", format="yolo-seg", link_images=link)
    assert folder.add_image("x", sample_of(photo), size_hw=(6, 9), suffixes=(".jpg", ".png")) == written
    assert ((tmp_path / "out" / written).read_bytes() == photo.read_bytes()) is is_same
    np.testing.assert_array_equal(read_image(tmp_path / "out" / written), read_image(photo))


def test_an_image_that_does_not_fit_its_mask_or_is_gone_is_named(tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "a.jpg")
    folder = ExportFolder(tmp_path / "out", format="voc")
    with pytest.raises(DataError, match=r"a\.jpg has \(6, 9\) pixels, its mask \(9, 6\)"):
        folder.add_image("x", sample_of(photo), size_hw=(9, 6))
    with pytest.raises(DataError, match=r"cannot read image .*gone\.jpg: there is no such file"):
        folder.add_image("x", sample_of(tmp_path / "gone.jpg"), size_hw=(9, 6))
