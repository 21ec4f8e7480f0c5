"""How truth masks of others write labels: 255 for the only class, colours of a `labelmap.txt`; and noticing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from weakseg.data.base import MaskReader, Problem
from weakseg.data.class_names import is_background
from weakseg.data.label_maps import VOID_NAMES, Colour, find_label_map, read_labelmap
from weakseg.errors import ConfigError, DataError
from weakseg.types import IGNORE_LABEL, ClassSet, Sample

_NUM_LOOKED_AT = 64  # masks that are read to see whether their values are labels
_ENOUGH = 3  # tagged images with empty masks that are no chance
_BLURRED = 16  # different numbers that are no label
_SHOWN = 8


@dataclass(frozen=True)
class MaskCode:
    """What the numbers and colours of mask files mean.

    Args:
        values: Label by stored number, for numbers that are not the label themselves.
        colours: Label by colour (red, green, blue); empty for those of VOC.
    """

    values: Mapping[int, int] = field(default_factory=dict)
    colours: Mapping[Colour, int] = field(default_factory=dict)


def parse_mask_values(text: str, classes: ClassSet) -> dict[int, int]:
    """Read `255=1` or `64=cat,128=dog,192=ignore`: what is stored, and its label or class.

    Raises:
        ConfigError: If it is not of that form, or a label is none of the classes.
    """
    words = {"background": 0, "ignore": IGNORE_LABEL, **{name: k + 1 for k, name in enumerate(classes)}}
    values = {}
    for part in text.split(","):
        stored, equals, meant = (piece.strip() for piece in part.partition("="))
        label = words.get(meant, int(meant) if meant.isdecimal() else -1)
        if not equals or not stored.isdecimal() or int(stored) > IGNORE_LABEL:
            raise ConfigError(f"data.mask_values: expected pairs such as 255=1 of numbers 0..255, got '{part.strip()}'")
        if not (0 <= label < classes.num_labels or label == IGNORE_LABEL):
            raise ConfigError(
                f"data.mask_values: expected a label 0..{classes.num_classes}, {IGNORE_LABEL}, a class, 'background' "
                f"or 'ignore' after '{stored}=', got '{meant}'"
            )
        values[int(stored)] = label
    return values


def find_mask_code(root: Path, classes: ClassSet, *, values: str | None) -> tuple[MaskCode | None, tuple[Problem, ...]]:
    """Tell how the masks of a data set are written: by its label map (`weakseg.data.label_maps`) and by a setting.

    Names of the label map that are no class, in whatever case, count as background.

    Args:
        root: Its root.
        classes: Its classes.
        values: The setting, see `parse_mask_values`, or None.

    Returns:
        The code, or None where numbers are labels and colours are VOC's; and what was found.

    Raises:
        ConfigError: If the setting is wrong.
        DataError: If the label map cannot be read.
    """
    path = find_label_map(root)
    listed = {} if path is None else read_labelmap(path)
    if values is None and not listed:
        return None, ()
    colours = {}
    others = []
    folded = {name.casefold(): k + 1 for k, name in enumerate(classes)}
    labels = {name: k + 1 for k, name in enumerate(classes)}
    for name, colour in listed.items():
        label = labels.get(name, folded.get(name.casefold()))
        if label is not None:
            colours[colour] = label
        else:
            colours[colour] = IGNORE_LABEL if name.casefold() in VOID_NAMES else 0
            others += [] if is_background(name) or name.casefold() in VOID_NAMES else [name]
    _require_different_colours(path, listed, labels, folded)
    if listed and 0 not in colours.values():
        colours.setdefault((0, 0, 0), 0)  # lists of classes leave out the background, which is black
    problems = []
    if path is not None:
        message = f"the colours of masks are those of {path.relative_to(root).as_posix()}"
        message += f"; no classes, hence background: {', '.join(others)}" if others else ""
        problems.append(Problem("note", "labelmap", str(path), message))
    return MaskCode({} if values is None else parse_mask_values(values, classes), colours), tuple(problems)


def _require_different_colours(
    path: Path | None, listed: Mapping[str, Colour], labels: Mapping[str, int], folded: Mapping[str, int]
) -> None:
    classes: dict[Colour, str] = {}
    for name, colour in listed.items():
        if name in labels or name.casefold() in folded:
            other = classes.setdefault(colour, name)
            if other.casefold() != name.casefold():
                raise DataError(f"{path}: expected a colour per class, got {colour} for '{other}' and for '{name}'")


def distrust_masks(reader: MaskReader, samples: Sequence[Sample], classes: ClassSet) -> Problem | None:
    """Look at some masks and say why their values cannot be labels; None if they can.

    Args:
        reader: Reads the masks.
        samples: The samples, of which some that show a class are looked at.
        classes: The classes.
    """
    tagged = [sample for sample in samples if sample.tags.any()] or list(samples)
    seen = _look_at(reader, tagged)
    holders: Counter[int] = Counter(value for _, values in seen for value in values)
    message = _explain(holders, len(seen), classes, any(sample.tags.any() for sample in tagged))
    negatives = _look_at(reader, [sample for sample in samples if sample.known.all() and not sample.tags.any()])
    if message is None:
        message = _contradict(seen, negatives, classes)
    elif classes.num_classes == 1:
        message = _say_inverted(holders, negatives) or message
    code = getattr(reader, "code", None)
    if message is None and not (isinstance(code, MaskCode) and code.values):  # who maps values knows what they mean
        message = _one_for_all(seen, classes)
    return None if message is None else Problem("warning", "mask-values", "masks", f"{message}; no score is measured")


def _look_at(reader: MaskReader, samples: Sequence[Sample]) -> list[tuple[Sample, frozenset[int]]]:
    """Return the values in some of the masks."""
    step = max(1, len(samples) // _NUM_LOOKED_AT)
    seen = []
    for sample in samples[::step][:_NUM_LOOKED_AT]:
        try:
            mask = reader(sample)
        except DataError:
            continue  # told where every mask is looked at
        if mask is not None:
            counts = np.bincount(mask.ravel(), minlength=IGNORE_LABEL + 1)
            seen.append((sample, frozenset(int(value) for value in np.flatnonzero(counts))))
    return seen


def _say_inverted(holders: Mapping[int, int], negatives: Sequence[tuple[Sample, frozenset[int]]]) -> str | None:
    """Say that the number beside 0 fills masks of images that show nothing: it is the background, and 0 the class."""
    values = sorted(set(holders) - {0})
    full = [sample for sample, found in negatives if found == set(values)]
    if len(values) != 1 or 2 * len(full) <= len(negatives):
        return None
    return (
        f"truth masks hold {values[0]} all over where images show nothing (such as '{full[0].id}'): if that is the "
        f"background and 0 the class, --data.mask_values {values[0]}=0,0=1 says so"
    )


def _one_for_all(seen: Sequence[tuple[Sample, frozenset[int]]], classes: ClassSet) -> str | None:
    """Say that masks hold one number although their images show different classes: object or none."""
    shown = {value for _, values in seen for value in values} - {0, IGNORE_LABEL}
    if len(shown) != 1 or classes.num_classes == 1:
        return None
    (value,) = shown
    without = [
        s for s, values in seen if value in values and s.known.all() and value - 1 not in s.keys and s.tags.any()
    ]
    if len(without) < _ENOUGH or not 1 <= value <= classes.num_classes:
        return None
    return (
        f"truth masks hold {value} and no other number, also where images show other classes (such as "
        f"'{without[0].id}': {', '.join(classes.decode(without[0].tags))}): one value cannot tell "
        f"{classes.num_classes} classes apart; number them, or, if only {classes.names[value - 1]} is drawn, "
        f"--data.mask_values {value}={value} says so"
    )


def _contradict(
    tagged: Sequence[tuple[Sample, frozenset[int]]],
    negatives: Sequence[tuple[Sample, frozenset[int]]],
    classes: ClassSet,
) -> str | None:
    """Say that most masks show classes, but none of those that their images show, so that numbers mean other ones."""
    background = frozenset({0, IGNORE_LABEL})
    showing = [(sample, values) for sample, values in tagged if values - background]
    wrong = [(s, values) for s, values in showing if not values & {int(key) + 1 for key in s.keys}]
    lacking = [s for s, values in tagged if s.tags.any() and not values & {int(key) + 1 for key in s.keys}]
    void = sum(IGNORE_LABEL in values for _, values in tagged)
    if len(wrong) >= _ENOUGH and 2 * len(lacking) > len(tagged) and 2 * len(wrong) <= len(showing):
        pairs = ",".join(f"{k}={k + 1}" for k in range(classes.num_classes))
        advice = f": if 255 is background, --data.mask_values 255=0,{pairs} says so" if 2 * void > len(tagged) else ""
        return (
            f"{len(lacking)} of {len(tagged)} truth masks show none of what their images show, and {len(wrong)} show "
            f"other classes{advice or '; --data.mask_values says what numbers mean'}"
        )
    for looked_at, found in ((showing, wrong), (negatives, [(s, v) for s, v in negatives if v - background])):
        if len(looked_at) >= _ENOUGH and 2 * len(found) > len(looked_at):
            sample, values = found[0]
            labels = ", ".join(str(value) for value in sorted(values - background)[:_SHOWN])
            shown = ", ".join(classes.decode(sample.tags)) or "no class"
            return (
                f"{len(found)} of {len(looked_at)} truth masks show only what their images do not: that of "
                f"'{sample.id}' holds {labels}, its tags say {shown}; label 1 is {classes.names[0]}, 0 is background: "
                "--data.mask_values says what numbers mean if it is otherwise"
            )
    return None


def _explain(holders: Mapping[int, int], num_read: int, classes: ClassSet, is_tagged: bool) -> str | None:
    values = sorted(set(holders) - {0})
    right = [value for value in values if value <= classes.num_classes]
    beyond = [value for value in values if classes.num_classes < value != IGNORE_LABEL]
    expected = f"expected 0 and 1 to {classes.num_classes} ({', '.join(classes.names[:_SHOWN])})"
    if not is_tagged and values == [IGNORE_LABEL]:
        return None  # borders that do not count
    if len(beyond) > max(_BLURRED, 2 * classes.num_labels):
        return (
            f"truth masks hold {len(values)} different values, as if they had been resized or saved as JPEG, which "
            f"blurs labels; {expected}; make them anew without interpolation"
        )
    if not values:
        if not is_tagged or num_read < _ENOUGH:
            return None
        return f"the {num_read} masks that were looked at are empty, although their images show a class; {expected}"
    if right and 2 * max((holders[value] for value in beyond), default=0) <= num_read:
        return None  # a stray value is told of its own mask
    shown = ", ".join(str(value) for value in values[:_SHOWN]) + (", ..." if len(values) > _SHOWN else "")
    found = f"truth masks hold the values {shown} beside 0; {expected}"
    if holders.get(0, 0) == 0 and len(values) == classes.num_labels and IGNORE_LABEL not in values:
        pairs = ",".join(f"{value}={k}" for k, value in enumerate(values))
        found = f"truth masks hold the values {shown} and no 0"
        return f"{found}: if the first is background, --data.mask_values {pairs} says so"
    foreground = values if not right and len(values) <= classes.num_classes else [*right, *beyond]
    if len(foreground) == classes.num_classes:
        pairs = ",".join(f"{value}={k + 1}" for k, value in enumerate(foreground))
        return f"{found}: if these are the classes in this order, --data.mask_values {pairs} says so"
    if len(foreground) == 1:
        return f"{found}: one value cannot tell {classes.num_classes} classes apart; number them, or map it to one"
    return f"{found}: --data.mask_values {foreground[0] if foreground else IGNORE_LABEL}=1,... maps each to its label"
