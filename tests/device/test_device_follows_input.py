"""The law that tensors are made and left on the device of what a function is given, on a device that is pretended."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import FunctionType, ModuleType

import pytest

import weakseg.localize
import weakseg.ops
import weakseg.refine
from tests.device.cases import assert_follows
from tests.device.localize_cases import LOCALIZING
from tests.device.method_cases import METHODS
from tests.device.network_cases import NETWORKS
from tests.device.ops_cases import OPS
from tests.device.refine_cases import REFINING
from weakseg.models import deeplab, inference, predictor

pytestmark = pytest.mark.slow

ELSEWHERE = {
    "weakseg.localize.clip_maps.clip_score_maps",
    "weakseg.localize.sam3.text_score_maps",
    "weakseg.localize.rib.open_rib",
}
"""What needs a network of `transformers` in a folder, or a run: tests/contract/test_devices.py tries it."""

TABLES = (OPS, LOCALIZING, REFINING, NETWORKS, METHODS)
CASES = {name: case for table in TABLES for name, case in table.cases.items()}


@pytest.mark.parametrize("name", CASES)
def test_what_is_computed_follows_the_device_of_what_it_is_computed_from(name: str) -> None:
    assert_follows(CASES[name])


def public_functions(module: ModuleType) -> Iterator[FunctionType]:
    for name, function in vars(module).items():
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_"):
            yield function


def test_every_public_function_of_tensors_or_networks_is_a_case() -> None:
    packages = (weakseg.ops, weakseg.localize, weakseg.refine)
    found = [
        info.name for package in packages for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    modules = [*map(importlib.import_module, found), deeplab, inference, predictor]
    takes = ("Tensor", "Classifier", "SEAM", "Network", "Segmenter")
    functions = {
        function
        for module in modules
        for function in public_functions(module)
        for name, kind in inspect.unwrap(function).__annotations__.items()
        if name != "return" and any(word in kind for word in takes)
    }
    covered = set().union(*(table.covered for table in TABLES))
    assert len(functions) > 30
    assert {f"{f.__module__}.{f.__name__}" for f in functions - covered} == ELSEWHERE
