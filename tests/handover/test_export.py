import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.layouts import write_image, write_text
from tests.tiny import with_settings
from weakseg.config.load import to_yaml
from weakseg.config.schema import RunConfig
from weakseg.data.export.formats import FORMATS
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, DataError, UsageError
from weakseg.handover.export import Exported, export_masks, export_run
from weakseg.ops.instances import Instances
from weakseg.pipeline.artifacts import RunFolder, save_mask, save_tensors
from weakseg.pipeline.context import Context
from weakseg.pipeline.inputs import prepare
from weakseg.refine.instance_files import save_instances

SIZE_HW = (6, 9)
TAGS = {f"home/garden/photo {n:02}.png": ("cat", "dog", "cat;dog", "")[n % 4] for n in range(12)}
VOC = "results/VOC2012/Segmentation"


def draw_mask(place: int) -> np.ndarray:
    mask = np.zeros(SIZE_HW, np.uint8)
    mask[1:4, place % 5 : place % 5 + 3] = 1 + place % 2
    return mask


def make_run(root: Path) -> Context:
    """Write photographs, a recipe, masks of train and val, and predictions of val."""
    for shade, name in enumerate(TAGS):
        write_image(root / "photos" / name, SIZE_HW, shade=shade)
    write_text(
        root / "photos" / "tags.csv", "image,tags\n" + "".join(f"{name},{tags}\n" for name, tags in TAGS.items())
    )
    config = with_settings(
        RunConfig(),
        ("data.name", "folder"),
        ("data.root", str(root / "photos")),
        ("data.val_fraction", 0.25),
        ("localize.splits", ("train", "val")),
        ("refine.method", "none"),
    )
    folder = RunFolder(root / "run")
    write_text(folder.recipe, to_yaml(config))
    context = prepare(config, folder)
    for place, sample in enumerate(context.train):
        mask = draw_mask(place)
        save_mask(folder.mask(sample.id), mask)
        keys, scores = np.array([place % 2], np.int64), np.array([0.5], np.float32)
        save_instances(folder.instance(sample.id), Instances(mask[None] > 0, keys, scores))
    for place, sample in enumerate(context.val or ()):
        save_mask(folder.mask(sample.id), draw_mask(place))
        save_mask(folder.prediction(sample.id), 2 * (draw_mask(place) > 0).astype(np.uint8))
    return context


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return make_run(tmp_path_factory.mktemp("export"))


@pytest.fixture
def run(context: Context) -> Path:
    return context.folder.root


@pytest.fixture
def own(context: Context, tmp_path: Path) -> Context:
    """The run in a copy of its folder that a test may damage."""
    copied = shutil.copytree(context.folder.root, tmp_path / "run", ignore=shutil.ignore_patterns("exports"))
    return replace(context, folder=RunFolder(copied))


def ids_in(exported: Exported) -> set[str]:
    return {path.stem for path in (exported.folder / VOC).rglob("*.png")}


def test_the_masks_of_train_are_exported_into_the_run_unless_told_otherwise(context: Context) -> None:
    exported = export_run(context.folder.root, to="voc")
    assert exported.folder == context.folder.root / "exports" / "voc-masks-train"
    assert exported.images == len(context.train) == 9
    assert ids_in(exported) == {sample.id.replace("/", "%2F") for sample in context.train}
    for sample in context.train:
        written = exported.folder / VOC / "comp6_train_cls" / f"{sample.id.replace('/', '%2F')}.png"
        np.testing.assert_array_equal(read_mask(written), read_mask(context.folder.mask(sample.id)))
    assert exported.describe() == f"masks of 9 images of train -> {exported.folder} (voc)"


@pytest.mark.parametrize("names", [["ape", "cat", "dog"], ["dog", "cat"], ["cat"]])
def test_masks_of_other_classes_than_the_data_have_now_are_not_exported(names: list[str], own: Context) -> None:
    save_tensors(own.folder.network("segmenter").model, {}, {"classes": names})
    told = f"was made with the classes {', '.join(names)}, but its data now have cat, dog, so that its masks would mean"
    with pytest.raises(ArtifactError, match=told):
        export_run(own.folder.root, to="voc")


def test_predictions_are_those_of_val(context: Context, tmp_path: Path) -> None:
    exported = export_run(context.folder.root, to="voc", out=tmp_path / "out", what="predictions")
    assert context.val is not None
    assert (exported.images, exported.split, exported.folder) == (len(context.val), "val", tmp_path / "out")
    assert exported.images == 3
    paths = sorted((tmp_path / "out" / VOC / "comp6_val_cls").iterdir())
    assert [set(np.unique(read_mask(path))) for path in paths] == [{0, 2}] * 3


