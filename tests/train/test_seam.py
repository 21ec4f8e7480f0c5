import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import AUGMENTATION, make_dataset, make_plan
from tests.train import seam_two_ranks
from tests.train.test_distributed import fork_ranks
from weakseg.data.base import Dataset
from weakseg.data.crops import Batch
from weakseg.errors import ConfigError
from weakseg.models.seam import SEAM, build_seam
from weakseg.ops.images import normalise
from weakseg.train.classify import measure_map
from weakseg.train.loop import EpochRecord, TrainState
from weakseg.train.plan import NO_HOOKS, TrainingHooks, TrainingPlan
from weakseg.train.seam import SEAMLosses, Siamese, View, compare_views, seam_loss, train_seam


class Glance:
    """Stands in for SEAM: scores are the image's own values, one class per channel; nothing is refined."""

    def strided_maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = torch.cat((torch.zeros_like(x[:, :1]), x), dim=1)
        return scores, scores


def make_seam(num_classes: int = 3, *, seed: int = 0) -> SEAM:
    generator = torch.Generator().manual_seed(seed)
    return build_seam("critter38", num_classes=num_classes, freeze_trunk=False, fixed_norm=False, generator=generator)


def make_view(plain: Tensor, refined: Tensor | None = None, *, logits: Tensor | None = None) -> View:
    """A view whose cells are its pixels; (C, w) score maps of one image, refined (C + 1, w)."""
    classes, width = plain.shape
    refined = torch.zeros(classes + 1, width) if refined is None else refined
    logits = torch.zeros(1, classes) if logits is None else logits
    return View(logits, plain[None, :, None], refined[None, :, None], (1, width))


def compare(whole: View, small: View, tags: list[float], **shares: float) -> SEAMLosses:
    row = torch.tensor([tags])
    return compare_views(whole, small, row, torch.ones_like(row).bool(), **shares)


def draw_batch(tags: Tensor, *, side_px: int = 32) -> Batch:
    images = torch.randn(len(tags), 3, side_px, side_px, generator=torch.Generator().manual_seed(2))
    return Batch(images, tags, torch.ones_like(tags).bool(), None)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("images"))


def train(
    seam: SEAM, dataset: Dataset, plan: TrainingPlan, *, seed: int = 0, hooks: TrainingHooks = NO_HOOKS
) -> tuple[EpochRecord, ...]:
    return train_seam(seam, dataset, None, augmentation=AUGMENTATION, plan=plan, seed=seed, hooks=hooks)


def test_classification_is_the_mean_of_both_views() -> None:
    plain = torch.zeros(1, 2)
    whole, small = make_view(plain), make_view(plain, logits=torch.tensor([[math.log(3)]]))
    losses = compare(whole, small, [1.0])
    assert losses.classification.item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)


def test_an_unknown_tag_is_left_out_of_the_classification() -> None:
    view = make_view(torch.zeros(2, 2), logits=torch.tensor([[0.0, 50.0]]))
    losses = compare_views(view, view, torch.tensor([[1.0, 0.0]]), torch.tensor([[True, False]]))
    assert losses.classification.item() == pytest.approx(math.log(2))


def test_equivariance_compares_the_normalised_maps_of_the_tagged_classes() -> None:
    """Class 0 is (1, 0.5) in one view and (1, 0.25) in the other; class 1 is not shown, but counts in the mean."""
    whole = make_view(torch.tensor([[2.0, 1.0], [9.0, 0.0]]))
    small = make_view(torch.tensor([[8.0, 2.0], [0.0, 9.0]]))
    losses = compare(whole, small, [1.0, 0.0])
    assert losses.equivariance.item() == pytest.approx(0.25 / 4, abs=1e-5)


def test_cross_holds_the_refined_maps_of_each_view_to_the_plain_ones_of_the_other() -> None:
    """Plain maps are (1, 0.5) and (1, 0), backgrounds (0, 0.5) and (0, 1); refined ones all 1 after normalisation."""
    ones = torch.ones(2, 2)
    whole, small = make_view(torch.tensor([[4.0, 2.0]]), ones), make_view(torch.tensor([[3.0, -1.0]]), ones)
    losses = compare(whole, small, [1.0], hardest_share=1.0)
    towards_small = (1 + 0) + (0 + 1)
    towards_whole = (1 + 0.5) + (0 + 0.5)
    assert losses.cross.item() == pytest.approx((towards_small + towards_whole) / 4, abs=1e-4)
    hardest = compare(whole, small, [1.0], hardest_share=0.25)
    assert hardest.cross.item() == pytest.approx(1.0 + 1.0, abs=1e-4)


