"""A package of less than 60 lines adds methods and a backbone, and runs the chain; and what can be wrong with one."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.photos import FEWER_CRITTERS, TINY

ROOT = Path(__file__).parent.parent.parent
TINT = Path(__file__).parent / "tint"
PACKAGE = "weakseg-tint 0.3"

pytestmark = pytest.mark.slow


ONE_AFTER_ANOTHER = """
import contextlib, io, json, sys
from weakseg.cli import main
ended = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ended.append([main(words)])
    ended[-1] += [out.getvalue(), err.getvalue()]
print(json.dumps(ended))
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def run_python(*words: str, installed: Path | None) -> str:
    """Run Python with a package on the path, or none, and return what it prints."""
    places = [ROOT / "src", *([] if installed is None else [installed])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(*commands: tuple[str, ...], installed: Path | None) -> list[Ended]:
    """Run commands of weakseg in one process, which alone takes seconds to start."""
    return [
        Ended(*ended)
        for ended in json.loads(run_python("-c", ONE_AFTER_ANOTHER, json.dumps(commands), installed=installed))
    ]


def install(folder: Path, module: str, *, group: str = "weakseg.localizers", name: str = "tint") -> Path:
    """Make a package of one module that registers its `TINT`."""
    info = folder / "weakseg_tint-0.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: weakseg-tint\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = tinted:TINT\n")
    (folder / "tinted.py").write_text(module)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by the package's methods."""
    out = tmp_path_factory.mktemp("runs") / "tint"
    methods = ("--localize.method=tint", "--localize.tint.power=1.5", "--refine.method=smooth")
    small = ("--classifier.epochs=1", "--segmenter.epochs=1", "--refine.background_threshold=auto")
    words = ("run", "demo", *FEWER_CRITTERS, *TINY, *methods, *small, "--out", str(out))
    done, again = run(words, ("run", str(out)), installed=TINT)
    assert done.returncode == 0, done.stderr
    assert again.returncode == 0, again.stderr
    assert "refine: finished before" in again.stderr
    return out


def test_the_package_is_small() -> None:
    assert len((TINT / "weakseg_tint.py").read_text().splitlines()) <= 60


def test_it_runs_the_chain(made: Path) -> None:
    stages = json.loads((made / "run.json").read_text())["stages"]
    assert all(stage["finished"] for stage in stages.values())
    assert stages["localize"]["parts"]["localize.tint.power"] == 1.5
    assert stages["refine"]["parts"]["refine.smooth.side_px"] == 3
    assert "(label-free)" in stages["refine"]["summary"]
    assert f"localize.tint: {PACKAGE}" in (made / "recipe.yaml").read_text()


def test_a_run_opens_without_the_package_but_is_not_made_again(made: Path, tmp_path: Path) -> None:
    report, export = ("report", str(made)), ("export", str(made), "--to", "voc", "--out", str(tmp_path / "voc"))
    *opened, refused = run(report, export, ("run", str(made), "--redo", "localize"), installed=None)
    assert PACKAGE in opened[0].stderr, "told once in a process"
    for ended in opened:
        assert ended.returncode == 0, ended.stderr
    assert refused.returncode == 1
    expected = f"localize.method: 'tint' comes from the package {PACKAGE}, which is not installed"
    assert expected in refused.stderr.splitlines()[-1]
    assert any((made / "seeds").iterdir())


def test_help_shows_its_settings_and_a_backbone_whose_package_is_gone_is_named(tmp_path: Path) -> None:
    dwarf = ("--classifier.name=dwarf", "--classifier.weights=none", "--segmenter.weights=none")
    short, section, recipe = run(
        ("run", "demo", "--help"),
        ("run", "demo", "--localize.tint.power=3", "--help", "localize.tint"),
        ("run", "folder", "--print_config", *dwarf),
        installed=TINT,
    )
    shown = " ".join(short.stdout.split())
    assert ", tint --localize.scales" in shown, "the last of the localisers"
    assert " localize.tint maps to a power " in shown
    assert "--localize.tint.power 3.0\n      (a number, within 0.1..10)\n" in section.stdout
    (tmp_path / "recipe.yaml").write_text(recipe.stdout)
    (refused,) = run(("run", str(tmp_path / "recipe.yaml"), "--print_config"), installed=None)
    assert refused.returncode == 1
    assert f"backbone 'dwarf' comes from the package {PACKAGE}" in refused.stderr


