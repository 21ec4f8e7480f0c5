"""What is said of the images before they are predicted: those without tags, with long names, and passed over."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from weakseg.predict.constraint import TagConstraint
from weakseg.predict.targets import PICTURE_ENDINGS, PassedOver

logger = logging.getLogger("weakseg")

MAX_NAMED = 5
"""Pictures passed over for one reason that are named before the rest is only counted; the summary names all."""


def tell_unconstrained(targets: Mapping[str, Path], constraint: TagConstraint) -> None:
    """Say of how many images the tag file says nothing."""
    if constraint.by_image is None:
        return
    free = [name for name in targets if name not in constraint.by_image]
    if free:
        logger.warning(
            "the tag file does not name %d of %d images, such as '%s': any class may appear in them",
            len(free),
            len(targets),
            free[0],
        )


def tell_suffixed(targets: Mapping[str, Path]) -> None:
    """Say that results of images that differ in their suffix only are called with it."""
    suffixed = [name for name, path in targets.items() if path.suffix and Path(name).name == path.name]
    if suffixed:
        logger.info(
            "%d images differ from another in their suffix only; their results keep it, such as '%s'",
            len(suffixed),
            f"{suffixed[0]}{PICTURE_ENDINGS['mask']}",
        )


def tell_passed_over(pictures: Sequence[PassedOver]) -> None:
    """Name the first of those that are passed over for the same reason, and count them."""
    by_problem: dict[str, list[str]] = {}
    for picture in pictures:
        by_problem.setdefault(picture.problem, []).append(str(picture.image))
    for problem, names in by_problem.items():
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        logger.warning("passed over %d: %s%s: %s", len(names), ", ".join(names[:MAX_NAMED]), more, problem)
