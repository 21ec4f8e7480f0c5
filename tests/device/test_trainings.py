"""Trainings on the pretended device: nothing is elsewhere, and networks learn what they learn on the CPU."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.data.test_pairs import mine
from tests.device.cases import assert_follows
from tests.tiny import AUGMENTATION, NARROW_GROUPS, make_classifier, make_dataset, make_plan
from tests.tiny_networks import SEGFORMER, write_config
from weakseg.data.base import Dataset
from weakseg.localize.cam import score_maps
from weakseg.localize.rib import adapt
from weakseg.models.affinitynet import AffinityNet, build_affinitynet
from weakseg.models.classifier import Classifier
from weakseg.models.deeplab import Segmenter, build_segmenter
from weakseg.models.efficientnet_lite import EfficientNetLite
from weakseg.models.hf_build import build_hf_segmenter
from weakseg.models.hf_source import NetworkSource
from weakseg.models.irnet import IRNet, build_irnet
from weakseg.models.seam import SEAM, build_seam
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.train.affinity import train_affinity
from weakseg.train.cda import Pasting
from weakseg.train.classify import predict_logits, train_classifier
from weakseg.train.irn import train_irn
from weakseg.train.lesson import Lesson
from weakseg.train.loop import EpochRecord, TrainState
from weakseg.train.plan import TrainingHooks, TrainingPlan
from weakseg.train.seam import train_seam
from weakseg.train.segment import Balance, train_segmenter

pytestmark = pytest.mark.slow

SGD = make_plan(epochs=1, schedule="poly", learning_rate=0.01)
ADAMW = replace(SGD, optimizer="adamw", learning_rate=1e-4)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("images"))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def tell(network: nn.Module, history: Sequence[EpochRecord]) -> object:
    """Return what a training gives. Losses are averages that are kept on the CPU."""
    return [[record.to_json() for record in history], dict(network.state_dict())]


def classify(device: torch.device, dataset: Dataset, *, plan: TrainingPlan = SGD, paste: bool = False) -> object:
    classifier = make_classifier().to(device)
    pasting = Pasting(mine(dataset)) if paste else None
    settings = {"augmentation": AUGMENTATION, "plan": plan, "seed": 1, "pasting": pasting}
    history = train_classifier(classifier, dataset, dataset, **settings)
    return [tell(classifier, history), predict_logits(classifier, dataset, workers=0).numpy()]


def resume(device: torch.device, dataset: Dataset, *, plan: TrainingPlan) -> object:
    """Train two epochs, the second from the state after the first."""
    plan = replace(plan, epochs=2)
    states: list[TrainState] = []
    train = partial(train_classifier, augmentation=AUGMENTATION, plan=plan, seed=1)
    train(make_classifier().to(device), dataset, None, hooks=TrainingHooks(after_epoch=lambda s, _: states.append(s)))
    again = make_classifier(seed=1).to(device)
    history = train(again, dataset, None, hooks=TrainingHooks(resume=states[0]))
    return [tell(again, history), {name: value.numpy() for name, value in states[0].tensors.items()}]


def train_views(device: torch.device, dataset: Dataset) -> object:
    seam = build_seam("critter38", num_classes=3, freeze_trunk=False, fixed_norm=True, generator=generator())
    history = train_seam(seam.to(device), dataset, None, augmentation=AUGMENTATION, plan=SGD, seed=1)
    return tell(seam, history)


def train_edges(device: torch.device, dataset: Dataset) -> object:
    irnet = build_irnet("critter", generator=generator()).to(device)
    lesson = Lesson(dataset, dataset.mask_reader, AUGMENTATION, SGD, seed=1)
    return tell(irnet, train_irn(irnet, lesson, radius=3, crop_size=32))


def train_features(device: torch.device, dataset: Dataset) -> object:
    network = build_affinitynet("critter38", freeze_trunk=True, fixed_norm=True, generator=generator()).to(device)
    lesson = Lesson(dataset, dataset.mask_reader, AUGMENTATION, SGD, seed=1)
    return tell(network, train_affinity(network, lesson, radius=2))


def segment(
    device: torch.device,
    dataset: Dataset,
    *,
    build: Callable[[], SegmentationNetwork],
    balance: Balance = "none",
    plan: TrainingPlan = SGD,
) -> object:
    network = build().to(device)
    settings = {"augmentation": AUGMENTATION, "plan": plan, "seed": 1, "balance": balance}
    return tell(network, train_segmenter(network, dataset, dataset.mask_reader, **settings))


def build_deeplab(*multi_scale: float) -> SegmentationNetwork:
    return build_segmenter(
        "critter", num_labels=4, aspp_rates=(1, 2), fixed_norm=True, multi_scale=multi_scale, generator=generator()
    )


def build_segformer(folder: Path) -> SegmentationNetwork:
    config = write_config(folder / "config.json", SEGFORMER)
    source = NetworkSource(config=config, folder=None, origin="test")
    names = ("background", "cat", "dog", "fox")
    return build_hf_segmenter(source, label_names=names, pretrained=False, fixed_norm=True, generator=generator())[0]


TRAININGS = {
    "classifier": classify,
    "classifier by AdamW": partial(classify, plan=ADAMW),
    "classifier with pasted donors": partial(classify, plan=replace(SGD, batch_size=4), paste=True),
    "resumed": partial(resume, plan=SGD),
    "resumed with AdamW": partial(resume, plan=ADAMW),
    "SEAM": train_views,
    "IRNet": train_edges,
    "AffinityNet": train_features,
    "DeepLab": partial(segment, build=build_deeplab),
    "DeepLab balanced in parts": partial(
        segment,
        build=build_deeplab,
        balance="foreground_background",
        plan=replace(SGD, accumulate=2),
    ),
    "DeepLab at three scales": partial(segment, build=partial(build_deeplab, 0.75, 0.5)),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_stays_on_the_device_of_its_network_and_learns_the_same(name: str, dataset: Dataset) -> None:
    assert_follows(lambda device: TRAININGS[name](device, dataset), tolerance=1e-5)


def test_a_network_of_transformers_trains_on_the_device_it_is_on(dataset: Dataset, tmp_path: Path) -> None:
    build = partial(build_segformer, tmp_path)
    assert_follows(lambda device: segment(device, dataset, build=build), tolerance=1e-5)


def build_lite(*, dense: bool = False) -> EfficientNetLite:
    return EfficientNetLite(
        NARROW_GROUPS, stride=8 if dense else 16, has_head=not dense, fixed_norm=True, generator=generator()
    )


def adapt_lite(device: torch.device, dataset: Dataset) -> object:
    """Train, score and adapt: with gradients, without, and with a frozen trunk."""
    classifier = Classifier(build_lite(), num_classes=3, freeze_trunk=True, generator=generator()).to(device)
    train_classifier(classifier, dataset, None, augmentation=AUGMENTATION, plan=SGD, seed=1)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    image, tags = dataset.load_image(dataset.samples[0]), torch.tensor([1, 1, 0]).to(device)
    partners = [(torch.randn(2, 3, 32, 32, generator=generator()).to(device), torch.zeros(2, 3)) for _ in range(2)]
    maps = score_maps(classifier.eval(), image, tags, scales=(1.0, 0.5))
    adapted = adapt(classifier, image, tags, partners, iterations=2, lr=1e-3, scales=(1.0,))
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    return [maps, adapted.maps, dict(classifier.state_dict())]


def train_lite_views(device: torch.device, dataset: Dataset) -> object:
    seam = SEAM(build_lite(), num_classes=3, freeze_trunk=True, generator=generator()).to(device)
    return tell(seam, train_seam(seam, dataset, None, augmentation=AUGMENTATION, plan=SGD, seed=1))


def train_lite_edges(device: torch.device, dataset: Dataset) -> object:
    irnet = IRNet(build_lite(), generator=generator()).to(device)
    lesson = Lesson(dataset, dataset.mask_reader, AUGMENTATION, SGD, seed=1)
    return tell(irnet, train_irn(irnet, lesson, radius=3, crop_size=32))


def train_lite_features(device: torch.device, dataset: Dataset) -> object:
    network = AffinityNet(build_lite(dense=True), freeze_trunk=True, generator=generator()).to(device)
    lesson = Lesson(dataset, dataset.mask_reader, AUGMENTATION, SGD, seed=1)
    return tell(network, train_affinity(network, lesson, radius=2))


def build_lite_deeplab() -> SegmentationNetwork:
    return Segmenter(build_lite(dense=True), num_labels=4, aspp_rates=(1, 2), generator=generator())


LITE = {
    "classifier and its adaptation": adapt_lite,
    "SEAM": train_lite_views,
    "IRNet": train_lite_edges,
    "AffinityNet": train_lite_features,
    "DeepLab": partial(segment, build=build_lite_deeplab),
}


@pytest.mark.parametrize("name", LITE)
def test_an_efficientnet_lite_learns_the_same_where_it_runs_its_convolutions_as_written(
    name: str, dataset: Dataset
) -> None:
    """Off the CPU the same sums are taken in another order."""
    assert_follows(lambda device: LITE[name](device, dataset), tolerance=1e-3)
