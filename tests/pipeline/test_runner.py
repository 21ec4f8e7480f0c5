import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pipeline.test_lock import held_by_another
from tests.tiny import with_settings
from weakseg.config.load import build_config, read_recipe
from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError, ConfigError, DataError
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.records import StageRecord, read_records, write_records
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stage import Stage
from weakseg.types import ClassSet, Sample

DEMO = build_config(read_recipe("demo"))
Setting = tuple[str, object]
ALL = ["classify", "localize", "evaluate", "report"]
IMAGES = ("a", "b", "c")


@dataclass
class Chain:
    """A run folder with four stages that only write small files: two that cost something, two derived."""

    root: Path
    ran: list[str] = field(default_factory=list)
    fail_in: str = ""
    digests: dict[str, str] = field(default_factory=lambda: {"train": "d1", "val": "d2"})
    versions: dict[str, int] = field(default_factory=dict)
    lacking: str = ""
    asked: list[tuple[str, bool]] = field(default_factory=list)
    skipped: str = ""

    @property
    def stages(self) -> list[Stage]:
        def stage(name: str, settings: tuple[str, ...], needs: tuple[str, ...], outputs: tuple[str, ...]) -> Stage:
            return Stage(
                name=name,
                version=self.versions.get(name, 1),
                settings=settings,
                needs=needs,
                outputs=outputs,
                run=lambda context: self.work(name, outputs),
                require=lambda context, *, afresh: self.require(name, afresh=afresh),
                derived=name in ("evaluate", "report"),
                shared=name == "report",
                skipped=lambda context: "it is Sunday" if name == self.skipped else "",
            )

        localize = stage("localize", ("localize", "data.max_side_px"), ("classify",), ("seeds",))
        return [
            stage("classify", ("classifier", "runtime.seed"), (), ("classifier",)),
            replace(localize, files=lambda context: [context.folder.seed(id) for id in IMAGES]),
            stage("evaluate", ("evaluate",), ("localize",), ("metrics.json", "predictions")),
            stage("report", ("report",), ("evaluate",), ("report.html",)),
        ]

    def require(self, name: str, *, afresh: bool) -> None:
        self.asked.append((name, afresh))
        if name == self.lacking:
            raise DataError(f"{name} lacks something")

    def work(self, name: str, outputs: tuple[str, ...]) -> str:
        self.ran.append(name)
        if name == "localize":
            for id in IMAGES:
                path = RunFolder(self.root).seed(id)
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    path.write_text(f"seed of {id} by try {len(self.ran)}")
                if self.fail_in == name:
                    raise KeyboardInterrupt
        else:
            for output in outputs:
                path = self.root / output
                path.write_text(name) if path.suffix else path.mkdir(exist_ok=True)
            if self.fail_in == name:
                raise KeyboardInterrupt
        return f"{name} was well"

    def run(self, *overrides: Setting, only: str | None = None, redo: str | None = None) -> list[str]:
        """Run the demo recipe with some settings changed; return the stages that did something."""
        self.ran, self.asked = [], []
        run_stages(self.context(*overrides), self.stages, only=only, redo=redo)
        return self.ran

    def context(self, *overrides: Setting) -> Context:
        classes = ClassSet(("cat",))
        samples = tuple(Sample(id, Path(f"{id}.png"), np.ones(1, np.uint8), np.ones(1, np.bool_)) for id in IMAGES)
        train = Dataset("folder", "train", classes, samples)
        return Context(
            with_settings(DEMO, *overrides), RunFolder(self.root), torch.device("cpu"), train, None, self.digests
        )

    def interrupt(self, stage: str, *overrides: Setting) -> None:
        self.fail_in = stage
        with pytest.raises(KeyboardInterrupt):
            self.run(*overrides)
        self.fail_in = ""

    @property
    def records(self) -> dict[str, StageRecord]:
        return read_records(RunFolder(self.root))

    def snapshot(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(self.root.rglob("*")) if path.is_file()}


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path / "run")


def test_a_fresh_run_does_everything_in_order_and_writes_it_down(chain: Chain, told: list[str]) -> None:
    assert chain.run() == ALL
    assert told == [line for name in ALL for line in (f"{name}: started", f"{name}: done in 0 s ({name} was well)")]
    assert {name: (record.finished, record.summary) for name, record in chain.records.items()} == {
        name: (True, f"{name} was well") for name in ALL
    }
    assert build_config(read_recipe(str(chain.root / "recipe.yaml"))) == DEMO
    versions = json.loads((chain.root / "run.json").read_text())["versions"]
    assert sorted(versions) == ["numpy", "python", "torch", "weakseg"]


