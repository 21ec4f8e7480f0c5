import re

import pytest

from weakseg.config.fits import as_number, fit_settings, list_fits, require_both
from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError

LABELS = ("--refine.irn.foreground", "auto", "--refine.irn.background", "auto")


def load(recipe: str, *words: str) -> RunConfig:
    return build_config(read_recipe(recipe), words)


def test_irn_gets_numbers_around_the_threshold_and_nothing_else_changes() -> None:
    section = load("irn_voc", *LABELS).refine
    assert [fit.setting for fit in list_fits(section)] == ["foreground", "background"]
    fitted = fit_settings(section, 0.8)
    assert (fitted.irn.foreground, fitted.irn.background) == pytest.approx((0.86, 0.56))
    assert section.irn.foreground == "auto", "the recipe stays as it is"
    assert list_fits(fitted) == ()
    plain = load("irn_voc").refine
    numbers = {"foreground": plain.irn.foreground, "background": plain.irn.background}
    assert {**vars(fitted.irn), **numbers} == vars(plain.irn)
    assert (fitted.background_threshold, fitted.psa) == (plain.background_threshold, plain.psa)


def test_psa_fits_single_powers_and_leaves_given_numbers_alone() -> None:
    section = load("psa_voc", "--refine.psa.walk_alpha", "auto").refine
    fitted = fit_settings(section, 0.5)
    assert (fitted.psa.low_alpha, fitted.psa.high_alpha, fitted.psa.walk_alpha) == (4.0, 24.0, 1.0)


@pytest.mark.parametrize("recipe", ["folder", "folder_best", "methods_photographs"])
@pytest.mark.parametrize(("method", "count"), [("irn", 2), ("psa", 3), ("crf", 0)])
def test_recipes_for_photographs_leave_labels_to_the_seeds(recipe: str, method: str, count: int) -> None:
    assert len(list_fits(load(recipe, "--refine.method", method).refine)) == count


def test_a_released_network_learns_from_no_labels() -> None:
    released = ("--refine.psa.released", "aff.pth")
    words = ("--refine.psa.low_alpha", "auto", "--refine.psa.high_alpha", "auto", *released)
    assert list_fits(load("psa_voc", *words).refine) == ()
    walk = load("psa_voc", *words, "--refine.psa.walk_alpha", "auto").refine
    assert [fit.setting for fit in list_fits(walk)] == ["walk_alpha"]


@pytest.mark.parametrize(
    ("recipe", "words", "message"),
    [
        (
            "irn_voc",
            LABELS[:2],
            "refine.irn.background: expected auto, since refine.irn.foreground says so, got 0.05; the two go together",
        ),
        (
            "psa_voc",
            ("--refine.psa.high_alpha", "auto"),
            "refine.psa.low_alpha: expected auto, since refine.psa.high_alpha says so, got 4.0; the two go together",
        ),
        (
            "irn_voc",
            (*LABELS, "--localize.splits", "[val]"),
            "localize.splits: refine.irn.foreground 'auto' is chosen on the seeds of 'train', got val; add it, or give "
            "a number",
        ),
    ],
)
def test_what_cannot_be_chosen_is_refused(recipe: str, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(recipe, *words)


def test_both_or_none_say_auto() -> None:
    require_both("refine.irn", foreground="auto", background="auto")
    require_both("refine.irn", foreground=0.3, background=0.05)


def test_numbers_are_what_is_left() -> None:
    assert as_number(0.3) == 0.3
    with pytest.raises(AssertionError, match="fit_settings"):
        as_number("auto")
