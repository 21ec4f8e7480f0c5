from __future__ import annotations

from tests.tiny import with_settings
from weakseg.config.load import build_config, read_recipe
from weakseg.studies.context import table as context_table
from weakseg.studies.methods.measure import Task
from weakseg.studies.methods.table import Extent, count_images, describe_data, make_differences, make_table
from weakseg.studies.spread import Measured

CONFIG = build_config(read_recipe("methods_critters"))

CAM: tuple[Measured, Measured] = (
    {"images": 9, "updates": 40, "map": 0.5, "seeds": 0.30, "seeds_threshold": 0.2, "classify_s": 10.0, "irn": 0.4},
    {"images": 9, "updates": 40, "map": 0.7, "seeds": 0.34, "seeds_threshold": 0.3, "classify_s": 12.0, "irn": 0.4},
)
RIB: tuple[Measured, Measured] = ({"images": 9, "seeds": 0.4}, {"images": 9, "seeds": None})


def test_people_see_means_with_spreads_of_what_was_asked_for() -> None:
    table = make_table(CONFIG, {"cam": CAM, "rib": RIB}, Task((), (0.25,), "train"), (0, 3))
    assert table.title == "methods: mean IoU (%) of seeds and masks on critters train, 9 images, tags given"
    lines = table.to_markdown().splitlines()
    assert lines[2].startswith("| method | updates | mAP % | seeds, oracle | thr. | classify s | localize s | local")
    assert lines[4] == "| CAM | 40 | 60.0 ± 14.1 | 32.0 ± 2.8 | 0.25 | 11 | – | – |"
    assert lines[5] == "| RIB | – | – | – | – | – | – | – |"


def test_programs_get_every_seeds_own_number_and_times_apart() -> None:
    table = make_table(CONFIG, {"cam": CAM}, Task(("irn",), (0.25,), "train"), (0, 3))
    header, row = (line.split(",") for line in table.to_csv(times=False).splitlines())
    found = dict(zip(header, row, strict=True))
    assert found["map_seed0"], found["map_seed3"] == ("0.5", "0.7")
    assert (found["seeds"], found["seeds_sd"], found["irn"]) == ("0.32", "0.028284", "0.4")
    assert table.to_csv(times=True).splitlines()[0] == "method,classify_s,localize_s,irn_s,localize_image_s,irn_image_s"


def test_notes_say_how_every_threshold_was_chosen() -> None:
    table = make_table(CONFIG, {"cam": CAM, "rib": RIB}, Task(("crf", "psa", "irn"), (0.1, 0.25), "train"), (0, 3))
    notes = "\n".join(table.notes)
    assert "over n = 2 seeds (0, 3)" in notes
    assert "CRF: oracle among the thresholds 0.1, 0.25; fixed at 0.25 for every method" in notes
    assert "PSA has no threshold" in notes
    assert "confident labels are above 0.4 and below 0.15 for every method; IRNet stands on critter" in notes
    assert "RIB adapts CAM's classifier" in notes
    assert "CDA" not in notes


def test_the_data_are_named() -> None:
    assert describe_data(CONFIG) == (
        "192 training and 80 validation images of 96 px; classifiers: critter38, weights 'none', batch 16"
    )
    photos = with_settings(CONFIG, ("data.name", "folder"))
    assert describe_data(photos).startswith("folder, the same images for every seed;")


def test_the_number_of_images_is_that_of_every_seed() -> None:
    assert count_images([{"images": 9}, {"images": 9}]) == "9"
    assert count_images([{"images": 9}, {"images": 7}, {"images": 8}]) == "7–9"


def test_the_study_of_context_puts_the_gain_beside_both_methods() -> None:
    found: Measured = {"images": 4, "cam_map": 0.5, "cda_map": 0.6, "gain_map": 0.1}
    table = context_table.make_table(CONFIG, {0.3: [found]}, (5,), (0.25,), split="val")
    assert table.title == "context: CAM and CDA; mean IoU (%) on critters val, 4 images, tags given"
    lines = table.to_markdown().splitlines()
    assert lines[2].startswith("| p_context | CAM mAP | CDA mAP | gain mAP | CAM mAP, free |")
    assert lines[4].startswith("| 0.3 | 50.0 | 60.0 | 10.0 | – |")
    assert table.notes[0].startswith("one seed, 5: no spread is known")


def test_differences_to_cam_are_told_seed_by_seed() -> None:
    rib = tuple({**one, "seeds": (one["seeds"] or 0) + gain} for one, gain in zip(CAM, (0.02, -0.01), strict=True))
    task = Task((), (0.25,), "train")
    table = make_table(CONFIG, {"cam": CAM, "rib": rib}, task, (0, 3))
    assert table.notes[-1] == "RIB - CAM, in points (seeds with a gain): seeds, oracle +0.5 ± 2.1 (1/2)"
    details = make_differences(CONFIG, {"cam": CAM, "rib": rib}, task, (0, 3))
    assert details is not None
    assert (details.column("method"), details.column("seeds_seed0"), details.column("seeds_seed3")) == (
        ("RIB",),
        (0.02,),
        (-0.01,),
    )
    assert make_differences(CONFIG, {"cam": CAM}, task, (0, 3)) is None


def test_a_recipe_with_auto_gets_its_choice_and_says_what_was_looked_at() -> None:
    photos = build_config(read_recipe("methods_photographs"))
    task = Task(("crf", "irn", "par", "merge"), (), "train", learn_from=("cam",))
    table = make_table(photos, {"cam": CAM, "lpcam-averaged": RIB}, task, (0, 3), Extent(40, stands_in=True))
    shown = [column.heading for column in table.columns if not column.hidden]
    assert shown[5:15] == [
        *("CRF, oracle", "thr.", "CRF, auto", "thr.", "CRF, fixed"),
        *("IRN, oracle", "thr.", "IRN, fixed", "PAR, oracle", "thr."),
    ]
    assert table.column("method") == ("CAM", "LPCAM, averaged")
    notes = "\n".join(table.notes)
    assert "40 images of each split have seeds and masks, the same for every seed of the networks" in notes
    assert "networks of refinements learn from the seeds of these 40 images alone" in notes
    assert "networks of refinements were trained on seeds of CAM only" in notes
    assert "merge: the masks of crf at its best threshold with the outlines of superpixels" in notes
    assert "fixed: 0.4 for every method" in notes
