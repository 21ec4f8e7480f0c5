from __future__ import annotations

import pytest

from tests.tiny import with_settings
from weakseg.config.load import build_config, read_recipe
from weakseg.errors import ConfigError
from weakseg.registry import LOCALIZERS, REFINERS
from weakseg.studies.methods.rows import METHODS, configure_method, usual_methods
from weakseg.studies.methods.runs import REFINEMENTS, restrict_config

CRITTERS = build_config(read_recipe("methods_critters"))
PHOTOGRAPHS = restrict_config(build_config(read_recipe("methods_photographs")), split="train")


def test_every_registered_method_has_a_row_and_every_refiner_a_column() -> None:
    assert {"seam", "cda", *LOCALIZERS.names()} == {name for name in METHODS if METHODS[name].averages is None}
    assert {*REFINEMENTS, "none"} == set(REFINERS.names())


def test_maps_are_averaged_where_the_recipe_says_how_and_the_row_is_called_so() -> None:
    assert usual_methods(CRITTERS) == ("cam", "rib", "seam", "cda", "lpcam")
    assert usual_methods(PHOTOGRAPHS)[5:] == ("cam-averaged", "rib-averaged", "lpcam-averaged")
    for name in usual_methods(PHOTOGRAPHS):
        found = configure_method(PHOTOGRAPHS, name)
        assert found.localize.similarity_temperature == (0.1 if name.endswith("-averaged") else None)
        assert found.localize.method == name.removesuffix("-averaged").replace("seam", "cam").replace("cda", "cam")
        assert found.classifier.epochs == (3 if name == "cda" else 6)
        assert found.classifier.min_updates == (80 if name == "cda" else 160)
        assert found.classifier.name == "efficientnet_lite0"


def test_without_a_temperature_nothing_can_be_averaged() -> None:
    with pytest.raises(ConfigError, match=r"^localize\.similarity_temperature: .* leave rib-averaged out"):
        configure_method(CRITTERS, "rib-averaged")


def test_averaged_maps_use_the_classifier_and_the_maps_of_those_that_are_not() -> None:
    for name, expected in (("lpcam-averaged", ("cam", "lpcam")), ("seam-averaged", ("seam", "seam"))):
        assert (METHODS[name].classifier_of, METHODS[name].averages) == expected


def test_a_photographs_classifier_is_that_of_the_recipe_folder() -> None:
    folder = build_config(read_recipe("folder"))
    assert configure_method(with_settings(PHOTOGRAPHS), "cam").classifier == folder.classifier
