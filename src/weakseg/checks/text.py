"""The report of `weakseg check` as plain text."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from weakseg.checks.findings import CheckReport, SplitReport
from weakseg.data.base import Problem
from weakseg.file_names import printable

_TOP_PAIRS = 10


def render_check(report: CheckReport, *, examples: int = 5) -> str:
    """Write a report as lines of text, each with a line feed; the last is the verdict.

    Args:
        report: The report.
        examples: Of each kind of problem, so many are written out; the rest is counted.
    """
    lines = [line for split in report.splits for line in _describe_split(split)]
    lines += ["", *_class_table(report.splits)]
    lines += [line for split in report.splits[:1] for line in _pairs(split)]
    lines += _describe_problems(report.problems, examples)
    lines += ["", _verdict(report)]
    return "\n".join(lines) + "\n"


def _describe_split(split: SplitReport) -> list[str]:
    def listed(counts: tuple[tuple[str, int], ...]) -> str:
        return ", ".join(f"{count} {name}" for name, count in counts) or "none"

    unreadable = split.num_images - split.num_readable
    return [
        f"{split.name} '{split.split}': {_count(split.num_images, 'image')} ({unreadable} unreadable), "
        f"{_count(split.classes.num_classes, 'class')}, {_count(split.num_masks, 'truth mask')}",
        f"  formats: {listed(split.formats)}; pixel modes: {listed(split.modes)}",
    ]


def _class_table(splits: tuple[SplitReport, ...]) -> list[str]:
    """Count images per class: those that show it, those that do not, and, where there are any, the unknown."""
    names = splits[0].classes.names
    columns = []
    for split in splits:
        if split.classes.names != names:
            continue  # reported as a problem
        columns.append((f"{split.split}: shown", split.positives))
        columns.append(("absent", split.negatives))
        if split.unknown.any():
            columns.append(("unknown", split.unknown))
    width = max(len(name) for name in ("class", *names))
    widths = [max(len(title), 7) for title, _ in columns]
    heading = "  ".join(title.rjust(w) for (title, _), w in zip(columns, widths, strict=True))
    rows = [
        f"{name:<{width}}  "
        + "  ".join(str(counts[k]).rjust(w) for (_, counts), w in zip(columns, widths, strict=True))
        for k, name in enumerate(names)
    ]
    return ["images per class", f"{'class':<{width}}  {heading}", *rows]


def _pairs(split: SplitReport) -> list[str]:
    """List the classes that most often occur together."""
    first, second = np.triu_indices(len(split.classes), k=1)
    counts = split.cooccurrence[first, second]
    order = np.argsort(-counts, kind="stable")[:_TOP_PAIRS]
    names = split.classes.names
    rows = [
        f"  {_count(int(counts[n]), 'image')}: {names[first[n]]} + {names[second[n]]} "
        f"({counts[n] / split.positives[first[n]]:.0%} of {names[first[n]]}, "
        f"{counts[n] / split.positives[second[n]]:.0%} of {names[second[n]]})"
        for n in order
        if counts[n] > 0
    ]
    return ["", f"classes that occur together most often in '{split.split}'", *rows] if rows else []


def _describe_problems(problems: tuple[Problem, ...], examples: int) -> list[str]:
    groups: defaultdict[tuple[str, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        groups[problem.severity, problem.kind].append(problem)
    lines = []
    for (severity, kind), group in groups.items():
        lines += ["", f"{severity}: {kind} ({len(group)})"]
        lines += [f"  {printable(problem.where)}: {printable(problem.message)}" for problem in group[:examples]]
        if len(group) > examples:
            lines.append(f"  ... and {len(group) - examples} more")
    return lines


def _verdict(report: CheckReport) -> str:
    severities = [problem.severity for problem in report.problems]
    found = ", ".join(_count(severities.count(severity), severity) for severity in ("error", "warning", "note"))
    training = report.splits[0]
    if report.fails:
        return f"Training on '{training.split}' would fail: {found}."
    return f"Training on '{training.split}' can start with {_count(training.num_readable, 'image')}: {found}."


def _count(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
