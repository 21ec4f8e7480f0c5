"""An estimate as plain text: a table with a line per stage, and below it what it is made of."""

from __future__ import annotations

from weakseg.estimate.costs import Estimate, PartCost, most_gpu_memory, most_memory, total_time
from weakseg.pipeline.telling import format_duration

GIGABYTE = 1e9

UNKNOWN = "?"


def render_estimate(estimate: Estimate) -> str:
    """Write an estimate as lines of text, each with a line feed."""
    has_gpu = any(part.gpu_bytes is not None for part in estimate.parts)
    heading = ("stage", "time", "memory", *(("GPU",) if has_gpu else ()))
    rows: list[tuple[str, ...]] = [heading]
    for stage in estimate.stages:
        parts = estimate.of(stage)
        rows.append((stage, *_cells(parts, has_gpu=has_gpu)))
        rows += [(f"  {part.what}", *_cells((part,), has_gpu=has_gpu), part.note) for part in parts]
    rows += [(stage, UNKNOWN) for stage in estimate.missing]
    rows.append(("total", *_cells(estimate.parts, has_gpu=has_gpu, complete=estimate.complete)))
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(heading))]
    lines = [
        f"how long it takes here ({estimate.device}; a few images of each stage tried in {estimate.took_s:.0f} s)",
        *("  ".join(_align(row, widths)).rstrip() for row in rows),
    ]
    if estimate.stopped:
        lines.append(estimate.stopped)
    if estimate.workers:
        lines.append(
            f"Memory is that of the main process; {estimate.workers} more decode images and need a few hundred MB each."
        )
    lines.append("Stop at any time: the same command goes on where it was. Leave this out with --estimate false.")
    return "\n".join(lines) + "\n"


def _cells(parts: tuple[PartCost, ...], *, has_gpu: bool, complete: bool = True) -> tuple[str, ...]:
    known = [part for part in parts if part.time_s is not None]
    time = format_duration(total_time(parts)) if known else UNKNOWN
    if known and (len(known) < len(parts) or not complete):
        time = f"over {time}"
    cells = (time, _say_memory(most_memory(parts)))
    return (*cells, _say_memory(most_gpu_memory(parts))) if has_gpu else cells


def _say_memory(size_bytes: int | None) -> str:
    return "" if size_bytes is None else f"{size_bytes / GIGABYTE:.1f} GB"


def _align(row: tuple[str, ...], widths: list[int]) -> list[str]:
    """Put the first column to the left, numbers to the right, and notes as they are."""
    cells = [cell.ljust(widths[0]) if column == 0 else cell for column, cell in enumerate(row)]
    return [cell.rjust(widths[column]) if 0 < column < len(widths) else cell for column, cell in enumerate(cells)]
