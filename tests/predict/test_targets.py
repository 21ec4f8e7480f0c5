import os
from pathlib import Path

import pytest

from tests.predict.made_model import write_photo
from weakseg.errors import DataError, UsageError
from weakseg.predict.targets import OutputFiles, list_targets


def names(inputs: list[str | Path], out: Path) -> list[str]:
    return list(list_targets(inputs, files=OutputFiles(out)).paths)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.jpg", "sub/deep/b.PNG", "sub/c.d.png", "sub/e[1].jpg"):
        write_photo(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").touch()
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a"]),
        ("*", ["a"]),
        ("**", ["a", "sub/c.d", "sub/deep/b", "sub/e[1]"]),
        ("**/*.png", ["sub/c.d"]),
        ("*/*.[pj][np]g", ["c.d", "e[1]"]),
        ("sub/?.d.png", ["c.d"]),
        ("sub/*/*", ["deep/b"]),
    ],
)
def test_a_pattern_the_shell_left_alone_names_images_from_its_first_wildcard_on(
    pattern: str, expected: list[str], photos: Path, tmp_path: Path
) -> None:
    found = names([f"{photos}/{pattern}"], tmp_path / "out")
    assert found == ([f"sub/{name}" for name in expected] if pattern == "*/*.[pj][np]g" else expected)


def test_a_pattern_relative_to_the_working_folder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    assert names(["*/*.png"], tmp_path / "out") == ["sub/c.d"]
    assert names(["a.*"], tmp_path / "out") == ["a"]


def test_a_file_that_is_called_like_a_pattern_is_that_file(photos: Path, tmp_path: Path) -> None:
    assert names([photos / "sub" / "e[1].jpg"], tmp_path / "out") == ["e[1]"]


def test_a_pattern_without_a_match_is_named(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"no image \(\.jpg, .*\) is called like '{photos}/\*\.tif'"):
        names([f"{photos}/*.tif"], tmp_path)
    with pytest.raises(DataError, match="is called like"):
        names([f"{photos}/*.txt"], tmp_path)


def test_results_that_lie_below_an_input_are_no_inputs(photos: Path) -> None:
    write_photo(photos / "results" / "old.png")
    assert names([f"{photos}/*/*"], photos / "results") == ["sub/c.d", "sub/e[1]"]
    assert "results/old" not in names([photos], photos / "results")
    assert "results/old" in names([photos], photos / "elsewhere")


def test_photographs_below_the_folder_to_write_to_are_inputs(tmp_path: Path) -> None:
    write_photo(tmp_path / "photos" / "a.jpg")
    assert names([tmp_path / "photos"], tmp_path) == ["a"]
    assert names([tmp_path], tmp_path) == ["photos/a"]


def test_an_image_that_is_given_twice_is_predicted_once(photos: Path, tmp_path: Path) -> None:
    assert names([photos / "a.jpg", f"{photos}/*.jpg", photos / "a.jpg"], tmp_path / "out") == ["a"]


@pytest.mark.parametrize(
    ("files", "inputs", "expected"),
    [
        (("x/a.jpg", "x/a.png", "x/b.jpg"), ["x"], ["a.jpg", "a.png", "b"]),
        (("x/a.jpg", "x/a.png"), ["x/*"], ["a.jpg", "a.png"]),
        (("x/a.jpg", "x/a.JPG", "x/A.jpg"), ["x"], ["A", "a.JPG", "a.jpg"]),
        (("x/s/a.jpg", "x/s/a.png", "x/a.gif"), ["x"], ["a", "s/a.jpg", "s/a.png"]),
        (("x/a.jpg", "y/a.png"), ["x", "y"], ["a.jpg", "a.png"]),
        (("x/a.jpg", "y/a.png"), ["x/a.jpg", "y/a.png"], ["a.jpg", "a.png"]),
    ],
)
def test_images_that_differ_in_their_suffix_only_keep_it(
    files: tuple[str, ...], inputs: list[str], expected: list[str], tmp_path: Path
) -> None:
    for name in files:
        write_photo(tmp_path / name)
    assert sorted(names([f"{tmp_path}/{given}" for given in inputs], tmp_path / "out")) == expected