def test_only_the_strongest_class_of_a_position_is_a_target() -> None:
    """Without refined maps the errors are the targets: background 0, classes 1 and 0 (0.5 is not the strongest)."""
    view = make_view(torch.tensor([[4.0], [4.0]]).expand(2, 2) * torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
    losses = compare(view, view, [1.0, 1.0], hardest_share=1.0)
    assert losses.cross.item() == pytest.approx(2 * 2 / 6, abs=1e-4)


def test_pooling_pushes_the_refined_maps_down_where_they_are_weakest() -> None:
    refined = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.4, 0.1, 0.8, 0.3]])
    whole, small = make_view(torch.zeros(1, 4), refined), make_view(torch.zeros(1, 4), 0.5 * refined)
    assert compare(whole, small, [1.0], lowest_share=0.5).pooling.item() == pytest.approx((0.2 + 0.1) / 2)
    assert compare(whole, small, [0.0], lowest_share=0.5).pooling.item() == 0.0


def test_the_total_adds_every_term_once_and_weighs_the_classification() -> None:
    losses = SEAMLosses(*(torch.tensor(value) for value in (1.0, 10.0, 100.0, 1000.0)))
    assert losses.total().item() == 1111.0
    assert losses.total(classification_weight=5.0).item() == 1115.0


def test_the_weight_reaches_the_loss() -> None:
    batch, siamese = draw_batch(torch.eye(3)), Siamese(make_seam(), shrink=0.5).eval()
    whole, small = siamese(batch.images)
    classification = compare_views(whole, small, batch.tags, batch.known).classification
    difference = seam_loss(siamese, batch, classification_weight=3.0) - seam_loss(siamese, batch)
    torch.testing.assert_close(difference, 2 * classification, rtol=1e-4, atol=1e-5)


def test_the_second_view_is_the_shrunk_image_with_aligned_corners() -> None:
    images = torch.arange(11.0).view(1, 1, 1, 11).expand(1, 3, 8, 11)
    whole, small = Siamese(Glance(), shrink=0.3)(images)  # type: ignore[arg-type]
    assert (whole.size_hw, small.size_hw) == ((8, 11), (2, 3))
    assert small.scores[0, 0].tolist() == [[0.0, 5.0, 10.0]] * 2
    assert small.logits.tolist() == [[5.0, 5.0, 5.0]]


@pytest.mark.parametrize("shrink", [0.2, 0.3, 0.5])
def test_an_equivariant_network_has_no_equivariance_loss(shrink: float) -> None:
    """Scores that are the image itself follow every change of it; a ramp loses nothing when it is shrunk."""
    ramp = torch.linspace(0, 1, 40)
    images = torch.stack((ramp.expand(30, 40), 1 - ramp.expand(30, 40), ramp[:30, None].expand(30, 40)))[None]
    whole, small = Siamese(Glance(), shrink=shrink)(images)  # type: ignore[arg-type]
    tags = torch.ones(1, 3)
    losses = compare_views(whole, small, tags, tags.bool())
    assert losses.equivariance.item() < 1e-5
    turned = replace(small, scores=small.scores.flip(-1))
    assert compare_views(whole, turned, tags, tags.bool()).equivariance.item() > 0.1


