import dataclasses
import typing

import pytest

from weakseg.config.bounds import Range
from weakseg.config.load import build_config
from weakseg.config.ranges import setting_ranges
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError


def numeric_settings(section: type, prefix: str = "") -> list[str]:
    found = []
    for name, annotation in typing.get_type_hints(section).items():
        if dataclasses.is_dataclass(annotation):
            found += numeric_settings(annotation, f"{prefix}{name}.")  # type: ignore[arg-type]
        elif {int, float} & plain_types(annotation):
            found.append(f"{prefix}{name}")
    return found


def plain_types(annotation: object) -> set[object]:
    """Return the types of a setting, those within lists and unions included."""
    parts = typing.get_args(annotation)
    return set().union(*map(plain_types, parts)) if parts else {annotation}


def test_every_number_has_a_range_and_every_range_a_number() -> None:
    assert sorted(numeric_settings(RunConfig)) == sorted(setting_ranges())


@pytest.mark.parametrize(
    ("bounds", "value", "holds"),
    [
        (Range(0, 1), 0, True),
        (Range(0, 1), 1, True),
        (Range(0, 1), 1.001, False),
        (Range(1), 0, False),
        (Range(1), 1e9, True),
        (Range(None, 3), 4, False),
        (Range(0, 1), float("nan"), False),
        (Range(), float("inf"), True),
    ],
)
def test_bounds_are_closed_and_nan_is_outside(bounds: Range, value: float, holds: bool) -> None:
    assert bounds.holds(value) is holds


def test_bounds_say_themselves() -> None:
    assert [str(bounds) for bounds in (Range(0, 1), Range(1), Range(None, 3))] == [
        "within 0..1",
        "at least 1",
        "at most 3",
    ]


@pytest.mark.parametrize("method", ["irn", "psa"])
def test_a_walk_without_affinities_is_refused_before_any_stage_runs(method: str) -> None:
    with pytest.raises(ConfigError, match=rf"refine\.{method}\.walk_beta: expected a value at least 0\.01, got 0"):
        build_config({}, (f"--refine.{method}.walk_beta=0",))


@pytest.mark.slow
@pytest.mark.parametrize(("method", "smallest_px"), [("irn", 73), ("psa", 65)])
def test_crops_too_small_for_pairs_are_refused_before_any_stage_runs(method: str, smallest_px: int) -> None:
    """Radius 10 takes 19 cells of 4 px, radius 5 takes 9 cells of 8 px."""
    crop, random_start = f"--refine.{method}.augment.crop_px", f"--refine.{method}.weights=none"
    build_config({}, ("--refine.method", method, random_start, f"{crop}={smallest_px}"))
    build_config({}, ("--refine.method", "crf", f"{crop}=32"))
    expected = rf"refine\.{method}\.augment\.crop_px: .* expected at least {smallest_px}, got {smallest_px - 1}"
    with pytest.raises(ConfigError, match=expected):
        build_config({}, ("--refine.method", method, random_start, f"{crop}={smallest_px - 1}"))


@pytest.mark.slow
@pytest.mark.parametrize("section", ["refine.crf", "refine.psa", "evaluate.crf"])
@pytest.mark.parametrize(
    ("kernel", "value", "expected"),
    [
        ("gaussian", "[0,3]", "at least 0.01, got 0"),
        ("gaussian", "[3,-1]", "at least 0, got -1"),
        ("bilateral", "[50,0.001,10]", "at least 0.01, got 0.001"),
        ("bilateral", "[50,5,-2]", "at least 0, got -2"),
    ],
)
def test_kernels_that_the_crf_does_not_take_are_refused_before_any_stage_runs(
    section: str, kernel: str, value: str, expected: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^{section}\.{kernel}: expected a value {expected}$"):
        build_config({}, (f"--{section}.{kernel}={value}",))


def test_a_weight_of_nothing_switches_a_kernel_off() -> None:
    config = build_config({}, ("--refine.crf.gaussian=[0.01,0]", "--refine.crf.bilateral=[1,1,0]"))
    assert (config.refine.crf.gaussian, config.refine.crf.bilateral) == ((0.01, 0), (1, 1, 0))


def test_infinity_is_refused_since_no_record_can_hold_it() -> None:
    with pytest.raises(ConfigError, match=r"^localize\.rib\.logit_stop: expected a finite number, got inf; 1e9 is"):
        build_config({"localize": {"rib": {"logit_stop": float("inf")}}})
