import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.errors import ArtifactError
from weakseg.ops.instances import Instances
from weakseg.refine.instance_files import load_instances, save_instances


def make_instances(count: int = 3, size_hw: tuple[int, int] = (5, 7), seed: int = 0) -> Instances:
    rng = np.random.default_rng(seed)
    masks = rng.random((count, *size_hw)) < 0.4
    masks[:, -1, -1] = True
    return Instances(masks, rng.integers(0, 80, count), rng.random(count, dtype=np.float32))


def rewrite(path: Path, **changes: np.ndarray | None) -> None:
    """Write a file of instances again with some of its entries replaced or, if None, left out."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files} | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, 4), height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
def test_what_was_saved_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, count: int, height: int, width: int, seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "instances" / "day 1" / "a.npz"
    saved = make_instances(count, (height, width), seed)
    save_instances(path, saved)
    loaded = load_instances(path)
    np.testing.assert_array_equal(loaded.masks, saved.masks)
    np.testing.assert_array_equal(loaded.keys, saved.keys)
    np.testing.assert_array_equal(loaded.scores, saved.scores)
    assert (loaded.masks.dtype, loaded.keys.dtype, loaded.scores.dtype) == (np.bool_, np.int64, np.float32)


def test_equal_instances_give_equal_bytes_and_small_files(tmp_path: Path) -> None:
    masks = np.zeros((5, 375, 500), np.bool_)
    for index, mask in enumerate(masks):
        mask[40 * index : 40 * index + 90, 60 * index : 60 * index + 120] = True
    instances = Instances(masks, np.arange(5), np.ones(5, np.float32))
    for name in ("a.npz", "b.npz"):
        save_instances(tmp_path / name, instances)
    content = (tmp_path / "a.npz").read_bytes()
    assert content == (tmp_path / "b.npz").read_bytes()
    assert len(content) < 5000


def test_a_missing_file_names_the_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"expected instances at .*gone\.npz.*run the stage 'refine'"):
        load_instances(tmp_path / "gone.npz")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"scores": None}, "scores"),
        ({"keys": np.zeros(2, np.int64)}, r"bits \(2, 5\) uint8, got \(3, 5\) uint8"),
        ({"bits": np.zeros((3, 5), np.int64)}, r"got \(3, 5\) int64"),
        ({"bits": np.zeros((3, 5), np.uint8)}, r"these masks are empty: \[0, 1, 2\]"),
        ({"scores": np.full(3, np.nan, np.float32)}, "lie in 0..1"),
        ({"keys": np.full(3, 254)}, r"0..253"),
        ({"keys": np.zeros(3)}, "int64 keys"),
        ({"size_hw": np.array([5, 99])}, r"bits \(3, 62\)"),
        ({"size_hw": np.array([-5, -7])}, r"damaged"),
        ({"size_hw": np.array([5])}, "damaged"),
        ({"keys": np.array(3)}, "damaged"),
        ({"keys": np.array([None] * 3)}, "damaged"),
    ],
)
def test_damaged_entries_are_told(tmp_path: Path, changes: dict[str, np.ndarray | None], text: str) -> None:
    path = tmp_path / "a.npz"
    save_instances(path, make_instances())
    rewrite(path, **changes)
    with pytest.raises(ArtifactError, match=text) as caught:
        load_instances(path)
    assert f"instances {path} are damaged" in str(caught.value)
    assert "delete the file and run 'refine' again" in str(caught.value)


def test_damaged_bytes_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save_instances(path, make_instances(size_hw=(50, 70)))
    whole = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        packed = archive.getinfo("bits.npy").header_offset + 60
    for content in (b"", b"no archive", whole[:-30], whole[:packed] + bytes(40) + whole[packed + 40 :]):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="are damaged"):
            load_instances(path)
