"""`weakseg outlines`: class-agnostic masks of a data set's images, for `refine.method merge`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weakseg.arguments.recipes import RECIPE_FILE, resolve_recipe
from weakseg.arguments.verbs import new_parser


def run(words: Sequence[str]) -> int:
    """Make masks of the images that the words after `outlines` name; returns the exit code.

    Raises:
        UsageError: If the command line is wrong.
        ConfigError: If the recipe or a setting is wrong.
    """
    parser = new_parser(
        "outlines",
        "Write masks of anything that has an outline, of each tagged image, by a SAM of transformers. "
        "'--refine.method merge --refine.merge.folder OUT' gives them classes; docs/outlines.md tells more.",
    )
    parser.usage = "weakseg outlines RECIPE|PHOTOS|RUN --out OUT --model MODEL [options] [--section.setting VALUE ...]"
    parser.add_argument("recipe", help="a recipe, a folder of photographs, or a run: whose images")
    parser.add_argument("--out", default="outlines", help="folder to write to; masks that are there are kept")
    parser.add_argument("--method", default="sam", help="sam, or superpixels, which stand in without weights")
    parser.add_argument("--model", default=None, help="a SAM: a repository of the Hugging Face hub, or a folder")
    parser.add_argument("--points", type=int, default=32, help="SAM is asked at so many points along a side")
    parser.add_argument("--least-score", type=float, default=0.88, help="leave out masks that SAM is less sure of")
    parser.add_argument("--least-stability", type=float, default=0.95, help="leave out masks with vaguer borders")
    parser.add_argument("--scale", type=float, default=300.0, help="larger gives larger superpixels")
    resolved = resolve_recipe(parser, words)
    if resolved is None:
        return 0
    from weakseg.models.hf_masks import MaskOptions
    from weakseg.pipeline.artifacts import RunFolder
    from weakseg.pipeline.inputs import open_splits
    from weakseg.pipeline.telling import start_logging
    from weakseg.predict.outlines import OutlineOptions, make_outlines

    given = resolved.arguments
    options = OutlineOptions(
        method=given.method,
        model=given.model,
        device=resolved.config.runtime.device,
        masks=MaskOptions(given.points, given.least_score, given.least_stability),
        scale=given.scale,
    )
    start_logging()
    folder, named = Path(given.out), Path(given.recipe)
    # A run may have drawn its images itself.
    images = RunFolder(named if (named / RECIPE_FILE).is_file() else folder)
    made = make_outlines(open_splits(resolved.config.data, images), folder, options)
    what = "superpixels, which stand in for masks," if options.method == "superpixels" else "masks"
    print(f"{made.masks} {what} of {made.made} images in {folder}")
    if made.kept:
        print(f"  {made.kept} images had theirs before")
    if made.failed:
        print(f"  {made.failed} images could not be read")
    return 0