@pytest.mark.parametrize(
    ("term", "taught"),
    [
        ("classification", {"backbone", "classifier"}),
        ("equivariance", {"backbone", "classifier"}),
        ("cross", {"correlation"}),
        ("pooling", {"correlation"}),
    ],
)
def test_each_term_teaches_its_own_part_of_the_network(term: str, taught: set[str]) -> None:
    seam = make_seam()
    batch = draw_batch(torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
    # A fresh classifier's maps may be negative everywhere, and then have no gradient.
    nn.init.uniform_(seam.classifier.weight, generator=torch.Generator().manual_seed(0))
    whole, small = Siamese(seam, shrink=0.5)(batch.images)
    getattr(compare_views(whole, small, batch.tags, batch.known), term).backward()
    moved = {
        name.split(".")[0] for name, p in seam.named_parameters() if p.grad is not None and bool((p.grad != 0).any())
    }
    assert moved == taught


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_the_loss_is_finite_whatever_the_tags_and_reaches_every_parameter(num_classes: int) -> None:
    """Also without tags, since processes that share gradients wait for each parameter's."""
    for tags in (torch.zeros(2, num_classes), torch.ones(2, num_classes)):
        siamese = Siamese(make_seam(num_classes), shrink=0.3)
        loss = seam_loss(siamese, draw_batch(tags))
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in siamese.parameters())


def test_the_refinement_learns_as_fast_as_the_head() -> None:
    siamese = Siamese(make_seam(), shrink=0.3)
    backbone, head = siamese.backbone_parameters(), siamese.head_parameters()
    assert len(head) == 4
    assert {id(p) for p in [*backbone, *head]} == {id(p) for p in siamese.parameters()}
    assert {id(p) for p in backbone}.isdisjoint(id(p) for p in head)


@pytest.mark.parametrize("shrink", [0.0, 1.0, -0.3])
def test_a_second_view_that_is_not_smaller_is_refused(shrink: float) -> None:
    with pytest.raises(ConfigError, match=r"shrink: .* above 0 and below 1, got"):
        Siamese(make_seam(), shrink=shrink)


def test_shares_and_weight_are_checked(dataset: Dataset) -> None:
    for name, kind in (("hardest_share", "share"), ("lowest_share", "share"), ("classification_weight", "factor")):
        with pytest.raises(ConfigError, match=f"{name}: expected a {kind}"):
            train_seam(
                make_seam(), dataset, None, augmentation=AUGMENTATION, plan=make_plan(epochs=1), seed=0, **{name: 0.0}
            )


def test_validation_measures_the_mean_average_precision(dataset: Dataset) -> None:
    seam = make_seam()
    history = train_seam(seam, dataset, dataset, augmentation=AUGMENTATION, plan=make_plan(epochs=1), seed=0)
    assert history[0].metrics == {"map": measure_map(seam, dataset, workers=0)}


@pytest.mark.slow
def test_a_training_taken_up_again_ends_with_the_same_network(dataset: Dataset) -> None:
    states: list[TrainState] = []

    def keep(state: TrainState, record: EpochRecord) -> None:
        states.append(state)

    whole, resumed = make_seam(), make_seam(seed=5)
    history = train(whole, dataset, make_plan(), hooks=TrainingHooks(after_epoch=keep))
    assert train(resumed, dataset, make_plan(), hooks=TrainingHooks(resume=states[0])) == history
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.slow
def test_a_tiny_training_learns_its_images_and_refines_their_maps(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, sizes_hw=((64, 96), (80, 72)))
    seam = make_seam()
    history = train_seam(
        seam,
        dataset,
        dataset,
        augmentation=replace(AUGMENTATION, long_side_px=(72, 110), crop_px=64),
        plan=make_plan(epochs=40, batch_size=6, learning_rate=0.05),
        seed=0,
    )
    assert history[-1].loss < 0.6 * history[0].loss
    # At chance it is about 0.5. The last epochs move between 0.94 and 1, differently on every processor.
    assert history[-1].metrics["map"] > 0.9
    on_object, on_background = [], []
    seam.eval()
    for sample in dataset:
        with torch.no_grad():
            _, refined = seam.maps(normalise(dataset.load_image(sample))[None])
        mask = torch.from_numpy(dataset.load_mask(sample))
        for key in sample.keys:
            on_object.append(refined[0, key + 1][mask == key + 1].mean().item())
            on_background.append(refined[0, key + 1][mask == 0].mean().item())
    assert sum(on_object) > 2.5 * sum(on_background)


@pytest.mark.slow
def test_two_processes_learn_what_one_would() -> None:
    finished = fork_ranks(seam_two_ranks.main)
    assert finished.returncode == 0, finished.stderr
    # The two write to one pipe, so their lines may run into each other.
    assert all(f"rank {number} agrees" in finished.stdout for number in range(2))
