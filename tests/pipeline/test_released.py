import hashlib
import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.data.layouts import write_mask, write_voc
from tests.golden_weights import fill_state_dict, load_layout
from tests.photos import TINY, TINY_IRN, TINY_PSA, TINY_RIB
from tests.pipeline.made_context import contents, make_context
from tests.pipeline.released_checkpoints import CPU, RESNET, splits, write_checkpoint
from tests.tiny import make_dataset
from weakseg.cli import main
from weakseg.config.schema import ClassifierConfig
from weakseg.data.base import Dataset
from weakseg.data.images import read_image
from weakseg.data.voc import VOC_CLASSES
from weakseg.errors import ArtifactError
from weakseg.localize.cam import score_maps
from weakseg.models.weights import load_official
from weakseg.pipeline.artifacts import load_info, load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.fingerprints import plan_records
from weakseg.pipeline.networks import load_classifier, load_history
from weakseg.pipeline.origin import Origin, read_map, read_origin
from weakseg.pipeline.released import ReleasedNetwork, released_classifier
from weakseg.pipeline.stages import STAGES, classify
from weakseg.scoring.metrics_file import load_metrics

pytestmark = pytest.mark.slow

assert splits, "a fixture"


@pytest.mark.parametrize(
    ("method", "name", "kind"),
    [
        ("plain", "resnet50", "resnet50_cam"),
        ("plain", "resnet38", "resnet38_cls"),
        ("seam", "resnet38", "resnet38_seam"),
    ],
)
def test_method_and_backbone_say_which_classifier_is_meant(method: str, name: str, kind: str) -> None:
    found = released_classifier(ClassifierConfig(method=method, name=name, released="a.pth"))
    assert found == ReleasedNetwork(
        setting="classifier.released", file="a.pth", kind=kind, asked_by=f"classifier.method '{method}' on {name}"
    )
    assert released_classifier(ClassifierConfig(method=method, name=name)) is None


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole classifier of IRN and RIB, with weights that see something."""
    path = tmp_path_factory.mktemp("released") / "res50_cam.pth"
    weights = fill_state_dict(load_layout("resnet50_cam").shapes)
    torch.save({name: torch.from_numpy(np.asarray(value)) for name, value in weights.items()}, path)
    return path


@pytest.fixture(scope="module")
def adopted(
    tmp_path_factory: pytest.TempPathFactory, splits: tuple[Dataset, Dataset], released: Path
) -> tuple[Context, str]:
    """A run with the released classifier, and the summary of its stage; not to be changed."""
    root = tmp_path_factory.mktemp("runs") / "adopted"
    context = make_context(root, splits, RESNET, ("classifier.released", str(released)))
    return context, classify(context)


def test_the_classifier_is_the_released_one_and_says_so(adopted: tuple[Context, str], released: Path) -> None:
    context, summary = adopted
    folder = context.folder.network("classifier")
    own, classes = load_classifier(folder.model, CPU)
    theirs = load_official(released, "resnet50_cam").state_dict()
    assert classes.names == VOC_CLASSES
    assert all(torch.equal(value, theirs[name]) for name, value in own.state_dict().items())
    sha256 = hashlib.sha256(released.read_bytes()).hexdigest()
    info = load_info(folder.model)
    assert (info["name"], info["method"], info["weights_from"]) == ("resnet50", "plain", str(released))
    reached = read_map(folder)
    assert read_origin(folder) == Origin(str(released), sha256, "resnet50_cam", reached)
    assert reached is not None
    assert summary == (
        f"released checkpoint res50_cam.pth (SHA-256 {sha256[:12]}...), not trained here, mAP {100 * reached:.1f} on "
        "val, 2 images"
    )


def test_its_history_has_no_epochs(adopted: tuple[Context, str]) -> None:
    folder = adopted[0].folder.network("classifier")
    assert json.loads(folder.history.read_text()) == []
    assert load_history(folder) == ()
    assert not folder.checkpoint.exists()


def test_a_network_that_was_trained_has_no_released_origin(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(tmp_path, splits, ("classifier.epochs", 1))
    classify(context)
    folder = context.folder.network("classifier")
    assert read_origin(folder) is None
    assert read_map(folder) == pytest.approx(load_history(folder)[-1].metrics["map"])


def test_without_a_validation_split_nothing_is_measured(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    path = write_checkpoint(tmp_path / "cam.pth", "resnet50_cam")
    context = make_context(tmp_path / "run", (splits[0], None), RESNET, ("classifier.released", str(path)))
    assert re.fullmatch(
        r"released checkpoint cam\.pth \(SHA-256 [0-9a-f]{12}\.\.\.\), not trained here", classify(context)
    )
    assert read_map(context.folder.network("classifier")) is None


def test_the_order_of_the_classes_is_told_and_doubted_where_it_is_not_that_of_voc(
    tmp_path: Path, splits: tuple[Dataset, Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    path = write_checkpoint(tmp_path / "cam.pth", "resnet50_cam")
    setting = ("classifier.released", str(path))
    with caplog.at_level(logging.INFO, logger="weakseg"):
        classify(make_context(tmp_path / "voc", (splits[0], None), RESNET, setting))
    assert f"the 20 outputs of {path} are taken for the classes in this order: aeroplane, bicycle, " in caplog.text
    assert "WARNING" not in caplog.text
    names = tuple(reversed(VOC_CLASSES))
    other = make_dataset(tmp_path / "images", ((0,), (1,)), names=names)
    with caplog.at_level(logging.INFO, logger="weakseg"):
        classify(make_context(tmp_path / "other", (other, None), RESNET, setting))
    assert "classifier.released: checkpoints of 20 classes are mostly of VOC" in caplog.text


def test_a_damaged_origin_is_named(tmp_path: Path, adopted: tuple[Context, str]) -> None:
    folder = adopted[0].folder.network("classifier")
    copy = type(folder)(tmp_path)
    for origin in ("yes", {"file": "a"}):
        metadata = {"weakseg": json.dumps({"released": origin})}
        safetensors.torch.save_file({"a": torch.zeros(1)}, copy.model, metadata=metadata)
        with pytest.raises(ArtifactError, match=rf"{copy.model}: damaged, it says of its origin"):
            read_origin(copy)


def parts_of(context: Context, stage: str) -> dict[str, object]:
    return dict(plan_records(context, STAGES)[stage].parts)


def test_a_recipe_without_released_networks_has_the_fingerprint_it_always_had(
    tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    context = make_context(tmp_path, splits)
    assert not [key for stage in ("classify", "refine") for key in parts_of(context, stage) if "released" in key]


def test_path_and_contents_of_a_released_network_join_the_fingerprint(
    tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    (tmp_path / "a.pth").write_bytes(b"first")
    settings = (RESNET, ("classifier.released", str(tmp_path / "a.pth")))
    irn = (("refine.method", "irn"), ("refine.irn.released", str(tmp_path / "a.pth")))
    context = make_context(tmp_path / "run", splits, *settings, *irn)
    digest = hashlib.sha256(b"first").hexdigest()
    for stage, setting in (("classify", "classifier.released"), ("refine", "refine.irn.released")):
        parts = parts_of(context, stage)
        assert (parts[setting], parts[f"contents of {setting}"]) == (str(tmp_path / "a.pth"), digest)
    unused = make_context(tmp_path / "run", splits, *settings, irn[1], ("refine.method", "crf"))
    assert "contents of refine.irn.released" not in parts_of(unused, "refine")


SMALL = ("--segmenter.weights=none", "--classifier.name=resnet50")
"""To follow `TINY`: the classifier keeps its backbone, and the segmenter starts without it."""


def write_small_voc(root: Path) -> Path:
    names = {f"2007_{n:06d}": (("cat",), ("dog",), ("cat", "dog"), ("person",))[n % 4] for n in range(4)}
    voc = write_voc(root, names, train=list(names)[:3], val=list(names)[3:])
    for n, name in enumerate(names):
        labels = np.zeros((6, 9))
        labels[2:, n : n + 3] = 8
        write_mask(voc / "SegmentationClass" / f"{name}.png", labels)
    return voc


def test_the_command_line_gives_the_seeds_that_python_gives_and_needs_the_file_no_more(
    tmp_path: Path, released: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    voc = write_small_voc(tmp_path / "VOC2012")
    shutil.copy(released, "res50_cam.pth")
    words = ("irn_voc", "--data.root=VOC2012", "--data.train=train", *TINY, *SMALL, "--classifier.epochs=3")
    words = (*words, "--localize.splits=[train, val]", "--out=run")
    assert main(["classify", *words, "--classifier.released=res50_cam.pth"]) == 0
    recipe = (tmp_path / "run" / "recipe.yaml").read_text()
    assert f"released: {tmp_path}/res50_cam.pth" in recipe
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "res50_cam.pth").unlink()
    assert main(["localize", str(tmp_path / "run")]) == 0
    classifier = load_official(released, "resnet50_cam")
    seen = 0
    for path in sorted((voc / "JPEGImages").iterdir()):
        seed = load_seed(tmp_path / "run" / "seeds" / f"{path.stem}.npz")
        tags = np.zeros(20, np.uint8)
        tags[list(seed.keys)] = 1
        expected = score_maps(classifier, read_image(path), tags, scales=(1.0, 0.5))
        for ours, theirs in zip(seed.scales, expected.scales, strict=True):
            # A run lays its weights channels last, which sums in another order.
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))
        seen += sum(int((scale > 0).any()) for scale in seed.scales)
    assert seen, "some map is not zero"
    before = contents(tmp_path / "run")
    assert main(["run", str(tmp_path / "run"), "--redo", "classify"]) != 0
    assert "classifier.released: there is no file" in capsys.readouterr().err
    write_checkpoint(tmp_path / "res50_cam.pth", "resnet50_cam")
    assert main(["localize", str(tmp_path / "run")]) != 0
    told = capsys.readouterr().err
    assert "'classify' in" in told
    assert "contents of classifier.released changed; add --redo classify" in told
    assert contents(tmp_path / "run") == before


def test_rib_and_irn_run_on_released_networks_to_the_report(
    tmp_path: Path, released: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_small_voc(tmp_path / "VOC2012")
    write_checkpoint(tmp_path / "res50_irn.pth", "resnet50_irn")
    irn = (*TINY_IRN, "--refine.irn.name=resnet50", "--refine.irn.released=res50_irn.pth")
    tiny = (*TINY, *SMALL, *TINY_RIB, *irn, "--segmenter.epochs=1", "--localize.compared_images=1")
    words = ("rib_voc", "--data.root=VOC2012", "--data.train=train", *tiny, f"--classifier.released={released}")
    assert main(["run", *words, "--out=run"]) == 0
    sha256 = hashlib.sha256(released.read_bytes()).hexdigest()
    said = f"released checkpoint res50_cam.pth (SHA-256 {sha256[:12]}...), not trained here"
    assert said in " ".join(capsys.readouterr().out.split())
    metrics = load_metrics(tmp_path / "run" / "metrics.json")
    assert metrics.classifier.released_sha256 == sha256
    assert metrics.classifier.mean_average_precision is not None
    report = (tmp_path / "run" / "report.html").read_text()
    assert f"resnet50, {said}" in report
    assert "released checkpoint res50_irn.pth" in report
    assert "tags as truth, released, not trained here" in report
    assert "Classifier: loss" not in report
    assert "Segmenter: loss" in report
    assert not (tmp_path / "run" / "labels").exists()
    assert main(["export", "run", "--to", "bundle", "--out", "bundle"]) == 0
    assert f"it is a {said}" in (tmp_path / "bundle" / "README.md").read_text()
    assert str(tmp_path) not in (tmp_path / "bundle" / "metrics.json").read_text()


@pytest.mark.long
def test_seam_and_psa_run_on_released_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_small_voc(tmp_path / "VOC2012")
    write_checkpoint(tmp_path / "resnet38_SEAM.pth", "resnet38_seam")
    write_checkpoint(tmp_path / "resnet38_aff.pth", "resnet38_aff")
    tiny = (*TINY, *TINY_PSA, "--refine.psa.name=resnet38", "--classifier.name=resnet38", "--segmenter.weights=none")
    words = ("seam_voc", "--data.root=VOC2012", "--data.train=train", *tiny)
    files = ("--classifier.released=resnet38_SEAM.pth", "--refine.psa.released=resnet38_aff.pth")
    for verb in ("classify", "localize", "refine"):
        assert main([verb, *words, *files, "--out=run"]) == 0
    run = tmp_path / "run"
    info = load_info(run / "classifier" / "model.safetensors")
    assert (info["method"], info["released"]["kind"]) == ("seam", "resnet38_seam")
    assert load_info(run / "refiner" / "model.safetensors")["released"]["kind"] == "resnet38_aff"
    assert len(list((run / "masks").glob("*.png"))) == 3
    assert not (run / "labels").exists()