def test_being_installed_changes_no_other_run_and_its_backbone_is_built_by_name() -> None:
    code = (
        "import json, sys, torch; from pathlib import Path;"
        "from weakseg.models.classifier import build_classifier;"
        "from weakseg.config.load import build_config, read_recipe;"
        "from weakseg.pipeline.artifacts import RunFolder;"
        "from weakseg.pipeline.context import Context; from weakseg.pipeline.fingerprints import plan_records;"
        "from weakseg.pipeline.stages import STAGES;"
        "config = build_config(read_recipe('demo'));"
        "context = Context(config, RunFolder(Path('x')), torch.device('cpu'), None, None, {'train': 'a', 'val': 'b'});"
        "print(json.dumps({name: record.fingerprint for name, record in plan_records(context, STAGES).items()}));"
        "print(build_classifier('dwarf', num_classes=3, freeze_trunk=False, fixed_norm=False).stride)"
    )
    fingerprints, stride = run_python("-c", code, installed=TINT).splitlines()
    known = json.loads((ROOT / "tests" / "golden" / "fingerprints_0_1.json").read_text())
    assert json.loads(fingerprints) == known["demo"]
    assert stride == "8"


LEVELLED = """
from weakseg.models.registered import RegisteredBackbone
def build(dense, fixed_norm, generator):
    from weakseg.models.resnet38 import build_resnet38
    return build_resnet38("critter38", fixed_norm=fixed_norm, generator=generator)
TINT = RegisteredBackbone(name="tint", summary="", source="", licence="MIT", stages=False, levels=True, build=build)
"""


USING_LEVELS = """
import torch
from weakseg.config.load import build_config
from weakseg.errors import ConfigError
from weakseg.models.seam import build_seam
from weakseg.refine.method import find_refiner
words = ["--classifier.method=seam", "--classifier.name=tint", "--classifier.weights=none"]
config = build_config({}, (*words, "--refine.method=psa", "--refine.psa.name=tint"))
psa = find_refiner("psa").trains.build("tint", settings=config.refine.psa, backbone=None, generator=None)
seam = build_seam("tint", num_classes=2, freeze_trunk=True, fixed_norm=True)
x = torch.zeros(1, 3, 33, 50)
print(psa(x).shape[2:], seam.maps(x)[1].shape[1:])
try:
    build_config({}, ("--refine.irn.name=tint",))
except ConfigError as error:
    print(error)
"""


def test_a_backbone_that_shows_levels_carries_seam_and_affinitynet_but_no_irnet(tmp_path: Path) -> None:
    package = install(tmp_path, LEVELLED, group="weakseg.backbones")
    shapes, refusal = run_python("-c", USING_LEVELS, installed=package).splitlines()
    assert shapes == "torch.Size([5, 7]) torch.Size([3, 33, 50])"
    assert refusal.startswith("refine.irn.name: expected one of critter, ")


GOOD = """
from dataclasses import dataclass
from weakseg.localize.method import Localizer
from weakseg.methods import NoSettings
TINT = Localizer(name="tint", summary="maps", settings=NoSettings, source="ours", licence="MIT", open=print)
"""


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("import no_such_module", "cannot be loaded: No module named 'no_such_module'"),
        ("TINT = 3", "expected tinted:TINT to be a LocalizerFacts, got int"),
        (GOOD.replace('summary="maps", ', ""), "missing 1 required keyword-only argument: 'summary'"),
        (GOOD.replace("NoSettings,", "int,"), "expected a frozen dataclass of settings"),
        (GOOD.replace('name="tint"', 'name="other"'), "calls itself 'other'"),
    ],
)
def test_a_broken_package_is_named_when_it_is_asked_for_and_in_nobodys_way(
    tmp_path: Path, module: str, expected: str
) -> None:
    broken = install(tmp_path, module)
    words = ("run", "demo", "--print_config")
    other, asked = run(words, (*words, "--localize.method=tint"), installed=broken)
    assert asked.returncode == 1
    assert expected in asked.stderr.splitlines()[-1]
    assert PACKAGE in asked.stderr.splitlines()[-1]
    assert other.returncode == 0, other.stderr
    assert len(other.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cam", f"localiser 'cam' is registered by weakseg and by {PACKAGE}; uninstall one of them"),
        ("scales", f"localiser 'scales' of the package {PACKAGE} is called like a setting of its stage"),
    ],
)
def test_a_name_that_is_taken_is_refused(tmp_path: Path, name: str, expected: str) -> None:
    taken = install(tmp_path, GOOD.replace('name="tint"', f'name="{name}"'), name=name)
    (done,) = run(("run", "demo", "--print_config"), installed=taken)
    assert done.returncode == 1
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
