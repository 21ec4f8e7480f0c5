import os
from pathlib import Path

import pytest

from tests.data.layouts import write_image
from weakseg.data.scan import find_images, image_id
from weakseg.errors import DataError


def test_images_anywhere_below_get_their_path_as_id(tmp_path: Path) -> None:
    for name in ("b.JPG", "sub/deeper/a.png", "sub/x.y.webp", "Ünique ä.bmp"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    found = find_images(tmp_path)
    assert list(found.paths) == ["b", "sub/deeper/a", "sub/x.y", "Ünique ä"]
    assert found.paths["sub/deeper/a"] == tmp_path / "sub" / "deeper" / "a.png"
    assert found.problems == ()


def test_hidden_and_skipped_folders_are_passed_over(tmp_path: Path) -> None:
    hidden = (".cache/a.png", ".d.png", "sub/.git/e.png", "__MACOSX/f.png", "sub/@eaDir/g.png/h.png")
    for name in (*hidden, "masks/b.png", "sub/masks/c.png"):
        write_image(tmp_path / name)
    assert list(find_images(tmp_path, skip=("masks",)).paths) == ["sub/masks/c"]


def test_files_that_differ_in_their_suffix_only_share_an_id(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.jpeg"):
        write_image(tmp_path / name)
    found = find_images(tmp_path)
    assert found.paths == {"a": tmp_path / "a.jpeg"}
    assert found.rivals == {"a": tuple(tmp_path / name for name in ("a.jpeg", "a.jpg", "a.png"))}
    assert [(p.severity, p.kind, p.where) for p in found.problems] == [("warning", "same-id", "a")] * 2
    assert "a.jpg has the same id as a.jpeg" in found.problems[0].message


def test_formats_that_are_not_read_are_counted_by_suffix(tmp_path: Path) -> None:
    for name in ("a.dng", "b.DNG", "sub/c.svg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_images(tmp_path)
    assert found.others == ("a.dng", "b.DNG", "sub/c.svg")
    assert [(p.severity, p.kind, p.message) for p in found.problems] == [
        ("warning", "other-format", "2 files end in .dng, which is not read here; convert them to JPEG or PNG"),
        ("warning", "other-format", "1 file ends in .svg, which is not read here; convert them to JPEG or PNG"),
    ]


def test_pipes_and_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    write_image(tmp_path / "real" / "a.png")
    os.mkfifo(tmp_path / "b.jpg")
    (tmp_path / "c.jpg").symlink_to("/dev/zero")
    (tmp_path / "d.jpg").symlink_to("gone.jpg")
    (tmp_path / "e.png").symlink_to(tmp_path / "real" / "a.png")
    found = find_images(tmp_path)
    assert list(found.paths) == ["e", "real/a"]
    assert sorted((p.kind, p.where) for p in found.problems) == [
        ("not-a-file", "b.jpg"),
        ("not-a-file", "c.jpg"),
        ("not-a-file", "d.jpg"),
    ]


def test_names_that_cannot_be_ids_are_left_out_and_named(tmp_path: Path) -> None:
    write_image(tmp_path / "back\\slash.png")
    os.close(os.open(os.fsencode(tmp_path) + b"/latin-\xe9.jpg", os.O_CREAT | os.O_WRONLY))
    found = find_images(tmp_path)
    assert found.paths == {}
    assert [(p.kind, p.where.isascii()) for p in found.problems] == [("bad-id", True)] * 2


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone is not a folder"):
        find_images(tmp_path / "gone")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("a.jpg", "a"),
        ("./sub/a.JPEG", "sub/a"),
        ("/sub/a", "sub/a"),
        ("sub\\a.png", "sub/a"),
        ("sub\\\\a.png", "sub/a"),
        ("sub//./a.png", "sub/a"),
        ("v1.2", "v1.2"),
        ("a.png.jpg", "a.png"),
        (" a ", "a"),
    ],
)
def test_written_paths_become_ids(entry: str, expected: str) -> None:
    assert image_id(entry) == expected
