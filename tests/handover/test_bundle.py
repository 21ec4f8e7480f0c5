"""Bundles: they predict what their run predicts, say what was measured, and tell nothing of where they were made."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.predict.made_model import CLASSES, RECIPE, list_files, make_model, write_photo
from tests.tiny import with_settings
from weakseg.config.load import build_config, read_recipe
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, UsageError
from weakseg.files import write_text
from weakseg.handover.bundle import strip_config
from weakseg.handover.export import export_run
from weakseg.handover.network import ExportedModel, export_model
from weakseg.pipeline.artifacts import RunFolder, load_info, load_tensors
from weakseg.pipeline.records import StageRecord, write_records
from weakseg.predict.files import predict_files
from weakseg.predict.opened import open_model
from weakseg.scoring.metrics_file import load_metrics, save_metrics
from weakseg.scoring.scores import ClassifierScore, Metrics, Score
from weakseg.scoring.threshold_choices import THRESHOLD_CHOICES

pytestmark = pytest.mark.slow

FILES = ["README.md", "bundle.json", "classes.txt", "metrics.json", "recipe.yaml", "segmenter/model.safetensors"]

SECRET = "/home/jane.doe/secret project"
PRIVATE_RECIPE = with_settings(
    RECIPE,
    ("data.name", "folder"),
    ("data.root", f"{SECRET}/photos"),
    ("data.tags", f"{SECRET}/tags.csv"),
    ("data.train", f"{SECRET}/lists/train.txt"),
    ("classifier.weights", f"{SECRET}/resnet50.pth"),
    ("classifier.cda.masks", f"{SECRET}/runs/earlier"),
    ("refine.saliency.folder", "~/saliency"),
    ("segmenter.weights", "C:\\Users\\jane\\deeplab.safetensors"),
    ("report.title", "cats/dogs"),
)

SCORES = tuple(
    Score(
        subject,
        "val",
        7,
        subject != "segmenter",
        choice,
        threshold,
        0.5,
        (0.9, 0.4, None, 0.2),
        None,
        None,
        (1,) * 4,
        None,
    )
    for subject, choice, threshold in (("seeds", "oracle", 0.12), ("masks", "fixed", 0.06), ("segmenter", "none", None))
)
METRICS = Metrics(
    dataset="folder",
    label_names=CLASSES.label_names,
    classifier=ClassifierScore("val", 7, 0.875, f"{SECRET}/resnet50.pth"),
    scores=SCORES,
    curves=(),
    notes=(f"truth masks in {SECRET.replace(' ', '_')}/masks are damaged",),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("jane") / "run"
    folder = make_model(root, config=PRIVATE_RECIPE, weights_from=f"{SECRET}/deeplab.pth")
    save_metrics(folder.metrics, METRICS)
    segment = StageRecord(True, "x", {"data.root": f"{SECRET}/photos"}, 12.5, "41 images, loss 0.1234")
    write_records(folder, {"segment": segment})
    return root


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_model(run, to="bundle", out=tmp_path_factory.mktemp("handed over") / "animals").path


def predict_both(model: Path, other: Path, tmp_path: Path) -> None:
    photos = [write_photo(tmp_path / "photos" / f"{n}.png", n, (22 + n, 40)) for n in range(3)]
    for name, path in (("one", model), ("other", other)):
        predict_files(path, [*photos], tmp_path / name, device="cpu")
    for photo in photos:
        masks = [read_mask(tmp_path / name / photo.name) for name in ("one", "other")]
        assert (masks[0] == masks[1]).all()
        assert len(set(masks[0].ravel())) > 1


def test_a_bundle_predicts_what_its_run_predicts(run: Path, bundle: Path, tmp_path: Path) -> None:
    assert list_files(bundle) == [".weakseg-export.jsonl", *FILES]
    opened, original = open_model(bundle, device="cpu"), open_model(run, device="cpu")
    assert (opened.kind, opened.classes, opened.views) == ("bundle", CLASSES, original.views)
    assert opened.views.max_side_px == 30
    tensors, expected = (load_tensors(RunFolder(root).network("segmenter").model)[0] for root in (bundle, run))
    assert all(tensors[name].equal(value) for name, value in expected.items())
    predict_both(run, bundle, tmp_path)


def test_a_zip_predicts_like_the_folder(run: Path, bundle: Path, tmp_path: Path) -> None:
    exported = export_model(run, to="bundle", out=tmp_path / "animals.zip")
    with zipfile.ZipFile(exported.path) as archive:
        assert sorted(archive.namelist()) == [f"animals/{name}" for name in FILES]
        for name in FILES:
            assert archive.read(f"animals/{name}") == (bundle / name).read_bytes()
    first = exported.path.read_bytes()
    assert export_model(run, to="bundle", out=tmp_path / "animals.zip").path.read_bytes() == first
    assert open_model(exported.path, device="cpu").kind == "bundle"
    predict_both(bundle, exported.path, tmp_path)


def test_nothing_in_a_bundle_tells_where_it_was_made(run: Path, bundle: Path) -> None:
    for name in FILES:
        content = (bundle / name).read_bytes()
        for secret in (
            b"jane",
            b"secret",
            str(run).encode(),
            str(run.parent).encode(),
            str(Path.home()).encode() + b"/",
        ):
            assert secret not in content, f"{name} holds {secret!r}"


def test_settings_that_are_no_paths_are_kept_and_the_recipe_can_be_read(bundle: Path) -> None:
    config = build_config(read_recipe(str(bundle / "recipe.yaml")))
    assert config == strip_config(PRIVATE_RECIPE)
    assert (config.data.root, config.data.tags, config.data.train) == (None, None, "train.txt")
    assert (config.classifier.weights, config.classifier.cda.masks) == ("resnet50.pth", None)
    assert (config.segmenter.weights, config.refine.saliency.folder) == ("deeplab.safetensors", None)
    assert config.report.title == "cats/dogs"
    assert config.evaluate == PRIVATE_RECIPE.evaluate
    assert load_info(RunFolder(bundle).network("segmenter").model)["weights_from"] == "deeplab.pth"
    assert strip_config(RECIPE) == RECIPE


def test_numbers_are_handed_over_as_they_are(bundle: Path) -> None:
    metrics = load_metrics(bundle / "metrics.json")
    assert metrics.scores == SCORES
    assert metrics.classifier == replace(METRICS.classifier, weights_from="resnet50.pth")
    assert metrics.notes == ("truth masks in masks are damaged",)


def test_the_card_says_what_was_measured_and_how_thresholds_were_chosen(bundle: Path) -> None:
    card = (bundle / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: weakseg\n")
    for line in (
        "# Segmentation network of 3 classes",
        "| 0 | background |",
        "| 3 | fox |",
        "| network | `resnet101`, which began with the weights `deeplab.pth` |",
        "| segment | 41 images, loss 0.1234 |",
        "| seeds | val | 7 | given | 0.12 (oracle) | 50.0 |",
        "| masks | val | 7 | given | 0.06 (fixed) | 50.0 |",
        "| segmenter | val | 7 | not given | – | 50.0 |",
        "| dog | – |",
        "| fox | 20.0 |",
        "Classifier of the tags: mean average precision 87.5 % on val, 7 images.",
        "Note: truth masks in masks are damaged.",
        "Training began with `deeplab.pth`, whose terms weakseg does not know.",
    ):
        assert f"\n{line}\n" in card
    for choice in ("oracle", "fixed", "none"):
        assert f"- `{choice}`: {THRESHOLD_CHOICES[choice]}." in card
    assert "label-free" not in card
    assert "**Not stated.**" in card


def test_a_run_that_was_not_evaluated_says_so(tmp_path: Path) -> None:
    run = make_model(tmp_path / "run")
    bundle = export_model(run.root, to="bundle").path
    assert bundle == run.root / "exports" / "bundle"
    assert not (bundle / "metrics.json").exists()
    assert "Nothing has been measured: the run was not evaluated." in (bundle / "README.md").read_text()


def test_a_bundle_is_written_again_and_handed_on(run: Path, bundle: Path, tmp_path: Path) -> None:
    first = export_model(bundle, to="bundle", out=tmp_path / "second").path
    export_model(run, to="bundle", out=tmp_path / "second")
    for name in ("segmenter/model.safetensors", "recipe.yaml", "metrics.json", "bundle.json", "classes.txt"):
        assert (first / name).read_bytes() == (bundle / name).read_bytes()


def test_foreign_files_are_not_replaced(run: Path, tmp_path: Path) -> None:
    write_text(tmp_path / "out" / "README.md", "mine")
    with pytest.raises(ArtifactError, match="does not tell that an export wrote it"):
        export_model(run, to="bundle", out=tmp_path / "out")
    assert list_files(tmp_path / "out") == ["README.md"]


def test_weights_that_were_damaged_on_the_way_are_noticed(bundle: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(bundle, tmp_path / "copy")
    weights = copied / "segmenter" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"are not the weights of this bundle: digest .*; copy it again"):
        open_model(copied, device="cpu")
    (copied / "bundle.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"bundle\.json is damaged \('digest'\)"):
        open_model(copied, device="cpu")


@pytest.mark.parametrize("option", ["what", "split", "images"])
@pytest.mark.parametrize("to", ["onnx", "bundle"])
def test_options_of_masks_are_refused_before_anything_is_written(
    to: str, option: str, run: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        UsageError, match=f"--{option} x: '{to}' is the network itself, not masks of images; leave --{option}"
    ):
        export_run(run, to=to, out=tmp_path / "out", **{option: "x"})
    assert not (tmp_path / "out").exists()


def test_an_export_to_onnx_needs_the_name_of_a_file(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--out: 'onnx' is one file, whose name ends in \.onnx; got .*out"):
        export_run(run, to="onnx", out=tmp_path / "out")
    with pytest.raises(UsageError, match="--to: expected one of onnx, onnx-int8, bundle, got 'tflite'"):
        export_model(run, to="tflite")


def test_a_folder_without_a_trained_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is no run folder: expected a recipe\.yaml in it"):
        export_run(tmp_path, to="bundle")
    write_text(tmp_path / "recipe.yaml", "data:\n  name: folder\n")
    for to in ("onnx", "bundle"):
        with pytest.raises(ArtifactError, match="has no trained segmenter; finish the run with 'weakseg run"):
            export_run(tmp_path, to=to, out=tmp_path / "out" / "x.onnx")


def test_what_was_written_is_said_in_a_line(run: Path, tmp_path: Path) -> None:
    exported = export_run(run, to="bundle", out=tmp_path / "out")
    assert isinstance(exported, ExportedModel)
    assert exported.describe() == f"network of 3 classes -> {tmp_path / 'out'} (bundle)"
    assert exported.notes[1] == f"weakseg predict {tmp_path / 'out'} IMAGES"
    assert json.loads((tmp_path / "out" / "bundle.json").read_text())["labels"] == list(CLASSES.label_names)
    spaced = export_run(run, to="bundle", out=tmp_path / "my animals")
    assert spaced.notes[1] == f"weakseg predict '{tmp_path / 'my animals'}' IMAGES"