def test_a_record_holds_everything_its_result_depends_on(chain: Chain) -> None:
    chain.run()
    parts = chain.records["localize"].parts
    expected = {
        "version of localize": 1,
        "localize.method": "cam",
        "localize.scales": [1.0, 0.5, 1.5, 2.0],
        "localize.splits": ["train", "val"],
        "data.max_side_px": None,
        "images and tags of train": "d1",
        "images and tags of val": "d2",
    }
    assert {name: parts[name] for name in expected} == expected
    others = {name for name in parts if not name.startswith("localize.")} - expected.keys()
    assert others == {"result of classify"}
    assert parts["result of classify"] == chain.records["classify"].fingerprint
    assert chain.records["classify"].parts["classifier.optim.learning_rate"] == 0.1
    assert chain.records["classify"].parts["runtime.seed"] == 0


def test_finished_stages_are_skipped(chain: Chain, told: list[str]) -> None:
    chain.run()
    before = chain.snapshot()
    told.clear()
    assert chain.run() == []
    assert told == [f"{name}: finished before ({name} was well)" for name in ALL]
    assert chain.snapshot() == before


def test_an_interrupted_stage_goes_on_with_what_is_missing(chain: Chain, told: list[str]) -> None:
    chain.interrupt("localize")
    assert not chain.records["localize"].finished
    (first,) = (chain.root / "seeds").iterdir()
    content = first.read_text()
    told.clear()
    assert chain.run() == ["localize", "evaluate", "report"]
    assert told[:2] == ["classify: finished before (classify was well)", "localize: going on where it was interrupted"]
    assert first.read_text() == content
    assert all(record.finished for record in chain.records.values())


def test_settings_that_change_no_result_change_nothing(chain: Chain) -> None:
    chain.run()
    assert chain.run(("runtime.workers", 7), ("runtime.device", "cpu"), ("data.root", "elsewhere")) == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (("classifier.epochs", 3), "stage 'classify' in {root} was made with other settings: classifier.epochs was 13, "
         "is 3; add --redo classify to 'weakseg run' to replace it and all later stages, or choose another --out"),
        (("classifier.optim.momentum", 0.5), "classifier.optim.momentum was 0.9, is 0.5; add --redo classify"),
        (("runtime.seed", 4), "runtime.seed was 0, is 4; add --redo classify"),
        (("localize.scales", (1.0,)), "localize.scales was [1.0, 0.5, 1.5, 2.0], is [1.0]; add --redo localize"),
        (("data.max_side_px", 99), "data.max_side_px was None, is 99; add --redo localize"),
    ],
)  # fmt: skip
def test_a_changed_setting_stops_by_name_before_anything_is_written(override: str, message: str, chain: Chain) -> None:
    chain.run()
    before = chain.snapshot()
    with pytest.raises(ConfigError) as raised:
        chain.run(override)
    assert message.format(root=chain.root) in str(raised.value)
    assert chain.ran == []
    assert chain.snapshot() == before, "recipe.yaml still tells how the results were made"


def test_a_change_of_a_later_stage_stops_before_an_earlier_one_works_for_hours(chain: Chain) -> None:
    chain.run()
    (chain.root / "classifier").rmdir()
    with pytest.raises(ConfigError, match=r"stage 'localize' .* localize\.scales"):
        chain.run(("localize.scales", (1.0,)))
    assert chain.ran == []


def test_a_setting_changed_after_an_interruption_stops_too(chain: Chain) -> None:
    chain.interrupt("classify", ("classifier.epochs", 5))
    with pytest.raises(ConfigError, match=r"classifier\.epochs was 5, is 3"):
        chain.run(("classifier.epochs", 3))
    assert chain.run(("classifier.epochs", 3), redo="classify") == ALL


def test_changed_images_and_versions_are_told_apart_from_settings(chain: Chain) -> None:
    chain.run()
    chain.digests["val"] = "other"
    with pytest.raises(ConfigError, match=r"with other settings: images and tags of val changed; add --redo classify"):
        chain.run()
    chain.digests = {"train": "d1"}
    with pytest.raises(ConfigError, match=r"images and tags of val changed"):
        chain.run()
    chain.digests["val"] = "d2"
    chain.versions["localize"] = 2
    with pytest.raises(ConfigError, match=r"stage 'localize' .* version of localize was 1, is 2; add --redo localize"):
        chain.run()


