import json
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np

from tests.data.export.made_split import CASES, NAMES, make_split, without_void
from tests.data.export.rle_pack import read_brush
from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.label_studio import find_served_folder, label_values, write_label_studio
from weakseg.data.export.split import LabelledSplit

PREFIX = "/data/local-files/?d="


def export(root: Path, split: LabelledSplit) -> list[str]:
    folder = ExportFolder(root, format="label-studio")
    notes = write_label_studio(split, folder)
    folder.finish()
    return notes


def read_task(task: dict, names: tuple[str, ...]) -> np.ndarray:
    """Put the label map of a task together from its brush regions."""
    (prediction,) = task["predictions"]
    assert prediction["model_version"] == "weakseg"
    labels = None
    for region in prediction["result"]:
        assert (region["type"], region["from_name"], region["to_name"]) == ("brushlabels", "brush", "image")
        assert region["image_rotation"] == 0
        value = region["value"]
        assert value["format"] == "rle"
        (name,) = value["brushlabels"]
        size_hw = (region["original_height"], region["original_width"])
        labels = np.zeros(size_hw, np.uint8) if labels is None else labels
        mask = read_brush(value["rle"], size_hw)
        assert not labels[mask].any(), "regions overlap"
        labels[mask] = names.index(name) + 1
    assert len({region["id"] for region in prediction["result"]}) == len(prediction["result"])
    return np.zeros((1, 1), np.uint8) if labels is None else labels


def test_an_independent_decoder_gives_every_label_map_back(tmp_path: Path) -> None:
    notes = export(tmp_path / "out", make_split(tmp_path / "photos"))
    tasks = json.loads((tmp_path / "out/tasks.json").read_text())
    assert [task["data"]["id"] for task in tasks] == list(CASES)
    for task, labels in zip(tasks, CASES.values(), strict=True):
        found = read_task(task, NAMES)
        expected = without_void(labels)
        np.testing.assert_array_equal(found, expected if expected.any() else [[0]])
    assert notes == [
        "void pixels of 2 images are written as background",
        f"images are addressed below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={tmp_path}",
    ]


def test_80_classes(tmp_path: Path) -> None:
    labels = np.arange(81, dtype=np.uint8).reshape(3, 27)
    names = tuple(f"class {n}" for n in range(80))
    export(tmp_path / "out", make_split(tmp_path / "photos", {"a": labels}, names=names))
    (task,) = json.loads((tmp_path / "out/tasks.json").read_text())
    np.testing.assert_array_equal(read_task(task, names), labels)


def test_addresses_lead_to_the_images(tmp_path: Path) -> None:
    split = make_split(tmp_path / "photos")
    export(tmp_path / "out", split)
    tasks = json.loads((tmp_path / "out/tasks.json").read_text())
    for task, sample in zip(tasks, split.samples, strict=True):
        address = task["data"]["image"]
        assert address.startswith(f"{PREFIX}photos/")
        assert not set(address.removeprefix(PREFIX)) & set(" ?%#") - {"%"}
        assert tmp_path / unquote(address.removeprefix(PREFIX)) == sample.image_path


def test_what_is_served_lies_above_the_folder_that_holds_all_images() -> None:
    paths = [Path("/data/pets/cats/1.jpg"), Path("/data/pets/dogs/../birds/2.jpg")]
    assert find_served_folder(paths) == Path("/data")
    assert find_served_folder(paths[:1]) == Path("/data/pets")


def test_the_configuration_declares_what_the_tasks_use(tmp_path: Path) -> None:
    export(tmp_path / "out", make_split(tmp_path / "photos"))
    view = ElementTree.parse(tmp_path / "out/label_config.xml").getroot()
    image, brush = view
    assert (view.tag, image.tag, brush.tag) == ("View", "Image", "BrushLabels")
    assert (image.get("name"), image.get("value")) == ("image", "$image")
    assert (brush.get("name"), brush.get("toName")) == ("brush", "image")
    assert tuple(label.get("value") for label in brush) == NAMES
    assert [label.get("background") for label in brush] == ["#800000", "#008000", "#808000"]


def test_names_that_xml_or_label_studio_would_misread_are_encoded_reversibly(tmp_path: Path) -> None:
    names = ("$image", "a$b", "two\nlines", '"<&>"')
    split = make_split(tmp_path, {"a": np.zeros((2, 3), np.uint8)}, names=names)
    assert label_values(split) == ["%24image", "a$b", "two%0Alines", '"<&>"']
    assert tuple(map(unquote, label_values(split))) == names
