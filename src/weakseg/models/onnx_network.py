"""Running a segmentation network from an ONNX file: onnxruntime instead of the network's own code and weights file.

The file says of itself, as JSON in its metadata under `weakseg`, what it takes to use it; `OnnxInfo` lists it and
`docs/export.md` shows how to use the file without this package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, ConfigError, DataError, MissingExtra
from weakseg.files import JsonValue
from weakseg.models.predictor import Views
from weakseg.ops.color import label_palette
from weakseg.ops.crf_settings import CRFSettings
from weakseg.ops.images import IMAGENET_MEAN, IMAGENET_STD
from weakseg.types import ClassSet

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

METADATA_KEY = "weakseg"
"""Entry of the file's metadata that holds our JSON."""

INPUT, OUTPUT = "image", "logits"
"""Names of the graph's input (N, 3, H, W) and output (N, L, ceil(H / stride), ceil(W / stride)), both float32."""

FORMAT = 1
"""Version of the metadata; raised when a reader of the old one would go wrong."""


@dataclass(frozen=True)
class OnnxInfo:
    """What an ONNX file says of itself.

    Args:
        classes: The classes; label 0 is the background, c+1 class c.
        stride: Ratio of the input's size to the logits'.
        views: How the run it comes from looks at images.
        precision: `float32`, or `int8` where weights and activations are whole numbers of 8 bits.
    """

    classes: ClassSet
    stride: int
    views: Views
    precision: str = "float32"

    def to_json(self) -> str:
        """Return the metadata, with what a foreign reader needs besides."""
        document = {
            "format": FORMAT,
            "labels": list(self.classes.label_names),
            "colours": label_palette()[: self.classes.num_labels].tolist(),
            "stride": self.stride,
            "input": {"name": INPUT, "layout": "NCHW", "channels": "RGB", "range": [0, 1]},
            "mean": list(IMAGENET_MEAN),
            "std": list(IMAGENET_STD),
            "output": {"name": OUTPUT, "activation": "none"},
            "views": asdict(self.views),
            "precision": self.precision,
        }
        return json.dumps(document, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, where: str) -> OnnxInfo:
        """Read what `to_json` wrote.

        Raises:
            ArtifactError: If it is damaged, of another version, or wants another normalisation than ours.
        """
        try:
            document = decode_json(text)
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']}, expected {FORMAT}")
            if (tuple(document["mean"]), tuple(document["std"])) != (IMAGENET_MEAN, IMAGENET_STD):
                raise ValueError(f"mean {document['mean']} and std {document['std']} are not ImageNet's")
            views = document["views"]
            return cls(
                classes=ClassSet(tuple(document["labels"][1:])),
                stride=int(document["stride"]),
                views=Views(
                    scales=tuple(float(scale) for scale in views["scales"]),
                    flip=bool(views["flip"]),
                    max_side_px=views["max_side_px"],
                    crf=None if views["crf"] is None else _read_crf(views["crf"]),
                    pixel_range=_read_range(views.get("pixel_range")),
                ),
                precision=str(document.get("precision", "float32")),
            )
        except (ValueError, KeyError, TypeError, IndexError, DataError) as error:
            raise ArtifactError(
                f"{where}: its '{METADATA_KEY}' metadata cannot be used ({error}); export it again with 'weakseg "
                "export RUN --to onnx'"
            ) from None


class OnnxNetwork:
    """A network in an ONNX file as a `weakseg.models.predictor.DenseNetwork`.

    Args:
        path: A file that `weakseg export --to onnx` wrote.
        device: Where to run: CUDA only with an onnxruntime that has it.

    Attributes:
        info: What the file says of itself.

    Raises:
        ArtifactError: If the file is missing, damaged, or not of this package.
        ConfigError: If CUDA is asked for and this onnxruntime has none.
        MissingExtra: If onnxruntime is not installed.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self._session = _open_session(path, device)
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise ArtifactError(
                f"{path}: an ONNX file without '{METADATA_KEY}' metadata; expected one that 'weakseg export RUN --to "
                "onnx' wrote"
            )
        self.info = OnnxInfo.from_json(text, where=str(path))
        self.num_labels = self.info.classes.num_labels
        self.stride = self.info.stride

    def __call__(self, batch: Tensor, /) -> Tensor:
        """See `DenseNetwork`; the logits are on the CPU.

        Raises:
            ArtifactError: If onnxruntime cannot run the graph on this input.
        """
        try:
            (logits,) = self._session.run([OUTPUT], {INPUT: batch.numpy()})
        except Exception as error:  # as for a damaged file
            raise ArtifactError(
                f"onnxruntime cannot run the network on an input {tuple(batch.shape)}: "
                f"{' '.join(str(error).split())[:200]}"
            ) from None
        return torch.from_numpy(logits)


def _read_range(pair: Sequence[float] | None) -> tuple[float, float] | None:
    """Read lowest and highest value; files of earlier versions have none."""
    return None if pair is None else (float(pair[0]), float(pair[1]))


def _read_crf(document: Mapping[str, JsonValue]) -> CRFSettings:
    gaussian, bilateral, iterations = document["gaussian"], document["bilateral"], document["iterations"]
    if not isinstance(gaussian, list) or not isinstance(bilateral, list) or not isinstance(iterations, int):
        raise ValueError(f"crf {document}")
    (width, weight), (place, colour, strength) = gaussian, bilateral
    return CRFSettings((width, weight), (place, colour, strength), iterations)


def _open_session(path: Path, device: torch.device) -> InferenceSession:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra(f"{path} needs onnxruntime: pip install 'weakseg[onnx]'") from None
    if not path.is_file():
        raise ArtifactError(f"there is no {path}; write it with 'weakseg export RUN --to onnx'")
    providers: list[str | tuple[str, dict[str, int]]] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise ConfigError(
                "this onnxruntime has no CUDA: install onnxruntime-gpu in place of onnxruntime, or use --device cpu"
            )
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # nothing below fatal: errors arrive as exceptions, which say the same
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # it has no common base for what a damaged file raises
        raise ArtifactError(f"{path}: not a readable ONNX file ({' '.join(str(error).split())[:200]})") from None
