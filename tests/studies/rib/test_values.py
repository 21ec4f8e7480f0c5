from __future__ import annotations

import pytest

from tests.tiny import with_settings
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError, UsageError
from weakseg.studies.rib.values import SWEEPS, find_sweep, resolve_values

CONFIG = with_settings(RunConfig(), ("localize.rib.iterations", 4), ("localize.rib.learning_rate", 1e-4))


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("K", (), ["1", "2", "3", "4"]),
        ("threshold", (), ["0.2", "0.3", "0.4", "0.5", "0.6"]),
        ("lr", (), ["2.5e-05", "5e-05", "0.0001", "0.0002", "0.0004"]),
        ("margin", (), ["100", "200", "300", "600", "1000"]),
        ("margin", (("localize.rib.variant", "paper"),), ["15", "30", "50", "100", "600"]),
        ("pooling", (), ["gndrp", "gap"]),
    ],
)
def test_each_sweep_has_its_usual_values(
    name: str, settings: tuple[tuple[str, object], ...], expected: list[str]
) -> None:
    assert list(resolve_values(with_settings(CONFIG, *settings), find_sweep(name), ())) == expected


def test_a_value_changes_its_setting_and_the_method_and_nothing_else() -> None:
    configs = resolve_values(CONFIG, SWEEPS["threshold"], ["0.55"])
    expected = with_settings(CONFIG, ("localize.rib.threshold", 0.55), ("localize.method", "rib"))
    assert configs == {"0.55": expected}


def test_values_are_sorted_as_numbers() -> None:
    assert list(resolve_values(CONFIG, SWEEPS["margin"], ["1000", "20", "300.0"])) == ["20", "300", "1000"]


def test_words_stay_in_the_order_given() -> None:
    assert list(resolve_values(CONFIG, SWEEPS["pooling"], ["gap", "gndrp"])) == ["gap", "gndrp"]


@pytest.mark.parametrize(
    ("name", "words", "shown"),
    [
        ("margin", ["1000", "20", "1e3"], "1000"),
        ("threshold", ["0.3", "0.30000000000000004"], "0.3"),
        ("pooling", ["gap", "gndrp", "gap"], "gap"),
    ],
)
def test_a_value_given_twice_is_refused(name: str, words: list[str], shown: str) -> None:
    with pytest.raises(UsageError, match=f"^--values: expected every value once, got {shown} twice$"):
        resolve_values(CONFIG, SWEEPS[name], words)


def test_usual_values_that_coincide_are_one() -> None:
    still = with_settings(CONFIG, ("localize.rib.learning_rate", 0.0))
    assert list(resolve_values(still, SWEEPS["lr"], ())) == ["0"]


@pytest.mark.parametrize(
    ("name", "word", "message"),
    [
        ("K", "two", "localize.rib.iterations: expected a whole number, got two"),
        ("K", "0", "localize.rib.iterations: expected a value at least 1, got 0"),
        ("K", "5", "expected K up to localize.rib.iterations, which is 4, .* got 5; raise it"),
        ("threshold", "high", "localize.rib.threshold: expected a number, got high"),
        ("threshold", "-0.1", "localize.rib.threshold: expected a value at least 0, got -0.1"),
        ("threshold", "nan", "localize.rib.threshold"),
        ("lr", "-1e-4", "localize.rib.learning_rate: expected a value at least 0, got -0.0001"),
        ("margin", "-5", "localize.rib.logit_stop: expected a value at least 0, got -5"),
        ("pooling", "gapp", "localize.rib.pooling: expected one of gndrp, gap, got gapp"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_setting(name: str, word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_values(CONFIG, SWEEPS[name], [word])


def test_an_unknown_sweep_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="--over: expected one of K, threshold, lr, margin, pooling, got 'depth'"):
        find_sweep("depth")
