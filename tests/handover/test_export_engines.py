"""`weakseg export` by several processes, and in parts: the files are those of one process, whatever the format."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.handover.test_export import make_run
from tests.pipeline.test_processes import forked
from tests.predict.made_model import list_files
from tests.tiny import with_settings
from weakseg.data.export.formats import FORMATS
from weakseg.errors import ArtifactError, UsageError
from weakseg.handover.export import Exported, export_masks, export_run
from weakseg.pipeline.context import Context
from weakseg.pipeline.engines import choose_engine
from weakseg.pipeline.image_jobs import Engine
from weakseg.pipeline.parts import PartDone, StoppedAtImages
from weakseg.pipeline.processes import Processes
from weakseg.pipeline.records import StageRecord, write_records

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")]

assert forked, "a fixture"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    made = make_run(tmp_path_factory.mktemp("export"))
    return replace(made, config=with_settings(made.config, ("refine.method", "irn"), ("refine.irn.instances", True)))


def export(context: Context, out: Path, to: str, engine: Engine | None = None) -> tuple[Exported, dict[str, bytes]]:
    exported = export_masks(context, to=to, out=out, role="train", min_area_px=8, engine=engine)
    assert not list(out.parent.glob(".*.weakseg-export")), "notes are gone"
    return replace(exported, folder=Path()), {name: (out / name).read_bytes() for name in list_files(out)}


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("to", FORMATS)
def test_processes_and_parts_make_the_files_of_one(to: str, context: Context, tmp_path: Path) -> None:
    whole = export(context, tmp_path / "whole", to)
    assert export(context, tmp_path / "processes", to, Processes(2)) == whole
    out = tmp_path / "parts"
    with pytest.raises(StoppedAtImages, match=rf"^export: 9 images are to be worked on \(exporting to {to}\)$"):
        export(context, out, to, choose_engine(finish=True))
    for text in ("1/2", "1/2"):
        with pytest.raises(PartDone):
            export(context, out, to, choose_engine(part=text))
    with pytest.raises(
        ArtifactError, match=r"4 of 9 images have no file yet .*; of 2 parts, those that have not ended: 2"
    ):
        export(context, out, to, choose_engine(finish=True))
    with pytest.raises(PartDone):
        export(context, out, to, choose_engine(part="2/2"))
    assert export(context, out, to, choose_engine(finish=True)) == whole


def test_the_folder_one_stands_in_can_be_written_to(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(StoppedAtImages):
        export(context, Path(), "voc", choose_engine(finish=True))
    assert [path.name for path in tmp_path.glob(".*")] == [".here.weakseg-export"]


def test_pieces_of_masks_that_were_replaced_since_are_refused(context: Context, tmp_path: Path) -> None:
    for finished_at in ("2026-11-30T12:00:00+00:00", "2026-11-30T13:00:00+00:00"):
        record = StageRecord(finished=True, fingerprint="f", parts={}, finished_at=finished_at)
        write_records(context.folder, {"refine": record})
        if finished_at.startswith("2026-11-30T12"):
            with pytest.raises(StoppedAtImages):
                export(context, tmp_path / "out", "voc", choose_engine(finish=True))
            with pytest.raises(PartDone):
                export(context, tmp_path / "out", "voc", choose_engine(part="1/1"))
    with pytest.raises(ArtifactError, match="holds work that was begun with other masks"):
        export(context, tmp_path / "out", "voc", choose_engine(finish=True))
    context.folder.state.unlink()


def test_what_would_be_refused_at_the_end_is_refused_before_the_work(context: Context, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "foreign").touch()
    with pytest.raises(ArtifactError, match=r"foreign exists, but"):
        export(context, tmp_path / "out", "voc", choose_engine(finish=True))
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(UsageError, match=r"are for work on images, and 'onnx' is the network itself$"):
        export_run(context.folder.root, to="onnx", engine=choose_engine(finish=True))