def test_a_derived_stage_is_done_again_when_its_settings_change(chain: Chain, told: list[str]) -> None:
    chain.run()
    (chain.root / "predictions" / "old.png").touch()
    told.clear()
    assert chain.run(("evaluate.threshold_steps", 7)) == ["evaluate", "report"]
    assert told[2:4] == ["evaluate: again, since evaluate.threshold_steps was 100, is 7", "evaluate: started"]
    assert "report: again, since result of evaluate changed" in told
    assert not (chain.root / "predictions" / "old.png").exists()
    assert chain.run(("evaluate.threshold_steps", 7)) == []
    assert chain.run(("evaluate.threshold_steps", 7), ("report.gallery_images", 3)) == ["report"]


def test_redo_replaces_a_stage_and_all_later_ones(chain: Chain, told: list[str]) -> None:
    chain.run()
    kept = chain.root / "classifier" / "kept"
    kept.touch()
    (chain.root / "seeds" / "stray").touch()
    assert chain.run(("localize.scales", (1.0,)), redo="localize") == ["localize", "evaluate", "report"]
    assert kept.exists()
    assert not (chain.root / "seeds" / "stray").exists()
    assert chain.records["localize"].parts["localize.scales"] == [1.0]
    assert build_config(read_recipe(str(chain.root / "recipe.yaml"))).localize.scales == (1.0,)


def test_redo_keeps_everything_when_an_earlier_stage_would_stop_the_run(chain: Chain) -> None:
    chain.run()
    before = chain.snapshot()
    with pytest.raises(ConfigError, match=r"classifier\.epochs was 13, is 3"):
        chain.run(("classifier.epochs", 3), redo="localize")
    assert chain.snapshot() == before


@pytest.mark.parametrize("redo", ["localize", "classify"])
@pytest.mark.parametrize("lacking", ["localize", "report"])
def test_redo_keeps_everything_when_a_stage_lacks_what_it_needs(redo: str, lacking: str, chain: Chain) -> None:
    chain.run()
    before = chain.snapshot()
    chain.lacking = lacking
    with pytest.raises(DataError, match=f"{lacking} lacks something"):
        chain.run(redo=redo)
    assert chain.snapshot() == before


def test_only_stages_with_work_to_do_need_anything(chain: Chain) -> None:
    chain.interrupt("localize")
    chain.run()
    assert chain.asked == [("localize", False), ("evaluate", True), ("report", True)]
    chain.run()
    assert chain.asked == []
    chain.run(("evaluate.threshold_steps", 7))
    assert chain.asked == [("evaluate", False), ("report", False)]
    RunFolder(chain.root).seed("b").unlink()
    chain.run(("evaluate.threshold_steps", 7), only="localize")
    assert chain.asked == [("localize", False)]
    chain.run(("evaluate.threshold_steps", 7), only="localize", redo="localize")
    assert chain.asked == [("localize", True)]


def test_a_fresh_run_that_lacks_something_leaves_nothing_behind(chain: Chain) -> None:
    chain.lacking = "report"
    with pytest.raises(DataError):
        chain.run()
    assert not chain.root.exists()


def test_redo_of_a_stage_that_never_ran_just_runs(chain: Chain) -> None:
    assert chain.run(redo="localize") == ALL


@pytest.mark.parametrize("kind", ["only", "redo"])
def test_an_unknown_stage_is_named_with_the_known_ones(kind: str, chain: Chain) -> None:
    with pytest.raises(ConfigError, match="stage 'crf': expected one of classify, localize, evaluate, report"):
        chain.run(**{kind: "crf"})
    assert not chain.root.exists()


def test_one_stage_can_be_run_by_itself(chain: Chain) -> None:
    assert chain.run(only="classify") == ["classify"]
    assert chain.run(only="localize") == ["localize"]
    assert chain.run(only="localize") == []
    assert chain.run(only="localize", redo="localize") == ["localize"]
    assert sorted(chain.records) == ["classify", "localize"]


def test_a_stage_whose_needs_are_missing_says_what_to_run(chain: Chain) -> None:
    with pytest.raises(ArtifactError) as raised:
        chain.run(only="evaluate")
    assert str(raised.value) == (
        f"stage 'evaluate' needs the finished stage 'classify' in {chain.root}; "
        "run 'weakseg classify' with the same recipe and settings first, or 'weakseg run' for the whole chain"
    )
    assert not chain.root.exists()
    chain.run(only="classify")
    with pytest.raises(ArtifactError, match="stage 'report' needs the finished stage 'localize'"):
        chain.run(only="report")
    chain.interrupt("localize")
    with pytest.raises(ArtifactError, match="stage 'evaluate' needs the finished stage 'localize'"):
        chain.run(only="evaluate")


