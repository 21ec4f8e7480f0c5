import pytest

from tests.pipeline.made_chain import Chain, chain
from weakseg.errors import ArtifactError
from weakseg.pipeline.artifacts import RunFolder

assert chain, "a fixture"


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
