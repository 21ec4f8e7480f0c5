from __future__ import annotations

from dataclasses import replace

import pytest

from weakseg.config.load import build_config, read_recipe
from weakseg.studies.methods.measure import Task, list_passes
from weakseg.studies.methods.rows import is_quick, usual_methods

CONFIG = build_config(read_recipe("methods_photographs"))
TASK = Task(("crf", "psa", "irn", "par"), (), "train", ("cam",))


def test_quick_is_what_takes_cams_classifier_as_it_is() -> None:
    quick = tuple(name for name in usual_methods(CONFIG) if is_quick(CONFIG, name))
    assert quick == ("cam", "lpcam", "cam-averaged", "lpcam-averaged")


def test_what_trains_comes_in_a_second_pass_that_has_everything() -> None:
    assert list_passes(CONFIG, ("cam", "rib", "seam"), TASK) == [
        (("cam",), replace(TASK, refinements=("crf", "par"))),
        (("cam", "rib", "seam"), TASK),
    ]


@pytest.mark.parametrize(
    ("methods", "masks"),
    [(("cam", "lpcam"), ("crf",)), (("rib", "seam"), ("crf", "irn")), (("cam", "rib"), ("psa", "irn"))],
)
def test_there_is_one_pass_where_all_or_nothing_is_quick(methods: tuple[str, ...], masks: tuple[str, ...]) -> None:
    task = replace(TASK, refinements=masks)
    assert list_passes(CONFIG, methods, task) == [(methods, task)]