@pytest.mark.parametrize("stage", ["localize", "evaluate", "report"])
def test_one_stage_does_not_accept_needs_that_were_made_with_other_settings(stage: str, chain: Chain) -> None:
    chain.run(("classifier.epochs", 5))
    before = chain.snapshot()
    with pytest.raises(ConfigError, match=r"stage 'classify' .* other settings: classifier\.epochs was 5, is 3; add"):
        chain.run(("classifier.epochs", 3), only=stage)
    assert chain.ran == []
    assert chain.snapshot() == before


def test_one_stage_does_not_leave_a_recipe_that_contradicts_later_results(chain: Chain) -> None:
    chain.run()
    before = chain.snapshot()
    with pytest.raises(ConfigError, match=r"stage 'localize' .* localize\.scales"):
        chain.run(("localize.scales", (1.0,)), only="classify")
    assert chain.snapshot() == before
    assert chain.run(("localize.scales", (1.0,)), only="classify", redo="localize") == []
    assert list(chain.records) == ["classify"]


def test_one_stage_does_not_accept_a_derived_need_that_is_out_of_date(chain: Chain) -> None:
    chain.run()
    with pytest.raises(ArtifactError) as raised:
        chain.run(("evaluate.threshold_steps", 7), only="report")
    assert (
        "stage 'report' needs the stage 'evaluate', which is out of date (evaluate.threshold_steps was 100, is 7), in "
        f"{chain.root}; run 'weakseg evaluate' with the same recipe and settings first"
    ) in str(raised.value)
    assert chain.run(("evaluate.threshold_steps", 7), only="evaluate") == ["evaluate"]
    assert chain.run(("evaluate.threshold_steps", 7), only="report") == ["report"]


def test_one_stage_does_not_accept_needs_whose_files_are_gone(chain: Chain) -> None:
    chain.run()
    RunFolder(chain.root).seed("b").unlink()
    with pytest.raises(ArtifactError, match="stage 'evaluate' needs the finished stage 'localize'"):
        chain.run(only="evaluate", redo="evaluate")
    assert (chain.root / "metrics.json").exists()


def test_redo_must_not_remove_what_the_one_stage_needs(chain: Chain) -> None:
    chain.run()
    before = chain.snapshot()
    with pytest.raises(ConfigError, match="--redo classify would remove what the stage 'localize' needs; use it with"):
        chain.run(only="localize", redo="classify")
    assert chain.snapshot() == before


@pytest.mark.parametrize(
    ("output", "stage"), [("classifier", "classify"), ("metrics.json", "evaluate"), ("report.html", "report")]
)
def test_an_output_deleted_by_hand_is_made_again(output: str, stage: str, chain: Chain, told: list[str]) -> None:
    chain.run()
    path = chain.root / output
    path.rmdir() if path.is_dir() else path.unlink()
    told.clear()
    assert chain.run() == [stage]
    assert f"{stage}: some of its files are gone, making them again" in told
    assert path.exists()


def test_one_file_of_many_deleted_by_hand_is_made_again_and_the_others_stay(chain: Chain) -> None:
    chain.run()
    folder = RunFolder(chain.root)
    folder.seed("b").unlink()
    content = folder.seed("a").read_text()
    assert chain.run() == ["localize"]
    assert folder.seed("a").read_text() == content
    assert folder.seed("b").exists()
    assert chain.run() == []


@pytest.mark.parametrize("only", [None, "localize"])
def test_files_that_no_stage_wrote_are_neither_used_nor_removed(only: str | None, chain: Chain) -> None:
    own = chain.root / "seeds" / "a.npz"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    message = rf"{own.parent} exists, but run\.json does not tell that the stage 'localize' wrote it; move it away, or"
    for redo in (None, "localize"):
        with pytest.raises(ArtifactError, match=message):
            chain.run(only=only, redo=redo)
    assert own.read_text() == "mine"
    assert chain.ran == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"versions": {}}',
        '{"stages": []}',
        '{"stages": {"classify": 3}}',
        '{"stages": {"classify": {"done": true}}}',
        "\xff",
    ],
)
def test_a_damaged_state_is_named_and_nothing_is_touched(content: str, chain: Chain) -> None:
    chain.run()
    (chain.root / "run.json").write_bytes(content.encode("latin-1"))
    before = chain.snapshot()
    with pytest.raises(ArtifactError, match=r"run\.json is damaged \(.*\); delete the run folder and start again"):
        chain.run(redo="classify")
    assert chain.snapshot() == before


