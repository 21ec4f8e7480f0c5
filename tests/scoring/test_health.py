import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.refine.test_health_words import fine, make_health, missing
from tests.scoring.test_scores import make_metrics
from weakseg.errors import ArtifactError
from weakseg.refine.health import TagHealth
from weakseg.refine.health_words import HEALTH_VERSION
from weakseg.scoring.health import plain_health, read_health, write_tag_rows
from weakseg.scoring.metrics_file import load_metrics, save_metrics
from weakseg.scoring.summary import list_problems

HEALTH = make_health(*fine(2, 0), *missing(23), TagHealth("x", "val", 2, 0.0, "swallowed", "swallowed", 0), *fine(9, 2))


def test_health_survives_in_the_metrics(tmp_path: Path) -> None:
    metrics = replace(make_metrics(), health=HEALTH)
    path = tmp_path / "metrics.json"
    save_metrics(path, metrics)
    assert load_metrics(path) == metrics
    section = json.loads(path.read_text(encoding="utf-8"))["health"]
    assert (section["version"], section["verdict"], section["images"]) == (HEALTH_VERSION, "bad", 30)
    assert section["method"] == {"refinement": "crf", "threshold": 0.4, "mean_average_precision": 0.951}
    entry = section["classes"][1]
    assert (entry["name"], entry["verdict"], entry["tagged"], entry["empty"]) == ("scratches", "bad", 23, 23)
    assert entry["causes"] == [{"cause": "unseen", "images": 23}]


def test_runs_of_before_have_none(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    save_metrics(path, make_metrics())
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["health"]
    path.write_text(json.dumps(document), encoding="utf-8")
    assert load_metrics(path).health is None


def test_a_section_of_another_version_counts_as_none() -> None:
    assert read_health(plain_health(HEALTH) | {"version": 1}) is None


@pytest.mark.parametrize(
    "broken", [[], {"version": HEALTH_VERSION}, {"version": HEALTH_VERSION, "classes": 3, "method": {}}]
)
def test_a_damaged_section_is_named(tmp_path: Path, broken: object) -> None:
    path = tmp_path / "metrics.json"
    save_metrics(path, make_metrics())
    document = json.loads(path.read_text(encoding="utf-8")) | {"health": broken}
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ArtifactError, match="is damaged"):
        load_metrics(path)


def test_every_tag_has_a_row(tmp_path: Path) -> None:
    found = [
        TagHealth("a/1", "train", 0, 0.25, None, None, None),
        TagHealth("a/1", "train", 1, 0.0, "swallowed", "swallowed", 0),
    ]
    write_tag_rows(tmp_path / "mask_health.csv", found, ("cat", "dog"))
    assert (tmp_path / "mask_health.csv").read_text(encoding="utf-8").splitlines() == [
        "id,split,class,share,trouble,cause,taken_by",
        "a/1,train,cat,0.2500,,,",
        "a/1,train,dog,0.0000,swallowed,swallowed,cat",
    ]


def test_a_run_without_a_pixel_of_a_class_does_not_end_well() -> None:
    lines = list_problems(HEALTH)
    assert lines[0] == "Problems: masks 1 bad of 3 classes on 30 images, judged without truth"
    assert lines[1].startswith(
        "  bad: scratches: 23 of 23 tagged images have no scratches pixel. In 23, it has no score"
    )
    assert len(lines) == 2


def test_a_good_run_claims_no_more_than_was_seen() -> None:
    (line,) = list_problems(make_health(*fine(3, 0), *fine(3, 1)))
    assert line.startswith(
        "Problems: none seen in the masks, which is no proof (nothing suspicious in 2 classes on 30 images"
    )


def test_many_classes_are_counted() -> None:
    names = tuple(f"c{n}" for n in range(80))
    lines = list_problems(make_health(*(tag for key in range(80) for tag in missing(2, key)), names=names))
    assert len(lines) == 7
    assert lines[-1] == "  classes not named here: 75; the report has all"
