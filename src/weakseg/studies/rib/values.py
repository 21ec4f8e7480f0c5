"""What the study of RIB varies: a setting of `localize.rib`, its usual values, and the recipe with each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from weakseg.config.ranges import check_ranges
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError, UsageError
from weakseg.localize.adaptation import Pooling
from weakseg.localize.rib import RIBConfig
from weakseg.studies.choices import require_distinct

POOLINGS: tuple[Pooling, ...] = ("gndrp", "gap")

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6)

LR_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The usual learning rates, as multiples of the recipe's."""

LOGIT_STOPS = (100.0, 200.0, 300.0, 600.0, 1000.0)
"""Limits of the sum of an image's own logits over three scales and two mirror images; released are 600 and 1000."""

MARGINS = (15.0, 30.0, 50.0, 100.0, 600.0)
"""Margins of single logits, in the variant `paper`: about a sixth of the above and, last, the paper's own."""


@dataclass(frozen=True)
class Sweep:
    """One setting to vary.

    Args:
        name: As on the command line.
        setting: Its dotted name.
        expected: What its values are, for messages.
        label: What it is, with the unit, for the axis of a figure.
        usual: Returns its usual values, as they are typed, in their order.
        change: Returns the section with a typed value; a ValueError says that the value is not what is expected.
    """

    name: str
    setting: str
    expected: str
    label: str
    usual: Callable[[RIBConfig], Sequence[str]]
    change: Callable[[RIBConfig, str], RIBConfig]

    def read(self, rib: RIBConfig) -> float | str:
        """Return the setting's value."""
        value = getattr(rib, self.setting.rpartition(".")[2])
        assert isinstance(value, int | float | str)
        return value


def _change_pooling(rib: RIBConfig, word: str) -> RIBConfig:
    for pooling in POOLINGS:
        if word == pooling:
            return replace(rib, pooling=pooling)
    raise ValueError(word)


SWEEPS = {
    sweep.name: sweep
    for sweep in (
        Sweep(
            name="K",
            setting="localize.rib.iterations",
            expected="a whole number",
            label="iterations (maps in the sum)",
            usual=lambda rib: [str(count) for count in range(1, rib.iterations + 1)],
            change=lambda rib, word: replace(rib, iterations=int(word)),
        ),
        Sweep(
            name="threshold",
            setting="localize.rib.threshold",
            expected="a number",
            label="GNDRP threshold (share of the map's maximum)",
            usual=lambda rib: [repr(value) for value in THRESHOLDS],
            change=lambda rib, word: replace(rib, threshold=float(word)),
        ),
        Sweep(
            name="lr",
            setting="localize.rib.learning_rate",
            expected="a number",
            label="learning rate of the first update",
            usual=lambda rib: [repr(factor * rib.learning_rate) for factor in LR_FACTORS],
            change=lambda rib, word: replace(rib, learning_rate=float(word)),
        ),
        Sweep(
            name="margin",
            setting="localize.rib.logit_stop",
            expected="a number",
            label="margin (logit)",
            usual=lambda rib: [repr(value) for value in (LOGIT_STOPS if rib.variant == "released" else MARGINS)],
            change=lambda rib, word: replace(rib, logit_stop=float(word)),
        ),
        Sweep(
            name="pooling",
            setting="localize.rib.pooling",
            expected=f"one of {', '.join(POOLINGS)}",
            label="pooling of the logits",
            usual=lambda rib: POOLINGS,
            change=_change_pooling,
        ),
    )
}


def find_sweep(name: str) -> Sweep:
    """Look up a setting to vary.

    Raises:
        UsageError: If there is none of this name; the message lists them.
    """
    if name not in SWEEPS:
        raise UsageError(f"--over: expected one of {', '.join(SWEEPS)}, got '{name}'")
    return SWEEPS[name]


def resolve_values(config: RunConfig, sweep: Sweep, words: Sequence[str]) -> dict[str, RunConfig]:
    """Turn values of a setting into configurations with them.

    Args:
        config: All other settings.
        sweep: The setting.
        words: The values as typed; the usual ones when there are none.

    Returns:
        By the value as the table shows it, numbers ascending. The localisation method is `rib`.

    Raises:
        UsageError: If a value is given twice.
        ConfigError: If a value does not parse or is out of range; names the setting.
    """
    rib = config.localize.rib
    found: dict[float | str, RunConfig] = {}
    for word in words or sweep.usual(rib):
        changed = _with_value(config, sweep, word)
        value = sweep.read(changed.localize.rib)
        if words:
            require_distinct("--values", [*map(_show, found), _show(value)])
        found[value] = changed
    if sweep.name == "K" and (too_long := [str(value) for value in found if float(value) > rib.iterations]):
        raise ConfigError(
            f"--values: expected K up to localize.rib.iterations, which is {rib.iterations}, since one adaptation "
            f"shows all shorter ones; got {', '.join(too_long)}; raise it with --localize.rib.iterations"
        )
    numbers = sorted(value for value in found if not isinstance(value, str))
    ordered: list[float | str] = [*numbers, *(value for value in found if isinstance(value, str))]
    return {_show(value): found[value] for value in ordered}


def _show(value: float | str) -> str:
    """Return a value as table and files name it: with 12 digits, rounding errors (3 * 0.1) do not show."""
    return value if isinstance(value, str) else f"{value:.12g}"


def _with_value(config: RunConfig, sweep: Sweep, word: str) -> RunConfig:
    try:
        rib = sweep.change(config.localize.rib, word)
    except ValueError:
        raise ConfigError(f"{sweep.setting}: expected {sweep.expected}, got {word}") from None
    changed = replace(config, localize=replace(config.localize, method="rib", rib=rib))
    check_ranges(changed)
    return changed