def test_half_written_files_of_a_killed_process_are_removed(chain: Chain) -> None:
    chain.interrupt("localize")
    deep = chain.root / "seeds" / "sub"
    deep.mkdir()
    partials = [
        chain.root / "seeds" / ".a.npz.17.partial",
        deep / ".b.npz.18.partial",
        chain.root / ".run.json.9.partial",
    ]
    others = [chain.root / "seeds" / "c.partial", chain.root / "data" / ".d.png.1.partial"]
    others[1].parent.mkdir()
    for path in [*partials, *others]:
        path.touch()
    chain.run()
    assert not any(path.exists() for path in partials)
    assert all(path.exists() for path in others)


def test_time_adds_up_over_repairs(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    work = chain.work

    def slow_work(name: str, outputs: tuple[str, ...]) -> str:
        clock[0] += 20
        return work(name, outputs)

    monkeypatch.setattr("weakseg.pipeline.runner.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(chain, "work", slow_work)
    chain.run()
    assert {record.time_s for record in chain.records.values()} == {20.0}
    (chain.root / "report.html").unlink()
    chain.run()
    assert chain.records["report"].time_s == 40.0


def test_the_time_of_a_command_that_ends_early_counts(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, work = [0.0], chain.work

    def slow_work(name: str, outputs: tuple[str, ...]) -> str:
        clock[0] += 20
        if name == "localize" and clock[0] < 60:
            raise DataError("an image has gone")
        return work(name, outputs)

    monkeypatch.setattr("weakseg.pipeline.runner.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(chain, "work", slow_work)
    with pytest.raises(DataError, match="an image has gone"):
        chain.run()
    assert (chain.records["localize"].finished, chain.records["localize"].time_s) == (False, 20.0)
    chain.run()
    assert chain.records["localize"].time_s == 40.0


def test_other_ranks_write_nothing(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.run()
    before = chain.snapshot()
    for module in ("runner", "removal", "lock"):
        monkeypatch.setattr(f"weakseg.pipeline.{module}.rank", lambda: 1)
    monkeypatch.setattr(chain, "work", lambda name, outputs: "")
    chain.run(("classifier.epochs", 3), redo="classify")
    assert chain.snapshot() == before


def test_a_second_process_writes_nothing_but_the_report(chain: Chain) -> None:
    chain.run()
    with held_by_another(chain.root):
        before = chain.snapshot()
        for only in (None, "localize", "evaluate"):
            with pytest.raises(ArtifactError, match="is in use by process 77 of ana on box since"):
                chain.run(("classifier.epochs", 3), only=only, redo=only or "classify")
        assert chain.ran == []
        assert chain.snapshot() == before
        assert chain.run(only="report", redo="report") == ["report"]
    assert chain.run() == []


def test_a_report_made_meanwhile_stays_known(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record appears in `run.json` while another process is within a stage."""
    chain.run()
    report, work, folder = chain.records["report"], chain.work, RunFolder(chain.root)

    def report_meanwhile(name: str, outputs: tuple[str, ...]) -> str:
        write_records(folder, {**read_records(folder), "report": report})
        return work(name, outputs)

    (chain.root / "metrics.json").unlink()
    write_records(folder, {name: record for name, record in chain.records.items() if name != "report"})
    (chain.root / "report.html").unlink()
    monkeypatch.setattr(chain, "work", report_meanwhile)
    assert chain.run(only="evaluate") == ["evaluate"]
    assert chain.records["report"] == report


def test_a_stage_that_a_run_does_without_is_told_and_counts_for_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chain = Chain(tmp_path, skipped="classify")
    with caplog.at_level("INFO", logger="weakseg"):
        assert chain.run() == ["localize", "evaluate", "report"]
    assert "classify: not needed, since it is Sunday" in caplog.text
    assert [name for name, _ in chain.asked] == ["localize", "evaluate", "report"]
    assert sorted(chain.records) == ["evaluate", "localize", "report"]
    assert "result of classify" not in chain.records["localize"].parts
    assert chain.run() == []
    assert chain.run(only="classify") == []
    assert chain.run(only="localize") == []
    assert chain.run(("classifier.epochs", 99)) == [], "its settings count for nothing"


def test_what_a_stage_has_made_stays_when_a_run_does_without_it(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    chain.run()
    chain.skipped = "classify"
    with pytest.raises(ConfigError, match="result of classify"):
        chain.run()
    assert chain.run(redo="localize") == ["localize", "evaluate", "report"]
    assert (tmp_path / "classifier").is_dir()
    chain.skipped = ""
    assert chain.run(redo="localize") == ["localize", "evaluate", "report"]
    chain.skipped = "classify"
    assert chain.run(redo="classify") == ["localize", "evaluate", "report"]
    assert not (tmp_path / "classifier").exists()
    assert "classify" not in chain.records
