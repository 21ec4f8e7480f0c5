from pathlib import Path

import pytest

from tests.pipeline.made_chain import ALL, Chain, chain
from weakseg.config.load import build_config, read_recipe
from weakseg.errors import ConfigError, DataError
from weakseg.pipeline.artifacts import RunFolder

assert chain, "a fixture"


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


def test_redo_of_a_stage_that_never_ran_just_runs(chain: Chain) -> None:
    assert chain.run(redo="localize") == ALL


def test_redo_must_not_remove_what_the_one_stage_needs(chain: Chain) -> None:
    chain.run()
    before = chain.snapshot()
    with pytest.raises(ConfigError, match="--redo classify would remove what the stage 'localize' needs; use it with"):
        chain.run(only="localize", redo="classify")
    assert chain.snapshot() == before


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
