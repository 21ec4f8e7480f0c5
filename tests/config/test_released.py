import pytest

from weakseg.config.load import build_config
from weakseg.config.ranges import check_ranges
from weakseg.config.released import CLASSIFIER_KINDS
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError
from weakseg.models.weights import OFFICIAL_KINDS
from weakseg.registry import REFINERS

DATA = ("--data.name=folder", "--data.root=photos")


def test_every_official_kind_has_its_place() -> None:
    networks = [refiner.trains for refiner in REFINERS.usable() if refiner.trains is not None]
    kinds = [*CLASSIFIER_KINDS.values(), *(kind for network in networks for kind in network.released.values())]
    assert sorted(kinds) == sorted(OFFICIAL_KINDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--classifier.name=resnet101",),
            r"^classifier\.released: .* resnet50 and resnet38 .*; got classifier\.name resnet101 with 'plain'$",
        ),
        (
            ("--classifier.method=seam", "--classifier.name=critter38"),
            r"^classifier\.released: .* and of resnet38 for 'seam'; got classifier\.name critter38 with 'seam'$",
        ),
        (
            ("--classifier.cda.masks=runs/a",),
            r"^classifier\.cda\.masks: a released classifier is not trained, so nothing is pasted",
        ),
    ],
)
def test_what_contradicts_a_released_classifier_is_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_config({}, (*DATA, "--classifier.released=a.pth", *words))


@pytest.mark.parametrize(
    ("method", "name", "names"), [("irn", "resnet18", "resnet50"), ("psa", "critter38", "resnet38")]
)
def test_a_refiner_that_nobody_released_is_refused_where_it_is_used(method: str, name: str, names: str) -> None:
    words = (
        *DATA,
        f"--refine.{method}.released=a.pth",
        f"--refine.{method}.name={name}",
        f"--refine.{method}.weights=none",
    )
    build_config({}, words)  # refinement 'none' uses neither
    with pytest.raises(ConfigError, match=rf"^refine\.{method}\.released: .* of {names} alone, got .*name {name}$"):
        build_config({}, (*words, f"--refine.method={method}"))


def test_settings_of_a_training_that_is_left_out_are_not_judged() -> None:
    """Backbones that differ and crops too small for pairs concern trainings alone."""
    words = (*DATA, "--refine.method=psa", "--refine.psa.weights=classifier", "--refine.psa.augment.crop_px=16")
    with pytest.raises(ConfigError, match=r"^refine\.psa\."):
        build_config({}, words)
    config = build_config({}, (*words, "--refine.psa.released=aff.pth"))
    assert config.classifier.name == "resnet50"
    check_ranges(config)


def test_nothing_is_released_unless_it_is_named() -> None:
    config = RunConfig()
    assert config.classifier.released is None
    assert (config.refine.irn.released, config.refine.psa.released) == (None, None)
