import pytest

from tests.pipeline.made_chain import Chain, chain
from weakseg.errors import ArtifactError, ConfigError
from weakseg.pipeline.artifacts import RunFolder

assert chain, "a fixture"


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
