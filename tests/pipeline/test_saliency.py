import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pipeline.made_context import contents, make_context
from tests.pipeline.test_refiners import IRN, PSA, write_seeds
from tests.tiny import SIZE_HW, make_dataset
from weakseg.data.base import Dataset
from weakseg.data.grey import encode_grey, read_grey
from weakseg.data.images import read_image
from weakseg.data.masks import read_mask
from weakseg.errors import ConfigError, DataError
from weakseg.pipeline.artifacts import save_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.fingerprints import plan_records
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.records import read_records, write_records
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.saliency import FINGERPRINT_KEY, announce_saliency, find_saliency
from weakseg.pipeline.stages import STAGES, classify, refine
from weakseg.types import ScoreMaps

TAGS = ((0,), (1,), (0, 1), ())


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, None]:
    return make_dataset(tmp_path_factory.mktemp("images"), TAGS), None


@pytest.fixture
def folder(tmp_path: Path, splits: tuple[Dataset, None]) -> Path:
    """Maps that are salient in the upper third, at a third of the images' size."""
    folder = tmp_path / "saliency"
    folder.mkdir()
    saliency = np.zeros((8, 11), np.uint8)
    saliency[:3] = 255
    for sample in splits[0]:
        (folder / f"{sample.id}.png").write_bytes(encode_grey(saliency))
    return folder


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("weakseg"), "propagate", True)
    caplog.set_level("WARNING", "weakseg")
    return caplog


def refined(root: Path, splits: tuple[Dataset, None], *settings: tuple[str, object]) -> Context:
    context = make_context(root, splits, *settings)
    if context.config.refine.method in ("irn", "psa"):
        classify(context)
    tagged = splits[0].keep(sample.id for sample in splits[0] if sample.keys)
    write_seeds(replace(context, train=tagged))
    for sample in splits[0]:
        if not sample.keys:
            save_seed(context.folder.seed(sample.id), ScoreMaps((), (torch.zeros(0, 3, 5),), SIZE_HW))
    refine(context)
    return context


def assert_corrected(plain: Context, salient: Context) -> None:
    """Assert that the masks of a run are those of another, corrected where the upper third is salient."""
    above = find_saliency(salient, "train_0", SIZE_HW) > 127.5
    assert (above.shape, above[0].all(), above[-1].any()) == (SIZE_HW, True, False)
    for sample in plain.train:
        before, after = (read_mask(context.folder.mask(sample.id)) for context in (plain, salient))
        claimed = before != 0
        only = sample.keys[0] + 1 if len(sample.keys) == 1 else 255
        expected = np.where(above, np.where(claimed, before, only), np.where(claimed, 255, 0))
        assert after.tolist() == (expected if sample.keys else before).tolist()


@pytest.mark.parametrize(
    "settings",
    [(), (("refine.method", "crf"), ("refine.crf.iterations", 2)), pytest.param(PSA, marks=pytest.mark.slow)],
)
def test_the_masks_of_every_method_are_corrected(
    tmp_path: Path, splits: tuple[Dataset, None], folder: Path, settings: tuple[tuple[str, object], ...]
) -> None:
    # AffinityNet needs tagged images: each step of its training must see a pair.
    used = (splits[0].keep(f"train_{index}" for index in range(3)), None) if settings is PSA else splits
    plain = refined(tmp_path / "plain", used, *settings)
    salient = refined(tmp_path / "salient", used, *settings, ("refine.saliency.folder", str(folder)))
    assert_corrected(plain, salient)


@pytest.mark.slow
def test_irns_masks_are_corrected_and_its_instances_left_as_they_are(
    tmp_path: Path, splits: tuple[Dataset, None], folder: Path
) -> None:
    plain = refined(tmp_path / "plain", splits, *IRN)
    salient = refined(tmp_path / "salient", splits, *IRN, ("refine.saliency.folder", str(folder)))
    assert_corrected(plain, salient)
    assert contents(plain.folder.instances) == contents(salient.folder.instances)
    assert len(contents(salient.folder.instances)) == 4


