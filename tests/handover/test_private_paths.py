"""What is handed over keeps the last part of a path, and no folder before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.handover.bundle import strip_path, strip_paths, strip_text

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/me/a b/res50.pth", "res50.pth"),
        ("/home/me/photos/", "photos"),
        ("~/photos", "photos"),
        ("../photos", "photos"),
        ("./photos/a", "a"),
        ("D:\\data\\res.pth", "res.pth"),
        ("\\\\server\\share\\x", "x"),
        ("hf:/home/me/segformer", "hf:segformer"),
        ("hf:nvidia/mit-b0", "hf:nvidia/mit-b0"),
        ("lists/train.txt", "lists/train.txt"),
        ("imagenet", "imagenet"),
        ("", ""),
    ],
)
def test_a_path_is_cut_to_its_last_part(text: str, expected: str) -> None:
    assert strip_path(text) == expected


def test_paths_within_a_sentence_are_cut_and_fractions_are_not() -> None:
    text = "seeds of 3/4 images from '/home/me/x.pth' and ~/y/z, C:\\a\\b; cats and/or dogs, 5 km/h"
    assert strip_text(text) == "seeds of 3/4 images from 'x.pth' and z, b; cats and/or dogs, 5 km/h"


def test_names_of_classes_stay_whatever_they_look_like() -> None:
    values = {"classes": ["/m/0bt9lr"], "from": {"path": "/a/b", "rates": [1, None, "/c/d"]}}
    assert strip_paths(values) == {"classes": ["/m/0bt9lr"], "from": {"path": "b", "rates": [1, None, "d"]}}


parts = st.text("abcXYZ019_-", min_size=1, max_size=8)


@given(root=st.sampled_from(["/", "~/", "../", "C:\\"]), folders=st.lists(parts, max_size=4), last=parts)
def test_no_folder_of_a_private_path_is_left(root: str, folders: list[str], last: str) -> None:
    separator = "\\" if "\\" in root else "/"
    path = root + separator.join([*folders, last])
    assert strip_path(path) == last
    assert strip_path(strip_path(path)) == last
    if folders:
        assert strip_text(f"read {path}, then stopped") == f"read {last}, then stopped"
