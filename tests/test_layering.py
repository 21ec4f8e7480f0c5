"""Imports go one way only (CONTRIBUTING.md); this walks the syntax tree of every module, lazy imports included."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "weakseg"

BASE_ORDER = (
    "lazy",
    "errors",
    "documents",
    "spelling",
    "file_names",
    "csv_cells",
    "files",
    "remote",
    "stores",
    "log_form",
    "types",
    "methods",
    "registry",
    "__init__",
)
"""Within the lowest layer, a module imports only those before it."""

LAYERS = (
    set(BASE_ORDER),
    {"config"},
    {"ops"},
    {"data", "models"},
    {"train"},
    {"localize", "refine"},
    {"pipeline"},
    {"scoring"},
    {"report", "review", "predict", "checks", "estimate"},
    {"handover", "chain", "serve"},
    {"studies", "api"},
    {"help"},
    {"arguments", "endings"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
"""From the ground up. A room imports from lower layers and from itself; rooms of one layer do not know each other."""

FORBIDDEN = {("ops", "config"), ("models", "config"), ("data", "config")}
"""Pairs that the order of the layers alone would allow."""


FOR_TYPE_CHECKERS = {
    "config/sections/localize.py": ("localize",),
    "config/sections/refine.py": ("refine",),
    "__init__.py": ("api",),
}
"""What these name for type checkers alone; when they run, the registry finds our own methods, and `lazy` the way in."""


def layer_of(name: str) -> int:
    return next(index for index, names in enumerate(LAYERS) if name in names)


def statements(block: ast.AST) -> Iterator[ast.AST]:
    """Walk everything that holds statements, and those; expressions, which are most of a tree, hold none."""
    yield block
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(block, name, ())
        for each in inner if isinstance(inner, list) else ():  # that of a lambda is one expression
            yield from statements(each)


def imported_parts(path: Path) -> set[str]:
    """Names right below `weakseg` that a file imports."""
    parts: set[str] = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module] if node.module != "weakseg" else [f"weakseg.{alias.name}" for alias in node.names]
            assert node.level == 0, f"{path}: relative import"
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        parts |= {name.split(".")[1] for name in names if name.startswith("weakseg.") and not name.endswith("__")}
    return parts


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def is_allowed(name: str, part: str) -> bool:
    """Say whether a module, by its path within `weakseg`, may import from a part."""
    own = name.split("/")[0].removesuffix(".py")
    if part in FOR_TYPE_CHECKERS.get(name, ()):
        return True
    if (own, part) in FORBIDDEN:
        return False
    if own in BASE_ORDER and part in BASE_ORDER:
        return BASE_ORDER.index(part) < BASE_ORDER.index(own)
    return layer_of(part) < layer_of(own)


def test_modules_import_only_their_own_and_lower_layers() -> None:
    wrong = []
    for path in modules():
        name = path.relative_to(SOURCE).as_posix()
        parts = imported_parts(path) - {name.split("/")[0].removesuffix(".py")}
        wrong += [f"{name} must not import {part}" for part in parts if not is_allowed(name, part)]
    assert wrong == []


def test_every_module_belongs_to_a_layer() -> None:
    known = set().union(*LAYERS)
    assert {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in modules()} <= known


def test_studies_do_not_know_each_other() -> None:
    """But for `context`, which trains what `methods` trains."""
    studies = {path.name for path in (SOURCE / "studies").iterdir() if (path / "__init__.py").is_file()}
    known = {
        (path.parent.name, other)
        for path in (SOURCE / "studies").rglob("*.py")
        for other in studies - {path.parent.name}
        if f"weakseg.studies.{other}" in path.read_text(encoding="utf-8")
    }
    assert known == {("context", "methods")}


def test_the_map_for_contributors_shows_every_room_and_no_file_that_is_gone() -> None:
    page = (SOURCE.parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert {room for room in rooms if f"`{room}/`" not in page} == set()
    named = {
        name for name in re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", page) if not name.startswith(("tests/", "tools/"))
    }
    assert len(named) > 20
    assert {name for name in named if not (SOURCE / name).is_file()} == set()


def test_every_path_that_contributors_are_told_of_exists() -> None:
    root = SOURCE.parent.parent
    page = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([\w./-]+(?:\.(?:py|md|toml|txt|sh|yaml)|/))`", page))
    told |= set(re.findall(r"(?:^|\s)((?:tests|tools|docs|benchmarks)/[\w./]+)", page))
    places = (root, SOURCE, SOURCE / "data", SOURCE / "studies" / "rib")  # of `data/`, and of any study, more is told
    assert len(told) > 50
    assert {path for path in told if not any((place / path).exists() for place in places)} == set()


def test_the_walk_sees_imports_inside_functions() -> None:
    assert {"chain", "pipeline", "arguments"} <= imported_parts(SOURCE / "cli.py")


def test_no_module_is_called_by_what_it_is_not_about() -> None:
    stems = {path.stem for path in modules()}
    assert stems & {"utils", "util", "helpers", "misc", "common"} == set()
    assert {stem for stem in stems if stem.endswith(("_voc_coco", "_new", "_old"))} == set()
