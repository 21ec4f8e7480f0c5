import json
from pathlib import Path

import pytest

from tests.pipeline.made_chain import ALL, DEMO, Chain, chain
from tests.pipeline.test_lock import held_by_another
from weakseg.config.load import build_config, read_recipe
from weakseg.errors import ArtifactError, ConfigError, DataError
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.records import read_records, write_records

assert chain, "a fixture"


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


def test_a_fresh_run_that_lacks_something_leaves_nothing_behind(chain: Chain) -> None:
    chain.lacking = "report"
    with pytest.raises(DataError):
        chain.run()
    assert not chain.root.exists()


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
