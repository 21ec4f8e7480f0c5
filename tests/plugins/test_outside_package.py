"""A package of less than 60 lines adds methods and a backbone, and runs the chain; and what can be wrong with one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.photos import TINY, TINY_CRITTERS

ROOT = Path(__file__).parent.parent.parent
TINT = Path(__file__).parent / "tint"
PACKAGE = "weakseg-tint 0.3"

pytestmark = pytest.mark.slow


def run(*words: str, installed: Path | None) -> subprocess.CompletedProcess[str]:
    """Run Python with a package on the path, or none."""
    places = [ROOT / "src", *([] if installed is None else [installed])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment)


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
    words = ("run", "demo", *TINY_CRITTERS, *TINY, *methods, *small, "--out", str(out))
    done = run("-m", "weakseg", *words, installed=TINT)
    assert done.returncode == 0, done.stderr
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
    again = run("-m", "weakseg", "run", str(made), installed=TINT)
    assert again.returncode == 0, again.stderr
    assert "refine: finished before" in again.stderr


def test_a_run_opens_without_the_package_but_is_not_made_again(made: Path, tmp_path: Path) -> None:
    for words in (("report", str(made)), ("export", str(made), "--to", "voc", "--out", str(tmp_path / "voc"))):
        opened = run("-m", "weakseg", *words, installed=None)
        assert opened.returncode == 0, opened.stderr
        assert PACKAGE in opened.stderr
    refused = run("-m", "weakseg", "run", str(made), "--redo", "localize", installed=None)
    assert refused.returncode == 1
    expected = f"localize.method: 'tint' comes from the package {PACKAGE}, which is not installed"
    assert expected in refused.stderr.splitlines()[-1]
    assert any((made / "seeds").iterdir())


def test_help_shows_its_settings() -> None:
    code = (
        "from weakseg.cli import main;"
        "main(['run', 'demo', '--help']); main(['run', 'demo', '--localize.tint.power=3', '--help', 'localize.tint'])"
    )
    done = run("-c", code, installed=TINT)
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert ", tint --localize.scales" in shown, "the last of the localisers"
    assert " localize.tint maps to a power " in shown
    assert "--localize.tint.power 3.0\n      (a number, within 0.1..10)\n" in done.stdout


def test_being_installed_changes_no_other_run() -> None:
    code = (
        "import json, sys, torch; from pathlib import Path;"
        "from weakseg.config.load import build_config, read_recipe;"
        "from weakseg.pipeline.artifacts import RunFolder;"
        "from weakseg.pipeline.runner import Context, plan_records; from weakseg.pipeline.stages import STAGES;"
        "config = build_config(read_recipe('demo'));"
        "context = Context(config, RunFolder(Path('x')), torch.device('cpu'), None, None, {'train': 'a', 'val': 'b'});"
        "print(json.dumps({name: record.fingerprint for name, record in plan_records(context, STAGES).items()}))"
    )
    done = run("-c", code, installed=TINT)
    assert done.returncode == 0, done.stderr
    known = json.loads((ROOT / "tests" / "golden" / "fingerprints_0_1.json").read_text())
    assert json.loads(done.stdout) == known["demo"]


def test_its_backbone_is_built_by_name() -> None:
    code = (
        "from weakseg.models.classifier import build_classifier; from weakseg.config.load import build_config;"
        "build_config({}, ('--classifier.name=dwarf', '--classifier.weights=none'));"
        "print(build_classifier('dwarf', num_classes=3, freeze_trunk=False, fixed_norm=False).stride)"
    )
    assert run("-c", code, installed=TINT).stdout == "8\n"


LEVELLED = """
from weakseg.models.registered import RegisteredBackbone
def build(dense, fixed_norm, generator):
    from weakseg.models.resnet38 import build_resnet38
    return build_resnet38("critter38", fixed_norm=fixed_norm, generator=generator)
TINT = RegisteredBackbone(name="tint", summary="", source="", licence="MIT", stages=False, levels=True, build=build)
"""


def test_a_backbone_that_shows_levels_carries_seam_and_affinitynet_but_no_irnet(tmp_path: Path) -> None:
    code = (
        "import torch; from weakseg.config.load import build_config; from weakseg.refine.method import find_refiner;"
        "from weakseg.models.seam import build_seam;"
        "words = ['--classifier.method=seam', '--classifier.name=tint', '--classifier.weights=none'];"
        "config = build_config({}, (*words, '--refine.method=psa', '--refine.psa.name=tint'));"
        "psa = find_refiner('psa').trains.build('tint', settings=config.refine.psa, backbone=None, generator=None);"
        "seam = build_seam('tint', num_classes=2, freeze_trunk=True, fixed_norm=True);"
        "x = torch.zeros(1, 3, 33, 50); print(psa(x).shape[2:], seam.maps(x)[1].shape[1:]);"
        "build_config({}, ('--refine.irn.name=tint',))"
    )
    done = run("-c", code, installed=install(tmp_path, LEVELLED, group="weakseg.backbones"))
    assert done.stdout == "torch.Size([5, 7]) torch.Size([3, 33, 50])\n", done.stderr
    assert "refine.irn.name: expected one of critter, " in done.stderr.splitlines()[-1]


def test_a_backbone_whose_package_is_gone_is_named(tmp_path: Path) -> None:
    words = ("run", "folder", "--print_config", "--classifier.name=dwarf", "--classifier.weights=none")
    (tmp_path / "recipe.yaml").write_text(
        run("-m", "weakseg", *words, "--segmenter.weights=none", installed=TINT).stdout
    )
    refused = run("-m", "weakseg", "run", str(tmp_path / "recipe.yaml"), "--print_config", installed=None)
    assert refused.returncode == 1
    assert f"backbone 'dwarf' comes from the package {PACKAGE}" in refused.stderr


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
    asked = run("-m", "weakseg", "run", "demo", "--print_config", "--localize.method=tint", installed=broken)
    assert asked.returncode == 1
    assert expected in asked.stderr.splitlines()[-1]
    assert PACKAGE in asked.stderr.splitlines()[-1]
    other = run("-m", "weakseg", "run", "demo", "--print_config", installed=broken)
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
    done = run("-m", "weakseg", "run", "demo", "--print_config", installed=taken)
    assert done.returncode == 1
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
