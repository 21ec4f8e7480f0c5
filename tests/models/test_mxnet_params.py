import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from weakseg.errors import ArtifactError
from weakseg.models.mxnet_params import read_mxnet_params

FLAGS = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4}


def pack_array(array: NDArray[np.generic], version: str = "v2", *, storage: int = 0) -> bytes:
    """Write one array as MXNet of a given age does: `v2` (1.0 and later), `v1` (0.11) or `legacy`."""
    if version == "v2":
        head = struct.pack("<Iii", 0xF993FAC9, storage, array.ndim)
    elif version == "v1":
        head = struct.pack("<Ii", 0xF993FAC8, array.ndim)
    else:
        head = struct.pack("<I", array.ndim)
    dimensions = struct.pack(f"<{array.ndim}{'I' if version == 'legacy' else 'q'}", *array.shape)
    device, dtype = struct.pack("<ii", 1, 0), struct.pack("<i", FLAGS[array.dtype.name])
    return head + dimensions + device + dtype + array.astype(array.dtype.newbyteorder("<")).tobytes()


def pack_list(arrays: Sequence[bytes], names: Sequence[str]) -> bytes:
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays)), *arrays, struct.pack("<Q", len(names))]
    for name in names:
        parts += [struct.pack("<Q", len(name.encode())), name.encode()]
    return b"".join(parts)


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.params"


@pytest.mark.parametrize("version", ["v2", "v1", "legacy"])
def test_arrays_of_every_age_are_read(path: Path, version: str) -> None:
    weight = np.arange(24, dtype=np.float32).reshape(2, 3, 4, 1)
    mean = np.array([0.5, -1.0], np.float16)
    save(path, pack_list([pack_array(weight, version), pack_array(mean, version)], ["arg:conv", "aux:mean"]))
    tensors = read_mxnet_params(path)
    assert list(tensors) == ["conv", "mean"]
    assert torch.equal(tensors["conv"], torch.from_numpy(weight))
    assert torch.equal(tensors["mean"], torch.tensor([0.5, -1.0], dtype=torch.float16))


def test_a_file_written_by_hand_is_read(path: Path) -> None:
    """One array of the years before 0.11, (1, 2), float32, on GPU 3, of the name `w`, as bytes."""
    content = bytes.fromhex(
        "1201000000000000" "0000000000000000" "0100000000000000"
        "02000000" "01000000" "02000000" "02000000" "03000000" "00000000" "0000803f" "000000c0"
        "0100000000000000" "0100000000000000" "77"
    )  # fmt: skip
    assert read_mxnet_params(save(path, content))["w"].tolist() == [[1.0, -2.0]]


@given(
    arrays=st.lists(
        hnp.arrays(
            st.sampled_from([np.float16, np.float32, np.float64]),
            hnp.array_shapes(min_dims=1, max_dims=4, max_side=3),
            elements=st.floats(-4, 4, width=16),
        ),
        min_size=1,
        max_size=4,
    ),
    version=st.sampled_from(["v2", "v1", "legacy"]),
)
@settings(max_examples=40, deadline=None)
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, arrays: list[NDArray[np.floating]], version: str
) -> None:
    names = [f"arg:größe_{index}" for index in range(len(arrays))]
    path = tmp_path_factory.mktemp("p") / "a.params"
    tensors = read_mxnet_params(save(path, pack_list([pack_array(array, version) for array in arrays], names)))
    for name, array in zip(names, arrays, strict=True):
        found = tensors[name.removeprefix("arg:")].numpy()
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)


def test_tensors_own_writable_memory(path: Path) -> None:
    tensors = read_mxnet_params(save(path, pack_list([pack_array(np.ones(3, np.float32))], ["a"])))
    tensors["a"][0] = 7.0
    assert tensors["a"].tolist() == [7.0, 1.0, 1.0]


def test_a_file_cut_short_anywhere_is_refused(path: Path) -> None:
    arrays = [pack_array(np.ones((2, 3), np.float32)), pack_array(np.ones(2, np.float16), "legacy")]
    whole = pack_list(arrays, ["arg:a", "aux:b"])
    for length in range(len(whole)):
        with pytest.raises(ArtifactError, match=r"net\.params: (damaged|no \.params file)"):
            read_mxnet_params(save(path, whole[:length]))


def test_where_a_file_ends_too_early_is_told(path: Path) -> None:
    whole = pack_list([pack_array(np.ones(5, np.float32))], ["a"])
    array_end = len(whole) - len("a") - 16
    with pytest.raises(ArtifactError, match=r"ends within array 0: 20 bytes expected at 56, 19 are left; copy it"):
        read_mxnet_params(save(path, whole[: array_end - 1]))


def test_bytes_after_the_end_are_refused(path: Path) -> None:
    whole = pack_list([pack_array(np.ones(5, np.float32))], ["a"])
    with pytest.raises(ArtifactError, match="goes on for 2 bytes after its last name"):
        read_mxnet_params(save(path, whole + b"xy"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(60), b"\x80\x02" + bytes(60), bytes(64)])
def test_foreign_files_are_named(path: Path, content: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"no \.params file of MXNet, which begins with 0x112"):
        read_mxnet_params(save(path, content))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no MXNet weights at .*absent\.params: expected a \.params file"):
        read_mxnet_params(tmp_path / "absent.params")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pack_array(np.ones(3, np.float32), storage=1), r"array 0 is stored as kind 1; expected dense arrays, kind 0"),
        (pack_array(np.ones(3, np.int32)), r"array 0 holds values of type 4; expected one of 0 \(float32\), 1"),
        (pack_array(np.ones((3, 0), np.float32)), r"array 0 of shape \(3, 0\) is empty"),
        (struct.pack("<Iii", 0xF993FAC9, 0, 0) + bytes(8), r"array 0 of shape \(\) is empty"),
        (struct.pack("<I", 0xF993FACA) + bytes(20), r"array 0 has 4187224778 dimensions; .* of an unknown version"),
    ],
)
def test_arrays_of_another_kind_are_refused(path: Path, array: bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        read_mxnet_params(save(path, pack_list([array], ["a"])))


def test_impossible_counts_are_refused_before_memory_is_asked_for(path: Path) -> None:
    huge = struct.pack("<QQQ", 0x112, 0, 2**60) + bytes(40)
    with pytest.raises(ArtifactError, match=r"40 bytes cannot hold 1152921504606846976 arrays"):
        read_mxnet_params(save(path, huge))
    vast = struct.pack("<IiiqqIII", 0xF993FAC9, 0, 2, 2**62, 2**62, 1, 0, 0)
    with pytest.raises(ArtifactError, match="ends within array 0"):
        read_mxnet_params(save(path, pack_list([vast], ["a"])))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "expected a name for each of 2 arrays, got 0 names"),
        (["arg:a"], "expected a name for each of 2 arrays, got 1 names"),
        (["arg:a", "aux:a"], "holds two arrays of the name 'a'"),
    ],
)
def test_names_that_do_not_fit_are_refused(path: Path, names: list[str], message: str) -> None:
    array = pack_array(np.ones(3, np.float32))
    with pytest.raises(ArtifactError, match=message):
        read_mxnet_params(save(path, pack_list([array, array], names)))


def test_names_that_are_no_text_are_refused(path: Path) -> None:
    content = pack_list([pack_array(np.ones(3, np.float32))], ["ab"])
    with pytest.raises(ArtifactError, match=r"a name is no UTF-8"):
        read_mxnet_params(save(path, content[:-2] + b"\xff\xfe"))
