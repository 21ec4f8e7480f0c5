"""Finding a network of the library `transformers`: its configuration, its weights and the values it expects images in.

A name is a folder as `save_pretrained` writes it, a configuration file alone, or a repository of the Hugging Face hub.
Repositories are downloaded once, into the hub client's own cache, and then read like folders. Nothing here runs code
that came with a network: configurations and image processors are JSON, weights safetensors or, where there are none,
a pickle that is read as tensors alone (`weights_only=True`, as every other checkpoint).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, ConfigError, MissingExtra
from weakseg.files import JsonValue, expand_home
from weakseg.ops.images import IMAGENET_MEAN, IMAGENET_STD

HF_PREFIX = "hf:"
"""What stands before a network's name in a setting that may hold other names as well."""

CONFIG_NAME = "config.json"
PROCESSOR_NAMES = ("preprocessor_config.json", "processor_config.json")
SAFE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLED_WEIGHTS = ("pytorch_model.bin", "pytorch_model.bin.index.json")
"""Weights in one file, and the index of weights in several."""

_SAFE_PATTERNS = (*SAFE_WEIGHTS, "model-*.safetensors")
_PICKLED_PATTERNS = (*PICKLED_WEIGHTS, "pytorch_model-*.bin")
_GATED = "GatedRepoError"
"""What the hub's client raises where a repository's terms have not been accepted."""

_HUB_NAME = re.compile(r"(?P<repository>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?")
_BYTE = 255.0


@dataclass(frozen=True)
class NetworkSource:
    """Where a network was found.

    Args:
        config: Its configuration file.
        folder: The folder that holds its weights and its image processor, or None for a configuration alone.
        origin: The place in words: a path, or a repository and the commit that was read.
    """

    config: Path
    folder: Path | None
    origin: str


@dataclass(frozen=True)
class InputFormat:
    """The values that a network expects images in.

    Args:
        mean: Subtracted from values in 0..1, per channel in the network's order.
        std: What the difference is divided by.
        bgr: Whether the channels come as blue, green, red.
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    bgr: bool = False

    def to_json(self) -> dict[str, JsonValue]:
        """Return plain values."""
        return {"mean": list(self.mean), "std": list(self.std), "bgr": self.bgr}

    def conversion(self) -> tuple[Tensor, Tensor]:
        """Return factor and summand (1, 3, 1, 1) that turn ImageNet's normalised values, in this order, into these."""
        order = slice(None, None, -1 if self.bgr else 1)
        given = torch.tensor((IMAGENET_MEAN[order], IMAGENET_STD[order]), dtype=torch.float64)
        wanted = torch.tensor((self.mean, self.std), dtype=torch.float64)
        scale, shift = given[1] / wanted[1], (given[0] - wanted[0]) / wanted[1]
        return scale.float().reshape(1, 3, 1, 1), shift.float().reshape(1, 3, 1, 1)

    @staticmethod
    def from_json(values: JsonValue) -> InputFormat:
        """Read what `to_json` returned; a `TypeError`, `KeyError` or `ValueError` if it is something else."""
        if not isinstance(values, Mapping) or not isinstance(values["bgr"], bool):
            raise TypeError(f"expected the input format of a network, got {values!r}")
        return InputFormat(_three(values["mean"]), _three(values["std"]), values["bgr"])


class ConvertPixels(nn.Module):
    """Turns images normalised as weakseg does into those a network expects; it has no parameters and no state.

    Args:
        input_format: What the network expects.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, input_format: InputFormat) -> None:
        super().__init__()
        self.input_format = input_format
        scale, shift = input_format.conversion()
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (N, 3, H, W) into images of the same size."""
        if self.input_format == InputFormat():
            return x
        return (x.flip(1) if self.input_format.bgr else x) * self.scale + self.shift


