import unicodedata

import pytest

from weakseg.data.matching import Closeness, ImageNames, Match, match_names


def names_of(*paths: str) -> ImageNames:
    return ImageNames({path.rpartition(".")[0]: (path,) for path in paths})


@pytest.mark.parametrize(
    ("written", "files", "meant"),
    [
        # the whole path, with or without the suffix, and with another one
        ("images/a.jpg", ["images/a.jpg", "a.jpg"], ["images/a"]),
        ("images/a", ["images/a.jpg", "a.jpg"], ["images/a"]),
        ("a.png", ["images/a.jpg", "a.jpg"], ["a"]),
        (".\\images\\a.jpg", ["images/a.jpg"], ["images/a"]),
        # the ending of a path
        ("a.jpg", ["images/a.jpg", "images/ba.jpg"], ["images/a"]),
        ("a", ["images/a.jpg", "images/ba.jpg"], ["images/a"]),
        ("x/a", ["images/x/a.jpg", "images/y/a.jpg"], ["images/x/a"]),
        ("C:\\set\\images\\a.jpg", ["images/a.jpg", "images/b.jpg"], ["images/a"]),
        ("a.jpg", ["x/a.jpg", "y/a.jpg"], ["x/a", "y/a"]),
        # the stem, without regard to case or the form of letters
        ("A.JPG", ["images/a.jpg"], ["images/a"]),
        ("other/a.jpg", ["images/a.jpg"], ["images/a"]),
        (unicodedata.normalize("NFD", "BÄR.png"), ["images/bär.jpg"], ["images/bär"]),
        ("A", ["x/a.jpg", "y/a.jpg"], ["x/a", "y/a"]),
        # names with spaces and points in them
        ("img 1 .jpg", ["img 1 .jpg", "img 1.jpg"], ["img 1 "]),
        (" a.jpg ", ["images/a.jpg"], ["images/a"]),
        ("v1.2", ["images/v1.2.jpg"], ["images/v1.2"]),
        ("c.jpg", ["c.jpg.png", "x/c.jpg"], ["c.jpg"]),
        ("b.jpg", ["images/a.jpg"], []),
    ],
)
def test_a_name_means_the_image_whose_path_it_is_ends_or_is_called_so(
    written: str, files: list[str], meant: list[str]
) -> None:
    assert list(names_of(*files).find(written).ids) == meant


def test_closeness_tells_how_sure_it_is() -> None:
    images = names_of("images/a.jpg")
    found = [images.find(name) for name in ("images/a", "a", "A", "b")]
    assert [match.closeness for match in found] == list(Closeness)
    assert found[3] == Match(Closeness.NONE, ())


def test_sure_names_come_before_loose_ones() -> None:
    matches = match_names(["old/a.jpg", "images/a.jpg"], names_of("images/a.jpg"), source="tags.csv")
    assert matches.ids == {"images/a.jpg": "images/a"}
    assert [(p.kind, p.where) for p in matches.problems] == [("missing-image", "old/a.jpg")]


def test_two_loose_names_of_one_stem_mean_nothing() -> None:
    matches = match_names(["cat/1.jpg", "dog/1.jpg"], names_of("images/1.jpg"), source="tags.csv")
    assert matches.ids == {}
    assert [p.kind for p in matches.problems] == ["missing-image", "missing-image"]


def test_what_fits_nothing_or_several_is_named_with_the_nearest_files() -> None:
    images = names_of("x/a.jpg", "y/a.jpg", "x/img01.jpg", "x/img02.jpg", "x/img03.jpg", "x/img04.jpg")
    matches = match_names(["a.jpg", "img1.jpg"], images, source="tags.csv")
    assert [p.message for p in matches.problems] == [
        "tags.csv names 'a.jpg', which may be any of 2 images (x/a.jpg, y/a.jpg); it is left out, write its folder too",
        "tags.csv names 'img1.jpg', but there is no such image below the root; it is left out "
        "(nearest: x/img01.jpg, x/img04.jpg, x/img03.jpg)",
    ]


def test_several_names_may_mean_one_image_unless_one_has_another_suffix() -> None:
    matches = match_names(["a", "a.jpg", "a.png"], names_of("images/a.jpg"), source="tags.csv")
    assert matches.ids == {"a": "images/a", "a.jpg": "images/a"}
    assert [(p.kind, p.where) for p in matches.problems] == [("missing-image", "a.png")]


def test_a_file_of_another_suffix_counts_for_its_image() -> None:
    images = ImageNames({"a": ("a.jpg", "a.png")})
    assert images.find("a.png") == images.find("a.jpg") == Match(Closeness.WHOLE, ("a",))
    assert images.path_of("a") == "a.jpg"


def test_only_some_names_get_suggestions() -> None:
    matches = match_names([f"z{n}" for n in range(30)], names_of("a.jpg"), source="tags.csv")
    assert sum("nearest" in problem.message for problem in matches.problems) == 20
