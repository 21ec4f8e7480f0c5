"""Stage `report`: everything a run found out, in one HTML file that needs nothing else.

`build_report` gathers words, numbers and pictures into plain values; the template `report.html.j2` only lays them out.
The same run gives the same bytes, but for how long its stages took: no dates, no random ids. Its folder is named as it
was given, in the commands that go on from it.
"""

from __future__ import annotations

from dataclasses import replace

from weakseg.files import write_text
from weakseg.pipeline.context import Context
from weakseg.pipeline.health import check_masks
from weakseg.pipeline.stage import Stage
from weakseg.report.content import build_report
from weakseg.report.rendering import lay_out
from weakseg.report.view import Report
from weakseg.scoring.metrics_file import load_metrics
from weakseg.train.distributed import rank

TEMPLATE = "report.html.j2"


def report(context: Context) -> str:
    """Write `report.html` from the files of a finished evaluation.

    Raises:
        ArtifactError: If a file of an earlier stage is missing or damaged.
        DataError: If an image or mask that the gallery shows cannot be read.
    """
    metrics = load_metrics(context.folder.metrics)
    if metrics.health is None:  # evaluated before masks were judged: every process helps to do it now
        metrics = replace(metrics, health=check_masks(context).health)
    if rank() != 0:
        return ""
    view = build_report(context, metrics)
    page = render(view)
    write_text(context.folder.report, page)
    shown = sum(len(group.images) for group in view.gallery)
    return f"{context.folder.report.name}, {shown} images shown, {len(page.encode()) / 1e6:.1f} MB"


def render(view: Report) -> str:
    """Lay out a report as HTML."""
    return lay_out(TEMPLATE, {"report": view})


REPORT = Stage(
    name="report",
    version=3,
    settings=("report",),
    needs=("evaluate",),
    outputs=("report.html",),
    run=report,
    derived=True,
    shared=True,
)
