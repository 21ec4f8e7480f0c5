"""A run folder with a segmenter that knows nothing, and photographs, for the tests of prediction and of exports."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.tiny import draw, make_segmenter, with_settings
from weakseg.config.load import to_yaml
from weakseg.config.schema import RunConfig
from weakseg.files import write_text
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.networks import save_network
from weakseg.pipeline.segmenters import describe_segmenter
from weakseg.types import ClassSet

CLASSES = ClassSet(("cat", "dog", "fox"))
RECIPE = with_settings(RunConfig(), ("evaluate.scales", (1.0, 0.5)), ("evaluate.flip", True), ("data.max_side_px", 30))


def make_model(root: Path, *, config: RunConfig = RECIPE, weights_from: str = "random", seed: int = 0) -> RunFolder:
    """Write a recipe and the weights of a segmenter of three classes."""
    folder = RunFolder(root)
    segmenter = make_segmenter(seed)
    info = describe_segmenter(segmenter, "critter", CLASSES, weights_from=weights_from)
    save_network(folder.network("segmenter"), segmenter, info, ())
    write_text(folder.recipe, to_yaml(config))
    return folder


def write_photo(path: Path, seed: int = 0, size_hw: tuple[int, int] = (22, 40)) -> Path:
    """Write a photograph in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw((0, 1), seed, size_hw)[0]).save(path)
    return path


def list_files(root: Path) -> list[str]:
    """Return the files below a folder, sorted, with `/` between folders."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
