import io
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from weakseg import __version__
from weakseg.cli import VERBS, main

HELP_LIMIT_S = 0.6
"""What the issue asks of `weakseg --help`."""


def test_help_lists_every_verb_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {verb} " in text for verb in VERBS)


def test_help_does_not_import_torch() -> None:
    code = "import sys; from weakseg.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    started_s = time.perf_counter()
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
    # Far above what it takes (0.04 s), so that a busy machine does not fail: importing torch alone takes seconds.
    assert time.perf_counter() - started_s < 5 * HELP_LIMIT_S


@pytest.mark.slow
def test_help_of_a_recipe_does_not_import_torch() -> None:
    code = "import sys; from weakseg.cli import main; main(['run', '--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"usage: weakseg {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "r\\xfcn"), ("latin-1", "rün"), ("utf-8", "rün")])
def test_a_name_that_the_terminal_cannot_show_is_escaped(
    encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stderr", screen)
    assert main(["rün-caf\udce9"]) == 2
    screen.seek(0)
    assert f"unknown verb '{shown}-caf\\udce9'" in screen.read()


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"weakseg {__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, ""),
        (["rnu"], 2, "unknown verb 'rnu'; did you mean 'run'?"),
        (["run"], 2, "the following arguments are required: recipe"),
        (["run", "demo", "--rdo", "segment"], 2, "unknown argument '--rdo'; did you mean '--redo'?"),
        (["run", "demo", "--out"], 2, "expected one argument"),
        (["synth"], 2, "the following arguments are required: out"),
        (["predict", "x"], 2, "the following arguments are required: inputs"),
        (["run", "dmo"], 1, "recipe 'dmo': expected a built-in recipe"),
        (["run", "demo", "--classifier.epoch", "3"], 1, "did you mean 'classifier.epochs'?"),
        (["run", "demo", "--classifier.epochs", "three"], 1, "classifier.epochs: expected a whole number, got three"),
        (["run", "folder"], 1, "data.root: expected the folder of the folder data set, got null"),
        (["run", "folder", "--data.root", "nowhere"], 1, "there is no folder"),
        (
            ["run", "demo", "--runtime.device", "tpu"],
            1,
            "runtime.device: expected auto, cpu, cuda or cuda:N, got 'tpu'",
        ),
        (["localize", "demo"], 1, "stage 'localize' needs the finished stage 'classify'"),
        (
            ["run", "demo", "--redo", "sgment"],
            1,
            "--redo: expected one of classify, evaluate, localize, refine, report, segment, got 'sgment'",
        ),
        (["predict", "nowhere", "also-nowhere.jpg"], 1, "there is no file or folder also-nowhere.jpg"),
        (["check", "folder", "--data.root", "nowhere"], 1, "there is no folder"),
        (["localize", "demo", "--method", "rip"], 1, "localize.method"),
        (["localize", "demo", "--method=rib"], 1, "stage 'localize' needs the finished stage 'classify'"),
        (["classify", "demo", "--method", "rib"], 2, "unknown argument '--method'"),
        (["export"], 2, "the following arguments are required: run"),
        (["export", "nowhere"], 2, "the following arguments are required: --to; see"),
        (
            ["export", "nowhere", "--to", "pascal"],
            2,
            "--to: expected one of voc, coco, yolo-seg, cvat, label-studio, hf-dataset, onnx, "
            "onnx-int8, bundle, got 'pascal'",
        ),
        (
            ["export", "nowhere", "--to", "voc", "--splt", "val"],
            2,
            "unknown argument '--splt'; did you mean '--split'?",
        ),
        (["export", "nowhere", "--to", "voc"], 1, "nowhere is no run folder: expected a recipe.yaml in it"),
        (["compare", "nowhere"], 2, "the following arguments are required: second; see 'weakseg compare --help'"),
        (["compare", "nowhere", "nothing"], 1, "nowhere is no run folder: expected a recipe.yaml in it"),
        (["compare", "a", "b", "--top", "-1"], 2, "--top: expected 0 or more images, got -1"),
        (["report", "nowhere", "nothing"], 1, "nowhere is no run folder: expected a recipe.yaml in it"),
        (["report", "a", "b", "--images", "x"], 2, "--images: expected a whole number, got x"),
        (["report", "a", "b", "--images", "-2"], 2, "--images: expected 0 or more, got -2"),
        (["study", "rbi", "demo"], 2, "unknown study 'rbi'; did you mean 'rib'?"),
        (["study", "rib", "demo"], 2, "the following arguments are required: --over; see"),
        (
            ["study", "rib", "demo", "--over", "depth"],
            2,
            "--over: expected one of K, threshold, lr, margin, pooling, got 'depth'",
        ),
        (
            ["study", "rib", "demo", "--over", "K", "--values", "11"],
            1,
            "expected K up to localize.rib.iterations, which is 10",
        ),
        (
            ["study", "methods", "methods_critters", "--methods", "cma"],
            2,
            "--methods: expected some of cam, rib, seam, cda, ",
        ),
        (
            ["study", "methods", "methods_critters", "--thresholds", "2"],
            2,
            "--thresholds: expected values within 0..1, got 2",
        ),
        (["study", "methods", "methods_critters", "--seeds", "-1"], 2, "--seeds: expected one or more whole numbers"),
        (["study", "methods", "methods_critters", "--seeds", "0", "x"], 2, "--seeds: expected a whole number, got x"),
        (["study", "bottleneck", "--train-images", "1.5"], 2, "--train-images: expected a whole number, got 1.5"),
        (["study", "seeds", "nowhere", "--sizes", "0.1", "nan"], 2, "--sizes: expected a number, got nan"),
        (["study", "context", "voc"], 1, "data.name: only the context of critters can be chosen, got voc"),
        (
            ["study", "context", "methods_critters", "--values", "0.3", "3"],
            2,
            "--values: data.critters.p_context is a chance within 0..1, got 3",
        ),
    ],
)
def test_a_mistake_is_one_line_on_stderr_with_its_exit_code(
    words: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--data.critters.images=2", "--data.critters.val_images=0", "--data.critters.size_px=48"]
    words = [*words, *small] if words[1:2] == ["demo"] and "--out" not in words else words
    assert main(words) == code
    lines = capsys.readouterr().err.splitlines()
    told = [line for line in lines if line.startswith("weakseg: ")]
    assert len(told) == (1 if words else 0)
    assert message in "".join(told)
    assert "Traceback" not in "".join(lines)


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "dmo", "--debug"]) == 1
    text = capsys.readouterr().err
    assert "Traceback (most recent call last)" in text
    assert text.splitlines()[-1].startswith("weakseg: recipe 'dmo'")