@pytest.mark.parametrize("inputs", [["x", "y"], ["x/a.jpg", "y/a.jpg"]])
def test_two_images_of_one_name_and_suffix_are_refused(inputs: list[str], tmp_path: Path) -> None:
    one, other = write_photo(tmp_path / "x" / "a.jpg"), write_photo(tmp_path / "y" / "a.jpg")
    with pytest.raises(
        DataError, match=rf"{one} and {other} would both be written as 'a\.jpg\.png'; predict them by two"
    ):
        names([f"{tmp_path}/{given}" for given in inputs], tmp_path / "out")


def test_a_name_with_a_suffix_may_be_taken_too(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.jpg.gif"):
        write_photo(tmp_path / "x" / name)
    with pytest.raises(DataError, match=r"would both be written as 'a\.jpg\.png'"):
        names([tmp_path / "x"], tmp_path / "out")


def test_earlier_results_among_the_images_are_not_taken_for_images(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg")
    result = write_photo(tmp_path / "a.png")
    with pytest.raises(DataError, match=rf"{result} is where a result would be written, or an earlier one; choose"):
        names([tmp_path], tmp_path)


def test_results_of_different_images_never_share_a_file(tmp_path: Path) -> None:
    one, other = write_photo(tmp_path / "a.jpg"), write_photo(tmp_path / "a_confidence.jpg")
    with pytest.raises(DataError, match=rf"results of {one} and {other} would both be written to .*a_confidence\.png"):
        names([one, other], tmp_path / "out")
    kinds = OutputFiles(tmp_path / "out", ("mask", "summary"))
    assert list(list_targets([one, other], files=kinds).paths) == ["a", "a_confidence"]


@pytest.mark.parametrize("name", ["a.png", "sub/a.png"])
def test_an_image_is_never_replaced_by_its_mask(name: str, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / name)
    with pytest.raises(DataError, match=rf"{photo} is one of the images and would be replaced by a result"):
        names([tmp_path], tmp_path)


def test_an_image_is_never_replaced_by_the_overlay_of_another(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg")
    write_photo(tmp_path / "a_overlay.jpg")
    with pytest.raises(DataError, match=r"a_overlay\.jpg is one of the images and would be replaced"):
        names([tmp_path], tmp_path)


def test_a_file_given_by_name_may_have_any_suffix_but_a_folder_is_searched_for_photographs(tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "photo.png").rename(tmp_path / "photo.picture")
    assert names([photo], tmp_path / "out") == ["photo"]
    with pytest.raises(DataError, match=rf"no images \(\.jpg, .*\) in {tmp_path}"):
        names([tmp_path], tmp_path / "out")


@pytest.mark.parametrize("given", ["{}", "{}/**", "{}/*"])
@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("IMG_1.jpg", True),
        ("IMG_1.JFIF", True),
        ("IMG_1.gif", True),
        ("._IMG_1.jpg", False),
        (".hidden.png", False),
        (".thumbnails/IMG_1.jpg", False),
        ("@eaDir/IMG_1.jpg", False),
        ("__MACOSX/IMG_1.jpg", False),
        ("notes.txt", False),
    ],
)
def test_what_training_does_not_see_is_not_predicted_either(given: str, name: str, taken: bool, tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "new"  # only what lies below the input counts as hidden
    write_photo(folder / "other.png")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes((folder / "other.png").read_bytes())
    found = list_targets([given.format(folder)], files=OutputFiles(tmp_path / "out"))
    assert list(found.paths) == sorted(["other", *([name.rpartition(".")[0]] if taken else [])])
    assert found.passed_over == ()


def test_pictures_that_are_not_read_and_pipes_are_passed_over_by_name(tmp_path: Path) -> None:
    new = tmp_path / "new"
    write_photo(new / "a.jpg")
    for name in ("b.DNG", "sub/c.svg", "film.mov"):
        (new / name).parent.mkdir(exist_ok=True)
        (new / name).touch()
    os.mkfifo(new / "d.jpg")
    (new / "e.png").symlink_to("/dev/zero")
    (new / "f.png").symlink_to("gone.png")
    for inputs in ([new], [f"{new}/**"], [new, new / "d.jpg", f"{new}/**"]):
        found = list_targets(inputs, files=OutputFiles(tmp_path / "out"))
        assert list(found.paths) == ["a"]
        told = {picture.image.relative_to(new).as_posix(): picture.problem for picture in found.passed_over}
        assert list(told) == ["b.DNG", "d.jpg", "e.png", "f.png", "film.mov", "sub/c.svg"]
        assert told["b.DNG"] == ".dng is not read here; convert them to JPEG or PNG"
        assert told["film.mov"] == ".mov is not read here; save frames of them as JPEG or PNG"
        assert all("not a regular file" in told[name] for name in ("d.jpg", "e.png", "f.png"))


def test_a_folder_of_nothing_but_other_formats_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.dng").touch()
    with pytest.raises(DataError, match=r"no images .*; 1 passed over, such as .*a\.dng: \.dng is not read here"):
        names([tmp_path], tmp_path / "out")


def test_an_input_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"there is no file or folder {tmp_path / 'gone'}"):
        names([tmp_path / "gone"], tmp_path)


def test_an_output_that_does_not_exist_is_named() -> None:
    with pytest.raises(UsageError, match=r"--outputs: there is no output 'overlays'; did you mean 'overlay'\?"):
        OutputFiles(Path("out"), ("mask", "overlays"))
    with pytest.raises(
        UsageError, match="--outputs: expected one or more of mask,overlay,confidence,summary, got none"
    ):
        OutputFiles(Path("out"), ())


def test_only_what_is_asked_for_has_a_place() -> None:
    files = OutputFiles(Path("out"), ("confidence",))
    assert files.pictures("sub/a") == {"confidence": Path("out/sub/a_confidence.png")}
    assert files.summary is None
    assert OutputFiles(Path("out")).summary == Path("out/summary.json")


@pytest.mark.parametrize(
    ("files", "given", "expected", "told"),
    [
        (["roll[2]/a.jpg"], "roll[2]/*.jpg", ["a"], {}),
        (["roll[2]/x/a.jpg", "roll2/b.jpg"], "roll[2]/*/*.jpg", ["x/a"], {}),
        (["a.jpg", "b\\c.jpg"], "", ["a"], {"b\\c.jpg": "its name holds a backslash; rename it"}),
        (["a.jpg", "b\\c.jpg"], "*.jpg", ["a"], {"b\\c.jpg": "its name holds a backslash; rename it"}),
        (["a.jpg", "b.ico"], "", ["a"], {"b.ico": ".ico is not read here; convert them to JPEG or PNG"}),
        (["a.jpg", "b/c.jpg"], "link", ["a"], {"link/d": "a link to a folder, which is not followed"}),
    ],
)
def test_names_that_file_systems_take_are_predicted_or_named(
    files: list[str], given: str, expected: list[str], told: dict[str, str], tmp_path: Path
) -> None:
    root = tmp_path / "new"
    base = root / "link" if given == "link" else root
    for name in files:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).touch()
    if given == "link":
        (base / "b").rename(tmp_path / "b")
        (base / "d").symlink_to(tmp_path / "b")
    found = list_targets([f"{root}/{given}"], files=OutputFiles(tmp_path / "out"))
    assert list(found.paths) == expected
    problems = {picture.image.relative_to(root).as_posix(): picture.problem for picture in found.passed_over}
    assert problems.keys() == told.keys()
    assert all(problems[name].startswith(problem) for name, problem in told.items())


@pytest.mark.parametrize("given", ["x" * 300 + ".jpg", "x" * 300 + "/a.jpg", "*" + "x" * 300])
def test_a_name_that_no_file_system_takes_is_there_not(given: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file or folder x|is called like '\*x"):
        names([given], tmp_path / "out")


def test_a_result_that_would_be_the_folder_of_others_is_told_before_the_work(tmp_path: Path) -> None:
    write_photo(tmp_path / "new" / "a.jpg")
    write_photo(tmp_path / "new" / "a.png" / "b.jpg")
    with pytest.raises(DataError, match=r"a\.png would be a result of .*a\.jpg, and the folder of those of .*b\.jpg"):
        names([tmp_path / "new"], tmp_path / "out")
