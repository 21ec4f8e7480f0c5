"""The queue as text and tables: `weakseg review RUN --list`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from weakseg.csv_cells import to_csv
from weakseg.errors import ArtifactError
from weakseg.file_names import printable
from weakseg.files import write_text
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.lessons import is_overtaken
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.run_folder import learning_command
from weakseg.review.evidence import Tell, gather_evidence
from weakseg.scoring.queue import Queue, order_images, take_turns

Part = Literal["train", "val", "all"]
PARTS: tuple[Part, ...] = ("train", "val", "all")

Order = Literal["doubt", "classes"]
ORDERS: tuple[Order, ...] = ("doubt", "classes")
"""The most doubtful images first, or the most doubtful of each class by turns."""

IMAGE_COLUMNS = ("place", "id", "split", "score", "why", "missing_tags", "doubtful_tags", "corrected")
TAG_COLUMNS = ("place", "id", "split", "class", "fault", "doubt")


def open_queue(context: Context, *, part: Part = "all", order: Order = "doubt", tell: Tell | None = None) -> Queue:
    """Return the images of a run in the order in which they should be looked at, and its doubtful tags.

    What that needs is measured once; the first call takes minutes on a CPU.

    Args:
        context: The run.
        part: Images of `train`, of `val`, or all.
        order: One of `ORDERS`.
        tell: See `gather_evidence`.

    Raises:
        ArtifactError: If the run has no masks of these yet, or a file of it is damaged.
        DataError: If an image or mask cannot be read.
    """
    evidence = gather_evidence(context) if tell is None else gather_evidence(context, tell=tell)
    if part != "all":
        dataset = context.train if part == "train" else context.val
        evidence = [found for found in evidence if dataset is not None and found.split == dataset.split]
        if not evidence:
            raise ArtifactError(f"{context.folder.root} has no masks of '{part}' to look at; leave --split out")
    store = CorrectionStore(context.folder.corrections, context.train.classes)
    corrected = {said.id for said in store if not said.says_nothing and not is_overtaken(context.folder, said)}
    queue = order_images(evidence, context.train.classes.names, corrected=corrected)
    if order == "doubt":
        return queue
    tags = {found.id: [key for key, tag in enumerate(found.tags) if tag] for found in evidence}
    return replace(queue, images=tuple(take_turns(queue.images, tags)))


def write_queue(folder: RunFolder, queue: Queue) -> None:
    """Write `review/queue.csv` and `review/tags.csv`."""
    images = [
        (
            place + 1,
            image.id,
            image.split,
            f"{image.score:.3f}",
            image.why,
            ";".join(image.missing_tags),
            ";".join(image.doubtful_tags),
            "yes" if image.corrected else "",
        )
        for place, image in enumerate(queue.images)
    ]
    tags = [
        (place + 1, tag.id, tag.split, tag.name, tag.fault, f"{tag.doubt:.3f}") for place, tag in enumerate(queue.tags)
    ]
    write_text(folder.queue, to_csv(IMAGE_COLUMNS, images))
    write_text(folder.doubtful_tags, to_csv(TAG_COLUMNS, tags))


def describe_queue(
    folder: RunFolder, queue: Queue, *, top: int, order: Order = "doubt", is_learnt: bool = False
) -> str:
    """Return the first images and tags of a queue as two tables.

    Args:
        folder: The run, whose CSV files are named.
        queue: The queue.
        top: Rows of each table.
        order: That of the queue.
        is_learnt: Whether the run has already been taught all of its corrections.
    """
    looked_at = sum(image.corrected for image in queue.images)
    turns = ", classes by turns" if order == "classes" else ""
    shown, total = min(top, len(queue.images)), len(queue.images)
    lines = [f"images whose masks are most likely wrong{turns}: the first {shown} of {total}"]
    rows = [(f"{image.score:.1f}", printable(image.id), image.split, image.why) for image in queue.images[:top]]
    lines += [*_align([("score", "image", "split", "why"), *rows]), ""]
    if queue.tags:
        lines.append(f"tags that the classifier doubts: the first {min(top, len(queue.tags))} of {len(queue.tags)}")
        found = [
            (f"{tag.doubt:.2f}", printable(tag.id), tag.split, f"{tag.name} {_FAULTS[tag.fault]}")
            for tag in queue.tags[:top]
        ]
        lines += [*_align([("doubt", "image", "split", "tag"), *found]), ""]
    lines.append(f"all of them: {folder.queue}, {folder.doubtful_tags}")
    lines.append(f"  weakseg review {shlex.quote(str(folder.root))}  shows them in the browser, to be corrected")
    if looked_at:
        images = "1 image with corrections stands" if looked_at == 1 else f"{looked_at} images with corrections stand"
        learns = "the run has learnt from that" if is_learnt else f"'{learning_command(folder.root)}' learns from that"
        lines.append(f"{images} at the end; {learns}")
    return "\n".join(lines) + "\n"


_FAULTS = {"missing": "may be missing", "superfluous": "may be wrong"}


def _align(rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    """Set the cells of all columns but the last one to one width."""
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    return [
        "  ".join([row[0].rjust(widths[0]), row[1].ljust(widths[1]), row[2].ljust(widths[2]), row[3]]).rstrip()
        for row in rows
    ]
