"""The table of the study of the bottleneck on a run, from made-up objects."""

from __future__ import annotations

import math

import numpy as np
import pytest

from weakseg.localize.rib import RIBConfig
from weakseg.studies.bottleneck.objects_table import Findings, make_details, make_table
from weakseg.studies.bottleneck.parts import ObjectResult


def made_object(other: list[float], *, background: list[float] | None = None) -> ObjectResult:
    """An object whose other part has these shares in layer 1, layer 2 and then in every state of the logit."""
    shares = np.full((len(other), 6), 0.5)
    shares[:, 1] = other
    shares[:, 2] = background or [0.1] * len(other)
    states = shares[2:]
    return ObjectResult(
        name="cow",
        areas=np.array([0.2, 0.1, 0.6]),
        layers=shares[:2],
        logits=np.arange(3.0, 3.0 + len(states)),
        by_image=states,
        by_layer=np.stack([states, states], axis=1),
    )


def made_findings(*objects: ObjectResult) -> Findings:
    results = {f"image_{number}": (one,) for number, one in enumerate(objects)}
    rib = RIBConfig(iterations=3)
    return Findings("val", "cam", 0.25, 0.3, ("stem", "head"), {**results, "empty": ()}, rib)


def test_the_table_has_means_errors_and_how_often_the_other_part_rises() -> None:
    rising = made_object([0.9, 0.6, 0.2, 0.3, 0.6], background=[0.1, 0.1, 0.1, 0.2, 0.2])
    outdone = made_object([0.9, 0.2, 0.4, 0.5, 0.5], background=[0.1, 0.1, 0.1, 0.2, 0.3])
    sinking = made_object([0.9, 0.7, 0.3, 0.1, 0.1])
    table = make_table(made_findings(rising, outdone, sinking))
    rows = {row["gradient"]: row for row in table.to_records()}
    assert table.title == "HGR of object parts on val: 3 objects in 4 images, tags given, CAM at its oracle threshold"
    assert len(rows) == 2 + 3 + 2 + 2 * 2
    assert rows["head by image"]["other"] == pytest.approx(0.5)
    assert rows["head by image"]["other_se"] == pytest.approx(np.std([0.6, 0.2, 0.7], ddof=1) / math.sqrt(3), abs=1e-6)
    assert rows["logit by image, update 1"]["logit"] == 4.0
    change = rows["change of logit by RIB"]
    assert change["other"] == pytest.approx((0.4 + 0.1 - 0.2) / 3)
    assert (change["other_rises"], change["beats_background"]) == (0.666667, 0.333333)
    assert change["logit"] == 2.0
    assert rows["change from head to logit"]["other"] == pytest.approx((-0.4 + 0.2 - 0.4) / 3)
    assert rows["change of that by RIB, stem"]["other"] == change["other"]


def test_one_object_has_no_error_and_an_early_end_stands_for_what_follows() -> None:
    ended = made_object([0.9, 0.6, 0.2, 0.4])  # two states of three
    table = make_table(made_findings(ended))
    rows = {row["gradient"]: row for row in table.to_records()}
    assert set(table.column("other_se")) == {None}
    assert rows["logit by image, update 2"]["other"] == 0.4
    assert table.notes[-1] == "adaptations to 1 object ended early; later rows have their last state"
    details = make_details(made_findings(ended))
    assert len(details.rows) == 2 + 2 * (1 + 2)
    assert details.rows[2][:6] == ("image_0", "cow", "logit by image", None, 0, 0.5)