def test_settings_reach_the_rule(tmp_path: Path, splits: tuple[Dataset, None], folder: Path) -> None:
    where = ("refine.saliency.folder", str(folder))
    context = refined(
        tmp_path, splits, where, ("refine.saliency.threshold", 1.0), ("refine.saliency.outside", "background")
    )
    assert not any(read_mask(context.folder.mask(sample.id)).any() for sample in splits[0])


def test_confidence_follows_the_labels(tmp_path: Path, splits: tuple[Dataset, None], folder: Path) -> None:
    context = refined(tmp_path, splits, ("refine.saliency.folder", str(folder)), ("refine.confidence", True))
    mask = read_mask(context.folder.mask("train_0"))
    confidence = read_grey(context.folder.confidence_map("train_0"))
    assert (mask == 255).any()
    assert not confidence[mask == 255].any()
    assert (confidence[mask != 255] > 0).all()


def test_a_tag_beside_unknown_ones_claims_nothing(tmp_path: Path, folder: Path) -> None:
    known = make_dataset(tmp_path / "images", ((0,),))
    unknown = make_dataset(tmp_path / "images", ((0,),), unknown=((2,),))
    where = ("refine.saliency.folder", str(folder))
    masks = [
        read_mask(refined(tmp_path / name, (dataset, None), where).folder.mask("train_0"))
        for name, dataset in (("known", known), ("unknown", unknown))
    ]
    assert masks[0][0, 0] == 1
    assert masks[1][0, 0] == 255


def test_missing_and_unusable_maps_are_named_and_their_images_keep_their_masks(
    tmp_path: Path, folder: Path, warnings: pytest.LogCaptureFixture
) -> None:
    many = make_dataset(tmp_path / "images", ((0,),) * 12), None
    maps = {f"train_{index}": folder / f"train_{index}.png" for index in range(12)}
    good = maps["train_0"].read_bytes()
    for path in maps.values():
        path.unlink(missing_ok=True)
    maps["train_0"].write_bytes(good)
    maps["train_1"].write_bytes(good[:45])
    Image.new("RGB", (4, 4)).save(maps["train_2"])
    maps["train_3"].write_bytes(encode_grey(np.zeros(SIZE_HW[::-1], np.uint8)))
    plain = refined(tmp_path / "plain", many)
    salient = refined(tmp_path / "salient", many, ("refine.saliency.folder", str(folder)))
    same = [
        sample_id
        for sample_id in maps
        if plain.folder.mask(sample_id).read_bytes() == salient.folder.mask(sample_id).read_bytes()
    ]
    assert same == [f"train_{index}" for index in range(1, 12)]
    texts = [record.getMessage() for record in warnings.records]
    assert texts[0] == (
        "8 of 12 images have no saliency map and keep their masks: train_4, train_5, train_6, train_7, train_8, ..."
    )
    assert texts[1].startswith(f"saliency map {maps['train_1']}: damaged: ")
    assert texts[2] == (
        f"saliency map {maps['train_2']}: it has colours (Pillow mode RGB); save it as an 8-bit grey PNG; the image "
        "keeps its mask"
    )
    assert texts[3] == (
        f"saliency map {maps['train_3']}: it is 33 x 24 px (height, width), but the upright image 24 x 33; make it "
        "from the image as EXIF turns it; the image keeps its mask"
    )
    assert len(texts) == 4


def test_many_unusable_maps_are_counted(tmp_path: Path, folder: Path, warnings: pytest.LogCaptureFixture) -> None:
    many = make_dataset(tmp_path / "images", ((0,),) * 8), None
    for index in range(1, 8):
        (folder / f"train_{index}.png").write_bytes(b"no PNG")
    context = make_context(tmp_path / "run", many, ("refine.saliency.folder", str(folder)))
    write_seeds(context)
    announce_saliency(context, seeded_datasets(context))
    texts = [record.getMessage() for record in warnings.records]
    assert len(texts) == 6
    assert texts[5] == "and 2 more saliency maps that cannot be used"


