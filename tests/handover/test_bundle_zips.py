"""Zips that are no bundle, are damaged, or would fill the disk: each is refused in a line."""

import zipfile
from pathlib import Path

import pytest

from weakseg.errors import ArtifactError
from weakseg.predict.opened import open_model

pytestmark = pytest.mark.slow


def test_a_zip_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("no zip")
    with pytest.raises(ArtifactError, match=r"a\.zip: not a readable zip file"):
        open_model(tmp_path / "a.zip", device="cpu")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("x/../../bundle.json", "{}")
        archive.writestr("x/recipe.yaml", "")
    with pytest.raises(ArtifactError, match=r"b\.zip: expected a bundle .* but it lacks bundle\.json"):
        open_model(tmp_path / "b.zip", device="cpu")
    assert not (tmp_path.parent / "bundle.json").exists()


def test_a_zip_that_was_packed_anew_and_damaged_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/bundle.json", "{}" * 1000)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    start = content.index(b"x/bundle.json") + len("x/bundle.json")
    content[start : start + 8] = b"\xff" * 8
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"a\.zip: not a readable zip file \(.*\); copy it again"):
        open_model(tmp_path / "a.zip", device="cpu")


@pytest.mark.parametrize(
    ("name", "size", "packing", "message"),
    [
        (
            "segmenter/model.safetensors",
            17 << 20,
            zipfile.ZIP_DEFLATED,
            r"would take 17825792 bytes, expected 16777216",
        ),
        ("recipe.yaml", (1 << 20) + 1, zipfile.ZIP_DEFLATED, r"would take 1048577 bytes, expected 1048576 at most"),
        ("bundle.json", (1 << 20) + 1, zipfile.ZIP_STORED, r"would take 1048577 bytes"),
        ("bundle.json", 9, zipfile.ZIP_LZMA, r"is packed in another way"),
    ],
)
def test_a_zip_that_would_fill_the_disk_is_refused_before_it_is_unpacked(
    name: str, size: int, packing: int, message: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", packing) as archive:
        archive.writestr(f"a/{name}", bytes(size))
    with pytest.raises(ArtifactError, match=message):
        open_model(tmp_path / "a.zip", device="cpu")


def test_a_zip_that_says_too_little_of_its_size_is_damaged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/recipe.yaml", bytes(3 << 20))
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace((3 << 20).to_bytes(4, "little"), (9).to_bytes(4, "little")))
    with pytest.raises(ArtifactError, match=r"not a readable zip file \(Bad CRC"):
        open_model(tmp_path / "a.zip", device="cpu")
