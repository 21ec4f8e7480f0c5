"""`weakseg predict`: masks of new images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weakseg.arguments import new_parser, parse_words


def run(words: Sequence[str]) -> int:
    """Predict the images that the words after `predict` name; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
    """
    parser = new_parser("predict", "Write masks and overlays of new images with a trained segmentation network.")
    parser.add_argument("model", help="run folder, or model.safetensors of a segmenter")
    parser.add_argument("inputs", nargs="+", help="image files, or folders of images")
    parser.add_argument("--out", default="predictions", help="folder to write to")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    given = parse_words(parser, words)
    if given is None:
        return 0
    from weakseg.pipeline.runtime import start_logging
    from weakseg.tasks.predict import predict_files

    start_logging()
    inputs = [Path(word) for word in given.inputs]
    found = predict_files(Path(given.model), inputs, Path(given.out), device=given.device)
    for prediction in found:
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in prediction.shares)
        print(f"{prediction.image} -> {prediction.mask}: {shares or 'nothing found'}")
    return 0
