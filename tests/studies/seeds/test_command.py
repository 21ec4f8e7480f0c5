from __future__ import annotations

from pathlib import Path

import pytest

from tests.studies.seeds.painted_runs import make_run, paint_heads, paint_truth
from weakseg.cli import main
from weakseg.data.synthetic import CritterSettings, write_critters


@pytest.mark.slow
def test_the_command_prints_the_table_and_names_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_critters(tmp_path / "data", CritterSettings(size_px=48), images=6, val_images=5, seed=1)
    whole, heads = (
        str(make_run(tmp_path / name, tmp_path / "data", paint))
        for name, paint in (("whole", paint_truth), ("heads", paint_heads))
    )
    words = ["study", "seeds", whole, heads, "--labels", "all of it", "heads", "--sizes", "0.1", "0.2", "--name", "x"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Seeds of 2 runs on val, 5 images, tags given")
    assert "equal" in printed
    assert f"{whole}/studies/x/figure.png" in printed
    record = (tmp_path / "whole" / "studies" / "x" / "study.json").read_text()
    assert f"weakseg study seeds {whole} {heads} --labels 'all of it' heads --sizes 0.1 0.2 --name x" in record


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "the following arguments are required: runs"),
        (["nowhere"], 1, "nowhere is no run folder: expected a recipe.yaml in it"),
        (["nowhere", "--what", "labels"], 2, "--what: expected one of seeds, masks, predictions, adaptations"),
        (["nowhere", "--splt", "val"], 2, "unknown argument '--splt'; did you mean '--split'?"),
        (["nowhere", "--boundary", "2"], 2, "--boundary: expected a share of the image's diagonal between 0 and 1"),
        (["nowhere", "--sizes", "0.3", "0.1"], 2, "--sizes: expected shares of the image, ascending between 0 and 1"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_with_its_exit_code(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "seeds", *words]) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "seeds", "--help"]) == 0
    assert "usage: weakseg study seeds RUN [RUN ...]" in capsys.readouterr().out
