"""`weakseg export`: a run's masks in another tool's format, or its network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from weakseg.arguments.verbs import add_engine_options, new_parser, parse_words


def run(words: Sequence[str]) -> int:
    """Export what the words after `export` name; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
    """
    parser = _make_parser()
    given = parse_words(parser, words)
    if given is None:
        return 0
    from weakseg.handover.export import export_run
    from weakseg.pipeline.engines import choose_engine
    from weakseg.pipeline.notes import tell_stop
    from weakseg.pipeline.runtime import launched_rank
    from weakseg.pipeline.stage import StageStopped
    from weakseg.pipeline.telling import start_logging

    start_logging()
    engine = choose_engine(processes=given.processes, engine=given.engine, part=given.part, finish=given.finish)
    try:
        exported = export_run(
            Path(given.run),
            to=given.to,
            out=None if given.out is None else Path(given.out),
            what=given.what,
            split=given.split,
            images=given.images,
            min_area_px=given.min_area_px,
            engine=engine,
        )
    except StageStopped as stop:
        tell_stop(stop, then="writes the files")
        return 0
    if launched_rank() != 0:
        return 0
    print(exported.describe())
    for note in exported.notes:
        print(f"  {note}")
    return 0


def _make_parser() -> ArgumentParser:
    parser = new_parser(
        "export", "Write the masks of a run in the format of another tool, or its network; docs/export.md lists them."
    )
    parser.add_argument("run", help="run folder")
    parser.add_argument(
        "--to",
        required=True,
        help="voc, coco, yolo-seg, cvat, label-studio or hf-dataset; onnx, onnx-int8 or bundle",
    )
    parser.add_argument("--out", default=None, help="where to write; below RUN/exports when not given")
    parser.add_argument(
        "--what", default=None, help="masks (pseudo masks, the default) or predictions (of the segmenter)"
    )
    parser.add_argument(
        "--split", default=None, help="train, val or all; train for masks, val for predictions if not given"
    )
    parser.add_argument("--images", default=None, help="copy (the default) or link, for formats that hold the images")
    parser.add_argument(
        "--min-area-px",
        type=int,
        default=None,
        help="leave out parts of fewer pixels; 0 keeps all. Not given: in formats of objects, parts of less than a "
        "thousandth of the image, 4 to 64 pixels",
    )
    add_engine_options(parser)
    return parser
