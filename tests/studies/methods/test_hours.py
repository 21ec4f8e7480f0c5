from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import pytest

from tests.studies.sizes import TINY_STUDY
from tests.tiny import with_settings
from weakseg.config.load import build_config, read_recipe
from weakseg.estimate.costs import PartCost
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.records import StageRecord, write_records
from weakseg.studies.methods import hours
from weakseg.studies.methods.hours import FIRST_LOOK_SHARE, Chore, list_chores, tell_hours
from weakseg.studies.methods.measure import Task
from weakseg.studies.methods.runs import SeedRuns, restrict_config, with_seed

CONFIG = restrict_config(
    build_config(read_recipe("methods_critters"), (*TINY_STUDY, "--localize.similarity_temperature=0.1")), split="train"
)
TASK = Task(("crf", "irn"), (0.25,), "train")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[SeedRuns]:
    """Data of two seeds."""
    root = tmp_path_factory.mktemp("drawn")
    return [SeedRuns(with_seed(CONFIG, seed), root / f"seed-{seed}") for seed in (0, 1)]


@pytest.fixture
def seeds(drawn: list[SeedRuns], tmp_path: Path) -> list[SeedRuns]:
    """The same with folders of their own, in which nothing is finished."""
    return [in_folder(runs, tmp_path / f"seed-{seed}") for seed, runs in enumerate(drawn)]


def in_folder(runs: SeedRuns, root: Path) -> SeedRuns:
    other = copy(runs)
    other.context = replace(runs.context, folder=RunFolder(root))
    return other


def automatic(seeds: Sequence[SeedRuns]) -> list[SeedRuns]:
    others = [copy(runs) for runs in seeds]
    for other in others:
        config = with_settings(other.context.config, ("refine.background_threshold", "auto"))
        other.context = replace(other.context, config=config)
    return others


def finish(runs: SeedRuns, name: str, *stages: str, finished: bool = True) -> None:
    """Record stages of a run below a seed as done, or as interrupted."""
    folder = RunFolder(runs.context.folder.root / name)
    write_records(folder, {stage: StageRecord(finished, "", {}) for stage in stages})


def count(chores: Sequence[Chore]) -> dict[str, int]:
    return {chore.label: chore.times for chore in chores}


def test_every_part_is_counted_once_for_each_seed_and_masks_for_each_method(seeds: list[SeedRuns]) -> None:
    chores = list_chores(seeds, ("cam", "rib", "cda"), TASK)
    assert count(chores) == {
        "classifier CAM": 2,
        "seeds CAM": 2,
        "seeds RIB": 2,
        "classifier CDA": 2,
        "seeds CDA": 2,
        "masks crf": 6,
        "masks irn": 6,
    }
    by_label = {chore.label: chore for chore in chores}
    assert {label for label, chore in by_label.items() if chore.factor != 1} == {"classifier CDA"}
    assert by_label["classifier CDA"].factor == 2
    assert {label for label, chore in by_label.items() if chore.twice} == {"masks irn"}
    assert not any(chore.swept or chore.first_looks for chore in chores)


def test_what_another_method_needs_is_counted_with_it(seeds: list[SeedRuns]) -> None:
    assert count(list_chores(seeds[:1], ("lpcam-averaged",), replace(TASK, refinements=()))) == {
        "classifier CAM": 1,
        "seeds CAM": 1,
        "seeds LPCAM": 1,
        "seeds LPCAM, averaged": 1,
    }
    assert count(list_chores(seeds[:1], ("cda",), replace(TASK, refinements=())))["classifier CAM"] == 1


def test_prototypes_look_at_all_images_and_averages_of_them_at_none(seeds: list[SeedRuns]) -> None:
    chores = list_chores(seeds, ("lpcam", "lpcam-averaged", "rib-averaged"), replace(TASK, refinements=()))
    looks = {chore.label: chore.first_looks for chore in chores}
    assert (looks["seeds LPCAM"], looks["seeds LPCAM, averaged"]) == (12, 0)
    # Whole adaptations are not made again for averages.
    methods = {chore.label: chore.context.config.localize.method for chore in chores}
    assert (methods["seeds RIB"], methods["seeds RIB, averaged"]) == ("rib", "cam")


