"""Our own methods are registered in two places that must say the same, and import nothing heavy."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from weakseg.errors import ConfigError
from weakseg.registry import BUILT_IN, LOCALIZERS, REFINERS

ROOT = Path(__file__).parent.parent


def test_pyproject_registers_what_a_checkout_knows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == BUILT_IN


def test_ours_come_first_in_the_order_of_the_table() -> None:
    assert LOCALIZERS.names()[:2] == ("cam", "rib")
    assert REFINERS.names()[:4] == ("none", "crf", "irn", "psa")


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"^there is no localiser 'ribb'; did you mean 'rib'\?$"):
        LOCALIZERS.load("ribb")


@pytest.mark.slow
def test_reading_a_recipe_imports_no_torch() -> None:
    code = (
        "import sys; from weakseg.config.load import build_config, read_recipe, to_yaml;"
        "to_yaml(build_config(read_recipe('demo'), ('--refine.method=irn',)));"
        "from weakseg.arguments.requests import parse_recipe_words; parse_recipe_words('run', ['--help']);"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "False"
