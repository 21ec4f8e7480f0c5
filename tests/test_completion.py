"""`weakseg --completion SHELL`, made from the parsers; bash really completes here."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from weakseg.cli import STUDIES, VERBS, main
from weakseg.commands.completion import SHELLS, collect
from weakseg.config.complaints import field_types
from weakseg.config.own_recipes import list_recipes
from weakseg.help.completion import Completions, one_line, read_parser
from weakseg.help.completion_scripts import RENDERERS
from weakseg.registry import LOCALIZERS

pytestmark = pytest.mark.slow  # every verb is asked for its parser

CHECKERS = {"bash": ("bash", "-n"), "zsh": ("zsh", "-n"), "fish": ("fish", "--no-execute")}


@pytest.fixture(scope="module")
def known() -> Completions:
    verbs, studies = ({name: (verb.summary, verb.run) for name, verb in all.items()} for all in (VERBS, STUDIES))
    return collect(verbs, studies)


@pytest.fixture(scope="module")
def scripts(known: Completions, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("completion")
    paths = {shell: folder / f"weakseg.{shell}" for shell in SHELLS}
    for shell, path in paths.items():
        path.write_text(RENDERERS[shell](known), encoding="utf-8")
    return paths


def test_every_verb_study_option_and_setting_is_known(known: Completions) -> None:
    names = {verb.name for verb in known.verbs}
    assert names == {*VERBS, *(f"study {name}" for name in STUDIES)}
    assert [option.name for option in known.settings] == [f"--{path}" for path in field_types()]
    assert tuple(known.recipes) == list_recipes()
    by_name = {verb.name: verb for verb in known.verbs}
    assert by_name["run"].takes_settings
    assert by_name["run"].takes_recipe
    assert not by_name["serve"].takes_settings
    exported = {option.name: option for option in by_name["export"].options}
    assert {"voc", "onnx", "onnx-int8", "bundle"} <= set(exported["--to"].values)
    assert not {option.name for option in by_name["report"].options} ^ {
        "--out",
        "--images",
        "--redo",
        "--print_config",
        "--help",
    }
    settings = {option.name: option for option in known.settings}
    assert settings["--localize.method"].values == LOCALIZERS.names()
    assert settings["--segmenter.masks"].values == ("refined", "truth")
    assert settings["--data.root"].values == ("null",)


def test_values_are_given_to_options_that_exist(known: Completions) -> None:
    """`commands/completion.py` names options; a name that is gone would go unnoticed."""
    with_values = {(verb.name, option.name) for verb in known.verbs for option in verb.options if option.values}
    wanted = {("export", "--to"), ("export", "--what"), ("export", "--split"), ("export", "--images"),
              ("review", "--split"), ("predict", "--outputs"), ("predict", "--device"), ("serve", "--device"),
              ("run", "--redo")}  # fmt: skip
    assert wanted <= with_values


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_what_the_shell_can_read(shell: str, scripts: dict[str, Path]) -> None:
    text = scripts[shell].read_text(encoding="utf-8")
    for word in ("serve", "photographs", "classifier.epochs", "folder_best", "lpcam", "onnx-int8"):
        assert re.search(rf"\b{re.escape(word)}\b", text), word
    if shutil.which(shell) is not None:
        subprocess.run([*CHECKERS[shell], str(scripts[shell])], check=True)


def complete(script: Path, folder: Path, *words: str) -> set[str]:
    """Let bash complete the last word."""
    quoted = " ".join(f"'{word}'" for word in words)
    code = (
        f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _weakseg; "
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(filter(None, done.stdout.splitlines()))


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (("se",), {"segment", "serve"}),
        (("--com",), {"--completion"}),
        (("--completion", ""), set()),
        (("study", "t"), {"threshold"}),
        (("run", "folder_"), {"folder_best", "folder_quick"}),
        (("run", "fold"), {"folder", "folder_best", "folder_quick", "folding photos"}),
        (("study", "rib", "dem"), {"demo", "demo_quick"}),
        (("run", "folder", "--pa"), {"--part"}),
        (("run", "folder", "--loc"), {"--localize."}),
        (("run", "folder", "--localize.rib.partner_d"), {"--localize.rib.partner_draws"}),
        (("run", "folder", "--localize.method", "lp"), {"lpcam"}),
        (("run", "folder", "--localize.method", "=", "lp"), {"lpcam"}),
        (("run", "folder", "--localize.method", "="), set(LOCALIZERS.names())),
        (("run", "folder", "--evaluate.flip", ""), {"true", "false"}),
        (("run", "folder", "--classifier.epochs", ""), set()),
        (("run", "folder", "--help", "localize.cl"), {"localize.clip_es"}),
        (("run", "folder", "--redo", "cl"), {"classify"}),
        (("export", "run", "--to", "onnx"), {"onnx", "onnx-int8"}),
        (("export", "run", "--m"), {"--min-area-px"}),
        (("export", "fold"), set()),  # left to the shell, which knows files
        (("serve", "--max"), {"--max-mb", "--max-megapixels", "--max-side-px"}),
        (("serve", "--cla"), set()),
        (("predict", "run", "new", "--outputs", "o"), {"overlay"}),
    ],
)  # fmt: skip
def test_bash_completes(typed: tuple[str, ...], expected: set[str], scripts: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "folding photos").mkdir()
    assert complete(scripts["bash"], tmp_path, "weakseg", *typed) == expected


def test_the_command_prints_it_or_says_which_shells_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--completion", "fish"]) == 0
    assert capsys.readouterr().out.startswith("# weakseg --completion fish")
    for words in (["--completion"], ["--completion=tcsh"]):
        assert main(words) == 2
        assert "--completion: expected one of bash, zsh, fish, got" in capsys.readouterr().err


def test_help_texts_need_no_quotes() -> None:
    assert one_line('As the run\'s `auto` does it, "$HOME" [x]. More.') == "As the runs auto does it, HOME x"
    assert read_parser("none", "", (), takes_settings=False, values={}).options[0].name == "--help"