def import_transformers(*, setting: str = "a name", prefix: str = HF_PREFIX) -> ModuleType:
    """Import `transformers`, which takes seconds and is an extra.

    Args:
        setting: What names a network of it, for messages.
        prefix: What such a name begins with, for messages.

    Raises:
        MissingExtra: If it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        what = f"'{prefix}...' " if prefix else ""
        raise MissingExtra(
            f"{setting}: {what}needs transformers, which cannot be imported ({error}): pip install 'weakseg[hf]'"
        ) from None


def is_local(name: str) -> bool:
    """Say whether a name is that of a file or folder, which need not exist, rather than of a repository of the hub."""
    return expand_home(name).exists() or name.endswith(".json") or name[0] in "./~"


def find_source(
    name: str,
    *,
    with_weights: bool,
    setting: str = "segmenter.name",
    prefix: str = HF_PREFIX,
    more: Sequence[str] = (),
) -> NetworkSource:
    """Find a network, downloading it from the hub unless it is local or in the hub client's cache.

    Args:
        name: A folder, a configuration file (`.json`), or a repository such as `nvidia/mit-b0`, or, to pin a revision,
            `nvidia/mit-b0@<branch, tag or commit>`.
        with_weights: Whether weights are wanted too; otherwise only JSON is downloaded.
        setting: The setting that holds the name, for messages.
        prefix: What stands before the name there, for messages.
        more: Patterns of further files to download, such as a tokenizer's.

    Raises:
        MissingExtra: If `transformers` is not installed.
        ConfigError: If the name cannot be that of a repository.
        ArtifactError: If there is no such file or folder, it lacks a configuration, or the download fails.
    """
    import_transformers(setting=setting, prefix=prefix)
    if not is_local(name):
        return _download(name, with_weights=with_weights, setting=setting, prefix=prefix, more=more)
    path = expand_home(name)
    if path.is_file():
        return NetworkSource(config=path, folder=None, origin=str(path))
    if not path.is_dir():
        raise ArtifactError(f"{setting}: there is no file or folder {path}")
    if not (path / CONFIG_NAME).is_file():
        raise ArtifactError(f"{path}: expected a network as save_pretrained writes it, but there is no {CONFIG_NAME}")
    return NetworkSource(config=path / CONFIG_NAME, folder=path, origin=str(path))


def has_weights(source: NetworkSource) -> bool:
    """Say whether weights came with the configuration."""
    names = (*SAFE_WEIGHTS, *PICKLED_WEIGHTS)
    return source.folder is not None and any((source.folder / name).is_file() for name in names)


def require_weights(source: NetworkSource) -> Path:
    """Return the folder of the weights that came with a configuration.

    Raises:
        ArtifactError: If none did.
    """
    if source.folder is None or not has_weights(source):
        raise ArtifactError(f"{source.origin}: there are no weights beside {source.config.name}")
    return source.folder


def read_config(source: NetworkSource) -> dict[str, JsonValue]:
    """Read a configuration as plain values.

    Raises:
        ArtifactError: If it is no JSON object.
    """
    try:
        values = decode_json(source.config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{source.config}: not a readable configuration ({error})") from None
    if not isinstance(values, dict):
        raise ArtifactError(f"{source.config}: expected a JSON object, got {type(values).__name__}")
    return values


def read_input_format(source: NetworkSource) -> InputFormat:
    """Return what a network's image processor makes of images, or ImageNet's values if it came without one.

    Only the values are looked at: weakseg resizes and crops by its own settings.

    Raises:
        ArtifactError: If the processor cannot be read.
    """
    if source.folder is None or not any((source.folder / name).is_file() for name in PROCESSOR_NAMES):
        return InputFormat()
    transformers = import_transformers()
    try:
        with quiet_transformers():
            # The other backend needs torchvision.
            processor = transformers.AutoImageProcessor.from_pretrained(
                str(source.folder), backend="pil", local_files_only=True
            )
        top = processor.rescale_factor * _BYTE if processor.do_rescale else _BYTE
        normalises = getattr(processor, "do_normalize", False)  # that of MobileViT may know of no such thing
        mean, std = (processor.image_mean, processor.image_std) if normalises else ((0.0,) * 3, (1.0,) * 3)
        return InputFormat(
            mean=_three([value / top for value in mean]),
            std=_three([value / top for value in std]),
            bgr=bool(getattr(processor, "do_flip_channel_order", False)),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise ArtifactError(f"{source.folder}: not a readable image processor ({first_line(error)})") from None


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep `transformers` from printing bars and tables for a block; what they say is said by weakseg in a line."""
    logging = import_transformers().utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its kind if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _three(values: JsonValue) -> tuple[float, float, float]:
    if not isinstance(values, list | tuple):
        raise TypeError(f"expected a value for each of three channels, got {values!r}")
    first, second, third = (float(value) for value in values)
    return first, second, third


def _download(name: str, *, with_weights: bool, setting: str, prefix: str, more: Sequence[str]) -> NetworkSource:
    match = _HUB_NAME.fullmatch(name)
    if match is None:
        behind = f"'{prefix}' and " if prefix else ""
        raise ConfigError(
            f"{setting}: expected {behind}a folder, a config.json, or a repository such as nvidia/mit-b0, "
            f"got '{prefix}{name}'"
        )
    repository = match["repository"]
    hub = importlib.import_module("huggingface_hub")  # transformers depends on it
    wanted = [CONFIG_NAME, *PROCESSOR_NAMES, *more, *(_SAFE_PATTERNS if with_weights else ())]
    try:
        folder = Path(hub.snapshot_download(repository, revision=match["revision"], allow_patterns=wanted))
        if with_weights and not any((folder / weights).is_file() for weights in SAFE_WEIGHTS):
            wanted += _PICKLED_PATTERNS
            folder = Path(hub.snapshot_download(repository, revision=match["revision"], allow_patterns=wanted))
    except Exception as error:  # whatever the HTTP library of this version of the client raises
        if type(error).__name__ == _GATED:
            raise ArtifactError(
                f"{setting}: '{repository}' is given out on terms; accept them at https://huggingface.co/{repository}, "
                f"then log in with 'hf auth login', or pass a folder that has it: {prefix}/path/to/folder"
            ) from error
        raise ArtifactError(
            f"{setting}: could not get '{repository}' from the Hugging Face hub ({first_line(error)}); without a "
            f"network, download it elsewhere and pass the folder: {prefix}/path/to/folder"
        ) from error
    if not (folder / CONFIG_NAME).is_file():
        raise ArtifactError(f"{setting}: the repository '{repository}' holds no {CONFIG_NAME}, so no network")
    # The client names the folder of a snapshot by its commit.
    return NetworkSource(config=folder / CONFIG_NAME, folder=folder, origin=f"{repository}@{folder.name}")
