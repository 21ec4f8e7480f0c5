"""Every block of the documentation is understood: commands by the parser, Python by its names, recipes by the loader.

What a page shows is run elsewhere, at a size that takes seconds: the README (test_readme.py), docs/api.md
(api/test_page.py), the tutorial, docs/data.md, docs/plugins.md, docs/predict.md and docs/export.md.
"""

import ast
import importlib
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser

from tests.test_readme import FIRST_PAGES
from weakseg.cli import STUDIES, VERBS, main
from weakseg.config.complaints import field_types
from weakseg.config.load import build_config, list_recipes, read_recipe

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
SHELLS = ("", "bash", "console", "sh")
PROGRAM = "weakseg"

RECIPES = ROOT / "src" / "weakseg" / "config" / "recipes"
RUN_ELSEWHERE = ("docs/plugins.md", "docs/predict.md", *FIRST_PAGES[1:-1])
"""Pages all of whose commands are run; those of docs/plugins.md name methods of other packages, besides."""

FOLDERS_OF_PHOTOGRAPHS = ("photos", "animals", "ROOT")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Args:
        place: `page:line` of its first line.
        language: Behind the signs that open it.
        text: Its lines, not indented.
    """

    place: str
    language: str
    text: str


def find_blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start(3)) + 1
        body = re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE)
        yield Block(f"{page.relative_to(ROOT)}:{line}", match[2].partition(" ")[0], body)


PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
BLOCKS = [block for page in PAGES for block in find_blocks(page)]


def find_commands(text: str) -> Iterator[str]:
    """Return the commands of a block that begin with the program, variables filled in; usage goes on in brackets."""
    variables: dict[str, str] = {}
    lines = text.replace("\\\n", " ")
    for line in re.sub(r"\n +(?=[\[-])", " ", lines).splitlines():
        if assigned := re.match(r"([A-Z]+)=\"([^\"]*)\"$", line):
            variables[assigned[1]] = assigned[2]
        filled = re.sub(r"\$([A-Z]+)", lambda match: variables.get(match[1], match[0]), line)
        for command in re.split(r" && | [|>] | 2> ", filled):
            words = re.sub(r" +# .*", "", command.removeprefix(".venv/bin/"))
            if words.startswith(f"{PROGRAM} "):
                yield words


def find_all_commands() -> dict[str, list[str]]:
    """Return the commands by the place of their block; what stands alone is read once, wherever else it stands."""
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    for block in BLOCKS:
        commands = list(find_commands(block.text)) if block.language in SHELLS else []
        needs_others = any("--out" in command for command in commands)
        new = commands if needs_others else [command for command in commands if command not in seen]
        seen.update(commands)
        if new and block.place.partition(":")[0] not in RUN_ELSEWHERE:
            found[block.place] = new
    return found


COMMANDS = find_all_commands()


def is_usage(command: str) -> bool:
    """Say whether a command is one to fill in: options in brackets, or words to choose from."""
    return bool(re.search(r"\[-|\[options|\[the|[A-Za-z]\|[A-Za-z]|\bSETTING\b", command))


class Understood(BaseException):
    """Raised in place of the work, once a command has been understood."""


def stop(*words: object, **options: object) -> None:
    raise Understood


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder in which commands are read and nothing is done."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "pipeline.telling.start_logging",
        "data.synthetic.write_critters",
        "handover.convert.convert_checkpoint",
    ):
        monkeypatch.setattr(f"weakseg.{name}", stop)
    for name in FOLDERS_OF_PHOTOGRAPHS:
        (tmp_path / name).mkdir()


def make_runs(words: list[str], recipe: str) -> None:
    """Put a recipe where a command takes a run for granted, which is called in capitals or lies below runs/."""
    for word in words:
        if re.fullmatch(r"RECIPE|RUN[-_\w]*|[A-C]|runs/[-\w]+", word) and not Path(word).exists():
            make_run(word, recipe="voc" if word == "RECIPE" else recipe)


def make_run(folder: str, *, recipe: str) -> None:
    Path(folder).mkdir(parents=True)
    text = (RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8")
    (Path(folder) / "recipe.yaml").write_text(text, encoding="utf-8")


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("place", COMMANDS)
def test_every_command_of_the_documents_is_understood(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = "folder"
    for command in COMMANDS[place]:
        if is_usage(command):
            require_options(command)
            continue
        words = shlex.split(command, comments=True)[1:]
        begun = words[words.index("--out") + 1] if "--out" in words and words[1] in list_recipes() else None
        make_runs([word for word in words if word != begun], recipe)
        try:
            code = main(words)
        except Understood:
            code = 0
        assert code == 0, f"{place}: {command}\n{capsys.readouterr().err}"
        if begun is not None:
            recipe = words[1]  # of the runs below that are copies of it
            make_run(begun, recipe=recipe)


def require_options(command: str) -> None:
    """Look for every option of a usage among those that the verb's parser knows."""
    words = command.split()[1:]
    verb = words[:2] if words[0] == "study" else words[:1]
    assert verb[0] in VERBS, command
    assert len(verb) == 1 or verb[1] in STUDIES, command
    parsers: list[ArgumentParser] = []

    class Noted(ArgumentParser):
        def __init__(self, **options: object) -> None:
            super().__init__(**options)  # type: ignore[arg-type]
            parsers.append(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("weakseg.arguments.verbs.ArgumentParser", Noted)
        runs = list(takewhile(lambda word: word.isupper() and "|" not in word, words[len(verb) :]))
        make_runs(runs, "folder")
        assert main([*verb, *runs, "--help"]) == 0
    known = {option for parser in parsers for action in parser._actions for option in action.option_strings}
    for option in re.findall(r"--[\w.-]+", command):
        assert option in known or option[2:] in field_types() or option == "--section.setting", f"{command}: {option}"


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "python"], ids=lambda block: block.place
)
def test_python_compiles_and_what_it_imports_exists_and_is_called_as_shown(block: Block) -> None:
    tree = ast.parse(block.text, block.place)
    found: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PROGRAM):
            module = importlib.import_module(node.module or "")
            for name in node.names:
                assert hasattr(module, name.name), f"{block.place}: {node.module} has no {name.name}"
                found[name.asname or name.name] = getattr(module, name.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and callable(found.get(node.func.id)):
            called = found[node.func.id]
            assert callable(called)
            keywords = {keyword.arg: None for keyword in node.keywords if keyword.arg is not None}
            try:
                inspect.signature(called).bind(*[None for _ in node.args], **keywords)
            except TypeError as error:
                pytest.fail(f"{block.place}, {node.func.id}: {error}")


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language in ("yaml", "toml")], ids=lambda block: block.place
)
def test_recipes_and_other_documents_load(block: Block) -> None:
    if block.language == "toml":
        assert tomllib.loads(block.text)
        return
    document = yaml.safe_load(block.text)
    sections = {name.partition(".")[0] for name in field_types()}
    if set(document) <= sections:
        method = document.get("localize", {}).get("method")
        recipe = read_recipe(method if method in list_recipes() else "folder")
        build_config({name: {**recipe[name], **document.get(name, {})} for name in recipe})  # type: ignore[dict-item]


def test_there_are_blocks() -> None:
    assert sum(map(len, COMMANDS.values())) > 80
    assert sum(block.language == "python" for block in BLOCKS) > 25