def test_an_interrupt_exits_with_130_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(words: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("weakseg.cli._dispatch", interrupt)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "weakseg: interrupted; start the same command again to go on\n"


def test_a_bug_of_ours_is_not_dressed_up_as_a_user_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(words: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("weakseg.cli._dispatch", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["demo"]) == 3
    assert capsys.readouterr().err.startswith("weakseg: an error that nobody foresaw, ZeroDivisionError: ; ")


@pytest.mark.slow
def test_print_config_shows_the_resolved_recipe_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "demo", "--classifier.epochs=3", "--print_config"]) == 0
    printed = capsys.readouterr().out
    assert "epochs: 3" in printed
    (tmp_path / "mine.yaml").write_text(printed)
    assert main(["run", "mine.yaml", "--print_config"]) == 0
    assert capsys.readouterr().out == printed
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_synth_writes_a_folder_that_check_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "my critters")
    assert main(["synth", out, "--images", "12", "--val-images", "4", "--size", "64"]) == 0
    told = capsys.readouterr().out
    assert "16 images" in told
    program, *words = shlex.split(told.splitlines()[-1])
    assert (program, words[0]) == ("weakseg", "check")
    assert main([*words, "--estimate=false"]) == 0, "the command it names"
    assert "avo" in capsys.readouterr().out