def test_masks_of_val_are_exported_on_demand(context: Context, tmp_path: Path) -> None:
    exported = export_masks(context, to="voc", out=tmp_path / "out", role="val")
    assert context.val is not None
    assert ids_in(exported) == {sample.id.replace("/", "%2F") for sample in context.val}


@pytest.mark.parametrize("to", FORMATS)
def test_every_format_takes_a_run_and_may_be_written_again(to: str, context: Context, tmp_path: Path) -> None:
    first = export_masks(context, to=to, out=tmp_path / "out")
    assert first == export_masks(context, to=to, out=tmp_path / "out")
    assert first.images == 9


def test_instances_of_the_masks_are_exported_where_the_recipe_asks_for_them(own: Context) -> None:
    config = with_settings(own.config, ("refine.method", "irn"), ("refine.irn.instances", True))
    with_instances = replace(own, config=config)
    assert export_masks(with_instances, to="coco").notes == ("9 instances",)
    exports = own.folder.root / "exports"
    entries = json.loads((exports / "coco-masks-train/instances_results.json").read_text())
    assert [entry["image_id"] for entry in entries] == list(range(1, 10))
    export_masks(with_instances, to="coco", what="predictions", role="val")
    assert not (exports / "coco-predictions-val/instances_results.json").exists()


def test_images_are_copied_unless_links_are_asked_for(run: Path, context: Context, tmp_path: Path) -> None:
    export_masks(context, to="hf-dataset", out=tmp_path / "out")
    assert not any(path.is_symlink() for path in (tmp_path / "out/train/images").iterdir())
    export_run(run, to="hf-dataset", out=tmp_path / "out", images="link")
    assert all(path.is_symlink() for path in (tmp_path / "out/train/images").iterdir())


