"""What surrounds the package: the container, hooks, templates, the citation, the bill of materials."""

import importlib.util
import json
import re
import shlex
import tomllib
from email.message import Message
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

from weakseg import __version__
from weakseg.cli import VERBS
from weakseg.serve.listening import DEFAULT_PORT

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read_dockerfile() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, each on one line."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def stages() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in read_dockerfile():
        if word == "FROM":
            found[rest.split(" AS ")[1]] = [("FROM", rest.split(" AS ")[0])]
        elif found:
            found[list(found)[-1]].append((word, rest))
    return found


def test_the_container_is_built_in_stages_and_runs_as_nobody_special() -> None:
    parts = stages()
    assert list(parts) == ["build", "base", "serve", "command"]  # the last one is what is built unless another is named
    words = {name: dict(lines) for name, lines in parts.items()}
    assert words["serve"]["FROM"] == words["command"]["FROM"] == "base"
    assert words["base"]["USER"] == "1000:1000"  # a number, which Kubernetes can tell from root
    assert "--from=build" in words["base"]["COPY"]
    assert not {word for name in ("serve", "command") for word, _ in parts[name]} & {"USER", "RUN"}
    for name in ("serve", "command"):
        assert "HEALTHCHECK" in words[name]
        program, *rest = json.loads(words[name]["ENTRYPOINT"])
        assert program == "weakseg"
        assert not rest or rest[0] in VERBS
    assert f":{DEFAULT_PORT}/health" in words["serve"]["HEALTHCHECK"]
    assert words["serve"]["EXPOSE"] == str(DEFAULT_PORT)
    assert str(DEFAULT_PORT) in json.loads(words["serve"]["ENTRYPOINT"])


def test_the_container_has_the_versions_and_extras_of_the_project() -> None:
    arguments = dict(rest.split("=", 1) for word, rest in read_dockerfile() if word == "ARG")
    floor = PYPROJECT["project"]["requires-python"].removeprefix(">=")
    assert arguments["PYTHON_VERSION"] == floor
    assert set(arguments["EXTRAS"].split(",")) <= set(PYPROJECT["project"]["optional-dependencies"])
    assert arguments["TORCH_INDEX_URL"].endswith("/cpu")
    build = stages()["build"]
    assert "PIP_CONSTRAINT" in dict(build)["ENV"]
    assert ("COPY", "constraints.txt ./") in build
    label = dict(stages()["base"])["LABEL"]
    assert f'title="{PYPROJECT["project"]["name"]}"' in label
    assert f'licenses="{PYPROJECT["project"]["license"]}"' in label
    assert f'description="{PYPROJECT["project"]["description"]}"' in label


def test_what_is_copied_into_the_build_exists_and_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    copied = [shlex.split(rest)[:-1] for word, rest in stages()["build"] if word == "COPY"]
    for name in (one.rstrip("/") for files in copied for one in files):
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored


def test_hooks_run_what_make_lint_runs() -> None:
    hooks = [
        hook
        for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
        for hook in repo["hooks"]
        if repo["repo"] == "local"  # others would be fetched
    ]
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("lint: setup\n")[1].split("\n\n")[0]
    wanted = [line.strip().replace("$(RUN)", ".venv/bin").removesuffix(" .") for line in recipe.splitlines()]
    assert [hook["entry"] for hook in hooks] == wanted


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_issue_forms_are_whole(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.stem == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= set(form)
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids)
    assert all(part["type"] in ("textarea", "checkboxes") and part["attributes"]["label"] for part in form["body"])


def test_the_citation_is_of_this_version() -> None:
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (told["cff-version"], told["version"], told["license"]) == ("1.2.0", __version__, "MIT")
    assert {"message", "title", "authors"} <= set(told)


def test_links_of_the_documents_beside_the_readme_exist() -> None:
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md"):
        for target in re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{name}: {target}"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_sbom", ROOT / "tools" / "make_sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(name: str, *requires: str, **fields: str) -> SimpleNamespace:
    metadata = Message()
    metadata["Name"] = name
    for key, value in fields.items():
        for line in value.split("|"):
            metadata[key.replace("_", "-")] = line
    return SimpleNamespace(version="1.0", requires=list(requires) or None, metadata=metadata)


def test_the_bill_of_materials_follows_extras_and_tells_licences(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {
        "weakseg": package(
            "weakseg", "one", "weakseg[more]; extra == 'all'", "two[x]; extra == 'more'", "gone; extra == 'more'",
            "tests-only; extra == 'dev'", "windows-only; sys_platform == 'none'", License_Expression="MIT",
        ),
        "one": package("One", "three>=1", License="MIT License"),
        "two": package(
            "two", "three; extra == 'x'", License="A long text\nof a licence",
            Classifier="License :: OSI Approved :: BSD License|Topic :: Any",
        ),
        "three": package("three", License="UNKNOWN"),
        "tests-only": package("tests-only"),
    }  # fmt: skip

    def find(name: str) -> SimpleNamespace:
        if name.lower() not in installed:
            raise PackageNotFoundError(name)
        return installed[name.lower()]

    monkeypatch.setattr(tool, "distribution", find)
    document = tool.make_sbom()
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["licenses"] == [{"expression": "MIT"}]
    assert {part["name"]: part["licenses"] for part in document["components"]} == {
        "one": [{"license": {"id": "MIT"}}],
        "three": [],
        "two": [{"license": {"name": "BSD License"}}],
    }
    depends = {entry["ref"]: entry["dependsOn"] for entry in document["dependencies"]}
    assert depends["pkg:pypi/weakseg@1.0"] == ["pkg:pypi/one@1.0", "pkg:pypi/two@1.0"]
    assert depends["pkg:pypi/two@1.0"] == ["pkg:pypi/three@1.0"]
    assert document == tool.make_sbom()


def test_the_bill_of_this_environment_names_what_weakseg_needs(tool: ModuleType) -> None:
    document = tool.make_sbom()
    names = {part["name"] for part in document["components"]}
    needed = {re.split(r"[><=\[]", line)[0] for line in PYPROJECT["project"]["dependencies"]}
    assert needed <= names
    refs = {part["bom-ref"] for part in document["components"]} | {document["metadata"]["component"]["bom-ref"]}
    assert {other for entry in document["dependencies"] for other in entry["dependsOn"]} <= refs
