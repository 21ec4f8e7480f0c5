"""`weakseg predict`: masks of new images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser

from weakseg.arguments.verbs import add_engine_options, new_parser, parse_words
from weakseg.errors import UsageError
from weakseg.file_names import printable
from weakseg.remote import as_said, is_url

if TYPE_CHECKING:
    from weakseg.predict.command import Predicted


def run(words: Sequence[str]) -> int:
    """Predict the images that the words after `predict` name; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
    """
    parser = _make_parser()
    given = parse_words(parser, words)
    if given is None:
        return 0
    inputs = list(given.inputs)
    model = given.model if given.model is not None else inputs.pop(0)
    if not inputs:
        raise UsageError(
            f"the following arguments are required: inputs (images that '{model}' is to predict); see "
            f"'{parser.prog} --help'"
        )
    from weakseg.data.remote.places import open_place
    from weakseg.models.tiling import choose_tiling
    from weakseg.pipeline.engines import choose_engine
    from weakseg.pipeline.notes import tell_stop
    from weakseg.pipeline.stage import StageStopped
    from weakseg.pipeline.telling import start_logging
    from weakseg.predict.constraint import parse_tags
    from weakseg.predict.files import predict_files
    from weakseg.predict.options import PredictOptions
    from weakseg.predict.targets import OUTPUTS

    options = PredictOptions(
        outputs=OUTPUTS if given.outputs is None else tuple(filter(None, map(str.strip, given.outputs.split(",")))),
        tags=None if given.tags is None else parse_tags(given.tags),
        tag_file=None if given.tag_file is None else Path(given.tag_file),
        batch=given.batch,
        tiling=choose_tiling(given.tile_px, given.overlap_px),
        max_side_px=given.max_side_px,
        skip_existing=given.skip_existing,
    )
    start_logging()
    inputs = [str(open_place(name).root) if is_url(name) else name for name in inputs]
    engine = choose_engine(processes=given.processes, engine=given.engine, part=given.part, finish=given.finish)
    try:
        done = predict_files(Path(model), inputs, Path(given.out), device=given.device, options=options, engine=engine)
    except StageStopped as stop:
        tell_stop(stop, then="writes the summary")
        return 0
    _list_images(done, Path(given.out))
    return 0


def _make_parser() -> ArgumentParser:
    parser = new_parser(
        "predict",
        "Write masks, overlays, confidences and a summary of new images. MODEL is a run folder, a bundle, the "
        "model.safetensors of a segmenter, or an ONNX file; docs/predict.md tells more.",
    )
    parser.usage = "weakseg predict MODEL IMAGES... [options]\n       weakseg predict --model MODEL IMAGES... [options]"
    parser.add_argument(
        "inputs", nargs="+", help="MODEL unless --model names it; image files, folders, patterns, URLs of folders"
    )
    parser.add_argument("--model", default=None, help="MODEL; everything else then names images")
    parser.add_argument("--out", default="predictions", help="folder to write to")
    parser.add_argument(
        "--outputs", default=None, help="what to write: mask,overlay,confidence,summary; all if not given"
    )
    parser.add_argument("--tags", default=None, help="only these classes may appear: cat,dog")
    parser.add_argument("--tag-file", default=None, help="CSV or COCO-style JSON with the tags of each image")
    parser.add_argument("--batch", type=int, default=1, help="images of one size, or tiles, seen at once")
    parser.add_argument("--tile-px", type=int, default=1024, help="larger images are seen in tiles of this side")
    parser.add_argument(
        "--overlap-px", type=int, default=None, help="shared by neighbours; a quarter of a tile if not given"
    )
    parser.add_argument(
        "--max-side-px", type=int, default=None, help="shrink larger images; 0: never; else as the run did"
    )
    parser.add_argument("--skip-existing", action="store_true", help="keep results that this model and settings made")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add_engine_options(parser)
    return parser


def _list_images(done: Predicted, out: Path) -> None:
    for image in done.images:
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in image.shares)
        mask = image.files.get("mask")
        place = "" if mask is None else f" -> {out / mask}"
        print(printable(f"{as_said(str(image.image))}{place}: {shares or 'nothing found'}"))
