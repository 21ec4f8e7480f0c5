"""`weakseg check --fix-list`: what to do about each image, as a table for people who work in a spreadsheet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from weakseg.checks.findings import CheckReport
from weakseg.csv_cells import to_csv
from weakseg.data.base import Dataset, Problem
from weakseg.files import write_text

COLUMNS = ("image", "file", "severity", "problem", "what to do", "found")
"""Header of the table. `file` is empty where a line is about no image that was found."""

ACTIONS = {
    "ambiguous-image": "Write the image's folder before its name in the table or list.",
    "bad-annotation": "Repair the annotation file, or write it anew.",
    "bad-id": "Rename the file.",
    "bad-image-entry": "Correct the entry in the JSON file.",
    "bad-mask": "Save the mask anew as an 8-bit PNG whose numbers are the labels.",
    "bad-outline": "Draw the outline anew.",
    "bad-row": "Correct the row of the table: as many cells as the header has.",
    "category": "Give each category a name of its own, or remove it.",
    "classes-differ": "Write one classes.txt for both splits.",
    "dark-image": "Look at the image; if it is all but black, save it with more of its range, or remove it.",
    "mask-label": "Correct the numbers in the mask, or add the class that they mean.",
    "mask-not-tagged": "Add the class to the image's tags, or remove it from the mask.",
    "mask-palette": "Save the mask anew with the palette unchanged.",
    "mask-size": "Save the mask in the size of the upright image.",
    "mask-unused": "Call the mask as its image is called.",
    "mask-values": "Say what the numbers in masks mean: --data.mask_values.",
    "missing-image": "Add the image, or correct its name in the table or list.",
    "no-images": "Add images that can be read.",
    "no-masks": "Call each mask as its image is called, with .png.",
    "no-negatives": "Add images that do not show the class, or say that other images do not show it.",
    "no-positives": "Add images that show the class, or remove it.",
    "no-size": "Write height and width of the image into the JSON file.",
    "not-a-file": "Replace it by an ordinary file.",
    "odd-class-name": "Correct the name of the class.",
    "odd-mark": "Write 1, 0 or ? into each cell of the column, if it is a class.",
    "one-positive": "Add images that show the class.",
    "other-format": "Convert the images to JPEG or PNG.",
    "other-suffix": "Write the file's own suffix into the table, or remove the row if another picture is meant.",
    "pixel-range": "Say which values are black and white: --data.pixel_range.",
    "same-content": "Remove one of the two images; correct the tags if they differ.",
    "same-id": "Rename or remove one of the two.",
    "several-in-one": "Part the tags with ';'.",
    "shared-image": "Remove the image from one of the splits.",
    "similar-tags": "Use one spelling.",
    "split-folders": "Put a folder per class into train, val and test, or write a tags.csv.",
    "table-not-read": "Name the table tags.csv, or give it by --data.tags.",
    "unknown-image": "Add the image to the JSON file, or remove the annotation.",
    "unknown-tag": "Correct the tag, or add it to classes.txt.",
    "unreadable": "Replace the image by an undamaged one, or remove it.",
    "untagged": "Add the image to the table of tags, or remove it.",
    "unused-separator": "Set data.tag_separator to the mark that parts tags, or leave it out.",
    "wide-rows": "Part the tags of an image with ';', and see that no other value stands behind them.",
}
"""What to do by kind of finding, for all that are more than notes."""

_SEVERITIES = ("error", "warning")


def write_fix_list(path: Path, report: CheckReport, datasets: Sequence[Dataset]) -> int:
    """Write a line per image, or file or class, with errors or warnings: errors first, then in the order of names.

    The text begins with a byte order mark, by which Excel knows UTF-8.

    Args:
        path: The CSV file; an earlier one is replaced.
        report: What the check found.
        datasets: The splits that were checked.

    Returns:
        The number of lines below the header.

    Raises:
        ArtifactError: If it cannot be written.
    """
    files = {sample.id: str(sample.image_path) for dataset in datasets for sample in dataset}
    found: defaultdict[str, list[Problem]] = defaultdict(list)
    for problem in report.problems:
        if problem.severity in _SEVERITIES:
            found[problem.where].append(problem)
    ordered = sorted(found.items(), key=lambda item: (_worst(item[1]), item[0]))
    rows = [_row(where, problems, files.get(where, "")) for where, problems in ordered]
    write_text(path, "\ufeff" + to_csv(COLUMNS, rows))
    return len(rows)


def _worst(problems: Sequence[Problem]) -> int:
    return min(_SEVERITIES.index(problem.severity) for problem in problems)


def _row(where: str, problems: Sequence[Problem], file: str) -> tuple[str, ...]:
    kinds = dict.fromkeys(problem.kind for problem in problems)
    todo = " ".join(ACTIONS.get(kind, "See 'found'.") for kind in kinds)
    return (where, file, _SEVERITIES[_worst(problems)], "; ".join(kinds), todo, " | ".join(p.message for p in problems))