def test_what_is_finished_is_not_counted_and_what_was_interrupted_is(seeds: list[SeedRuns]) -> None:
    finish(seeds[0], "cam", "classify", "localize")
    finish(seeds[1], "cam", "classify")
    finish(seeds[1], "rib", "localize", finished=False)
    finish(seeds[0], "cam-crf-0.25", "refine")
    finish(seeds[0], "cam-irn", "refine")
    assert count(list_chores(seeds, ("cam", "rib"), TASK)) == {
        "classifier CAM": 0,
        "seeds CAM": 1,
        "seeds RIB": 2,
        "masks crf": 3,
        "masks irn": 3,
    }


def test_with_auto_a_sweep_is_done_when_one_image_was_timed(seeds: list[SeedRuns]) -> None:
    seeds = automatic(seeds)
    timed = seeds[0].context.folder.root / "cam-crf" / "time-refine.json"
    timed.parent.mkdir(parents=True)
    timed.write_text("{}")
    chores = {chore.label: chore for chore in list_chores(seeds, ("cam", "rib"), replace(TASK, refinements=("crf",)))}
    assert (chores["masks crf"].times, chores["masks crf"].swept) == (3, True)
    trained = {chore.label: chore for chore in list_chores(seeds, ("cam",), replace(TASK, refinements=("irn",)))}
    assert (trained["masks irn"].times, trained["masks irn"].swept) == (2, False)


def test_masks_that_may_not_learn_from_a_method_are_not_counted(seeds: list[SeedRuns]) -> None:
    counts = count(list_chores(seeds, ("cam", "rib"), replace(TASK, learn_from=("cam",))))
    assert (counts["masks crf"], counts["masks irn"]) == (4, 2)


def test_hours_are_the_parts_times_how_often_each_is_done(
    seeds: list[SeedRuns], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    costs = {"classifier CAM": (90.0, ""), "seeds CAM": (1755.0, ""), "masks crf": (None, "no room")}
    monkeypatch.setattr(hours, "_try", lambda chore: costs[chore.label])
    caplog.set_level(logging.INFO, "weakseg")
    tell_hours(seeds, ("cam",), replace(TASK, refinements=("crf",)))
    told = [record.getMessage() for record in caplog.records]
    assert told[1:4] == [
        "  classifier CAM: 2 x, 3 min 0 s",
        "  seeds CAM: 2 x, 58 min 30 s",
        "  masks crf: 2 x, cannot be tried: no room",
    ]
    assert told[4].startswith("about 1 h 1 min in all (1.0 h), told in ")


def test_nothing_is_told_when_nothing_is_left(
    seeds: list[SeedRuns], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hours, "_try", lambda chore: pytest.fail("nothing is left to try"))
    caplog.set_level(logging.INFO, "weakseg")
    finish(seeds[0], "cam", "classify", "localize")
    tell_hours(seeds[:1], ("cam",), replace(TASK, refinements=()))
    assert not caplog.records


def test_a_chores_seconds_have_its_factor_and_its_first_looks(
    seeds: list[SeedRuns], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = seeds[0].context
    tagged = sum(bool(sample.keys) for sample in context.train)

    def try_parts(chore: Chore) -> list[PartCost]:
        of_cam = chore.context.config.localize.method == "cam" and chore.label == "seeds"
        return [PartCost("localize", "", 6.0 * tagged if of_cam else 30.0), PartCost("localize", "", 0.0)]

    monkeypatch.setattr(hours, "_try_parts", try_parts)
    assert hours._try(Chore("classifier", 1, context, "classify", factor=2.0)) == (60.0, "")
    lpcam = replace(context, config=with_settings(context.config, ("localize.method", "lpcam")))
    # CAM takes six seconds for an image, a first look a sixth of it.
    assert pytest.approx(1 / 6) == FIRST_LOOK_SHARE
    assert hours._try(Chore("seeds", 1, lpcam, "localize", first_looks=12))[0] == pytest.approx(30.0 + 12 * 1.0)


def test_a_part_that_cannot_be_tried_says_why(seeds: list[SeedRuns], monkeypatch: pytest.MonkeyPatch) -> None:
    found = [PartCost("refine", "", 3.0), PartCost("refine", "", None, note="no memory")]
    monkeypatch.setattr(hours, "_try_parts", lambda chore: found)
    assert hours._try(Chore("masks", 1, seeds[0].context, "refine")) == (None, "no memory")