def test_maps_of_which_none_can_be_used_are_an_error(
    tmp_path: Path, splits: tuple[Dataset, None], folder: Path
) -> None:
    for path in folder.iterdir():
        Image.new("I;16", (4, 4)).save(path)
    with pytest.raises(DataError) as raised:
        refined(tmp_path / "run", splits, ("refine.saliency.folder", str(folder)))
    assert str(raised.value) == (
        "refine.saliency.folder: none of 4 images has a saliency map that can be used; the first is "
        f"{folder / 'train_0.png'}: 16 bits per channel; save it as an 8-bit grey PNG"
    )


def test_maps_are_of_the_upright_image(tmp_path: Path, folder: Path) -> None:
    dataset = make_dataset(tmp_path / "images", ((0,),))
    path = dataset.samples[0].image_path
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    with Image.open(path) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    assert read_image(path).shape[:2] == SIZE_HW
    context = refined(tmp_path / "run", (dataset, None), ("refine.saliency.folder", str(folder)))
    mask = read_mask(context.folder.mask("train_0"))
    assert mask.shape == SIZE_HW
    assert (mask[:8] == 1).all(), "its upper third, upright, is salient"


@pytest.mark.slow
def test_the_contents_of_the_maps_join_the_fingerprint(
    tmp_path: Path, splits: tuple[Dataset, None], folder: Path
) -> None:
    context = make_context(tmp_path / "run", splits, ("refine.saliency.folder", str(folder)))
    run_stages(context, STAGES)
    key = read_records(context.folder)["refine"].parts[FINGERPRINT_KEY]
    assert FINGERPRINT_KEY not in plan_records(make_context(tmp_path / "x", splits), STAGES)["refine"].parts

    for path in folder.iterdir():  # written again, the same
        path.write_bytes(path.read_bytes())
    run_stages(context, STAGES)

    moved = tmp_path / "gone"
    folder.rename(moved)  # a run that is finished does not need them
    run_stages(context, STAGES)
    records = read_records(context.folder)
    write_records(context.folder, {**records, "refine": replace(records["refine"], finished=False)})
    with pytest.raises(DataError, match=r"refine\.saliency\.folder: there is no folder"):  # masks are still to be made
        run_stages(context, STAGES)
    write_records(context.folder, records)
    moved.rename(folder)

    (folder / "train_3.png").unlink()
    with pytest.raises(ConfigError, match=r"stage 'refine' in .*: saliency maps changed; add --redo refine"):
        run_stages(context, STAGES)
    run_stages(context, STAGES, redo="refine")
    assert read_records(context.folder)["refine"].parts[FINGERPRINT_KEY] != key


def test_a_folder_that_is_not_there_stops_the_run_before_it_begins(
    tmp_path: Path, splits: tuple[Dataset, None]
) -> None:
    context = make_context(tmp_path / "run", splits, ("refine.saliency.folder", str(tmp_path / "nowhere")))
    with pytest.raises(DataError, match=r"^refine\.saliency\.folder: there is no folder .*nowhere; name the"):
        run_stages(context, STAGES)
    assert not context.folder.state.exists()


def test_maps_are_looked_at_once(
    tmp_path: Path, splits: tuple[Dataset, None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context(tmp_path / "run", splits, ("refine.saliency.folder", str(folder)))
    first = plan_records(context, STAGES)
    monkeypatch.setattr("weakseg.pipeline.saliency.decode_grey", pytest.fail)
    assert plan_records(context, STAGES) == first


def test_without_a_folder_there_is_no_saliency(tmp_path: Path, splits: tuple[Dataset, None]) -> None:
    context = make_context(tmp_path, splits)
    assert find_saliency(context, "train_0", SIZE_HW) is None
    announce_saliency(context, seeded_datasets(context))
    assert not context.folder.saliency_index.exists()