def test_a_run_of_another_machine_with_a_gpu_is_exported_here(own: Context) -> None:
    write_text(own.folder.recipe, to_yaml(with_settings(own.config, ("runtime.device", "cuda:7"))))
    assert export_run(own.folder.root, to="voc").images == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"to": "pascal"},
            "--to: expected one of voc, coco, yolo-seg, cvat, label-studio, hf-dataset, onnx, onnx-int8, bundle, "
            "got 'pascal'",
        ),
        ({"to": "voc", "what": "seeds"}, "--what: expected one of masks, predictions, got 'seeds'"),
        ({"to": "voc", "split": "test"}, "--split: expected one of train, val, all, got 'test'"),
        ({"to": "hf-dataset", "images": "move"}, "--images: expected one of copy, link, got 'move'"),
        ({"to": "cvat", "images": "link"}, "'cvat' has no images in it; yolo-seg and hf-dataset have"),
        ({"to": "voc", "what": "predictions", "split": "train"}, "predictions are made of the validation split only"),
        ({"to": "voc", "what": "predictions", "split": "all"}, "--split all: predictions are made of the validation"),
        ({"to": "voc", "min_area_px": -1}, "--min-area-px: expected pixels, or 0 to keep every part, got -1"),
        ({"to": "onnx", "min_area_px": 3}, "--min-area-px 3: 'onnx' is the network itself, not masks of images"),
    ],
)
def test_a_wrong_command_line_is_told_before_anything_is_written(
    options: dict[str, Any], message: str, run: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        export_run(run, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=rf"{tmp_path} is no run folder: expected a recipe\.yaml"):
        export_run(tmp_path, to="voc")


def test_a_run_without_masks_says_which_stage_makes_them(own: Context) -> None:
    own.folder.mask(own.train.samples[3].id).unlink()
    with pytest.raises(ArtifactError, match=r"lacks the masks of 1 of 9 images of train, such as 'home/.*'refine'"):
        export_masks(own, to="voc")
    shutil.rmtree(own.folder.masks)
    with pytest.raises(ArtifactError, match=r"lacks the masks of 9 of 9 images .* with 'weakseg run"):
        export_masks(own, to="voc")
    shutil.rmtree(own.folder.predictions)
    with pytest.raises(ArtifactError, match=r"lacks the predictions of 3 of 3 images of val, .* stage 'evaluate'"):
        export_masks(own, to="voc", what="predictions", role="val")
    assert not (own.folder.root / "exports").exists()


def test_masks_of_a_split_that_got_none_are_told_from_missing_ones(context: Context, tmp_path: Path) -> None:
    only_train = replace(context, config=with_settings(context.config, ("localize.splits", ("train",))))
    with pytest.raises(ArtifactError, match=r"has no pseudo masks of val: localize\.splits is \['train'\]"):
        export_masks(only_train, to="voc", out=tmp_path / "out", role="val")
    assert export_masks(only_train, to="voc", out=tmp_path / "out", what="predictions", role="val").images == 3


def test_a_run_without_a_validation_split_has_no_predictions(context: Context) -> None:
    with pytest.raises(ArtifactError, match=r"has no validation split \(data\.val\)"):
        export_masks(replace(context, val=None), to="voc", what="predictions", role="val")


def test_a_folder_with_foreign_files_is_refused(context: Context, tmp_path: Path) -> None:
    write_text(tmp_path / "out" / "notes.txt", "mine")
    for out in (tmp_path / "out", context.folder.root):
        before = sorted(out.rglob("*"))
        with pytest.raises(ArtifactError, match="does not tell that an export wrote it"):
            export_masks(context, to="voc", out=out)
        assert sorted(out.rglob("*")) == before


def test_an_export_is_not_written_where_it_would_become_part_of_the_data(context: Context) -> None:
    photos = Path(str(context.config.data.root))
    with pytest.raises(ArtifactError, match=r"lies within the data set .*, whose images are taken at any depth"):
        export_masks(context, to="yolo-seg", out=photos / "export")
    assert not (photos / "export").exists()


def test_a_mask_of_other_classes_is_named(own: Context) -> None:
    save_mask(own.folder.mask(own.train.samples[0].id), np.full(SIZE_HW, 7, np.uint8))
    with pytest.raises(DataError, match="holds label 7, but there are 2 classes"):
        export_masks(own, to="coco")


@pytest.mark.parametrize("to", sorted(FORMATS))
def test_all_images_go_into_one_export(to: str, context: Context, tmp_path: Path) -> None:
    exported = export_masks(context, to=to, out=tmp_path / "out", role="all")
    assert (exported.images, exported.split, exported.what) == (12, "train and val", "masks")
    assert not any("segmenter" in note for note in exported.notes)


def test_the_splits_keep_their_folders_in_one_export(context: Context, tmp_path: Path) -> None:
    for to in ("voc", "yolo-seg", "hf-dataset"):
        export_masks(context, to=to, out=tmp_path / to, role="all")
    counts = {place.name: len(list(place.glob("*.png"))) for place in (tmp_path / "voc" / VOC).iterdir()}
    assert counts == {"comp6_train_cls": 9, "comp6_val_cls": 3}
    assert "train: images/train\nval: images/val\n" in (tmp_path / "yolo-seg" / "data.yaml").read_text()
    for folder, count in (("train", 9), ("validation", 3)):
        assert len((tmp_path / "hf-dataset" / folder / "metadata.jsonl").read_text().splitlines()) == count


def test_images_without_a_pseudo_mask_go_with_the_segmenters(context: Context, tmp_path: Path) -> None:
    localize = replace(context.config.localize, splits=("train",))
    only_train = replace(context, config=replace(context.config, localize=localize))
    exported = export_masks(only_train, to="coco", out=tmp_path / "out", role="all")
    assert (exported.images, exported.what) == (12, "masks and predictions")
    assert exported.notes == ("the masks of val are the segmenter's, since the run makes no pseudo masks of it",)
    ids = {image["id"] for image in json.loads((tmp_path / "out" / "images.json").read_text())["images"]}
    assert ids == set(range(1, 13)), "numbered through"
    without_val = replace(only_train, val=None)
    assert export_masks(without_val, to="coco", out=tmp_path / "out", role="all").images == 9
    with pytest.raises(ArtifactError, match="has no pseudo masks of val"):
        export_masks(only_train, to="coco", out=tmp_path / "out", role="all", what="masks")


@pytest.mark.parametrize(("to", "min_area_px", "left_out"), [("yolo-seg", None, 0), ("coco", 10, 9), ("voc", 10, 9)])
def test_small_parts_are_left_out_and_counted(
    to: str, min_area_px: int | None, left_out: int, context: Context, tmp_path: Path
) -> None:
    exported = export_masks(context, to=to, out=tmp_path / "out", min_area_px=min_area_px)
    note = f"{left_out} of 9 parts are specks of fewer than 10 pixels, and left out; --min-area-px 0 keeps them"
    assert (note in exported.notes) == bool(left_out)
