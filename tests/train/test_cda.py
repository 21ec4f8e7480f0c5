from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.data.test_pairs import TAGS, make_pairs, mine
from tests.tiny import AUGMENTATION, make_classifier, make_dataset, make_plan
from weakseg.data.base import Dataset
from weakseg.data.crops import Batch
from weakseg.data.donors import DonorPool
from weakseg.errors import ConfigError
from weakseg.train.cda import Pasting, build_pair_schedule, train_on_pairs, train_on_tags
from weakseg.train.classify import classification_loss
from weakseg.train.loop import TrainState
from weakseg.train.optim import build_sgd
from weakseg.train.plan import TrainingHooks


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("images"), TAGS)


@pytest.fixture(scope="module")
def donors(dataset: Dataset) -> DonorPool:
    return mine(dataset)


@pytest.mark.parametrize("num_classes", [1, 80])
def test_one_class_and_eighty_classes(num_classes: int, tmp_path: Path) -> None:
    names = [f"class {index}" for index in range(num_classes)]
    dataset = make_dataset(tmp_path, ((num_classes - 1,), ()), names=names)
    pairs = make_pairs(dataset, mine(dataset))
    assert pairs.paste(0, 0).key is None
    assert pairs.paste(0, 1).key == num_classes - 1
    history = train_on_pairs(
        make_classifier(num_classes=num_classes),
        pairs,
        make_plan(epochs=1, batch_size=8, schedule="poly"),
        loss=classification_loss,
        compat="released",
    )
    assert [record.learning_rate for record in history] == [0.05], "one step, which the released code counts as one"


def rates(*, schedule: str, steps: int, released_steps: int | None) -> list[float]:
    """Return the learning rate of every step."""
    optimizer = build_sgd(
        [nn.Parameter(torch.zeros(1))],
        [],
        learning_rate=0.1,
        head_multiplier=1.0,
        momentum=0.0,
        weight_decay=0.0,
    )
    plan = make_plan(schedule=schedule)
    built = build_pair_schedule(optimizer, plan, steps=steps, released_steps=released_steps)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        built.step()
    return seen


def test_the_learning_rate_decays_over_the_real_number_of_steps() -> None:
    expected = [0.1 * (1 - step / 10) ** 0.9 for step in range(10)]
    assert rates(schedule="poly", steps=10, released_steps=None) == pytest.approx(expected)
    assert expected[5] == pytest.approx(0.0536, abs=1e-4)


def test_the_released_learning_rate_stays_near_zero_for_the_second_half() -> None:
    seen = rates(schedule="poly", steps=2000, released_steps=1000)
    assert seen[:1000] == pytest.approx([0.1 * (1 - step / 1000) ** 0.9 for step in range(1000)])
    assert seen[1000:] == [pytest.approx(0.1 * 1000**-0.9)] * 1000
    assert seen[-1] == pytest.approx(0.0002, abs=1e-5)
    assert seen[500] == pytest.approx(0.0536, abs=1e-4)


def test_one_cycle_ends_early_as_well_when_steps_are_counted_as_released() -> None:
    seen = rates(schedule="one_cycle", steps=20, released_steps=10)
    assert seen[:10] == rates(schedule="one_cycle", steps=10, released_steps=None)
    assert seen[10:] == [seen[9]] * 10


@given(released=st.integers(1, 40), extra=st.integers(0, 40), schedule=st.sampled_from(["poly", "one_cycle"]))
@settings(max_examples=30, deadline=None)
def test_rates_of_the_released_schedule_never_rise_again(released: int, extra: int, schedule: str) -> None:
    seen = rates(schedule=schedule, steps=released + extra, released_steps=released)
    assert seen[released:] == [seen[released - 1]] * extra
    assert min(seen) > 0


def recorded_rates(dataset: Dataset, donors: DonorPool, *, compat: str) -> list[float]:
    """Train two epochs of four steps; batches of four are of two images."""
    history = train_on_pairs(
        make_classifier(),
        make_pairs(dataset, donors),
        make_plan(epochs=2, batch_size=4, schedule="poly", learning_rate=0.1),
        loss=classification_loss,
        compat=compat,
    )
    return [record.learning_rate for record in history]


@pytest.mark.slow
def test_a_training_uses_the_schedule_it_is_asked_for(dataset: Dataset, donors: DonorPool) -> None:
    assert recorded_rates(dataset, donors, compat="none") == pytest.approx([0.1 * 0.5**0.9, 0.0])
    assert recorded_rates(dataset, donors, compat="released") == pytest.approx([0.1 * 0.25**0.9] * 2)


def weights_after(
    dataset: Dataset,
    pasting: Pasting | None,
    *,
    workers: int = 0,
    hooks: TrainingHooks | None = None,
    shown: list[int] | None = None,
) -> dict[str, Tensor]:
    def loss(model: nn.Module, batch: Batch) -> Tensor:
        if shown is not None:
            shown.append(len(batch.images))
        return classification_loss(model, batch)

    model = make_classifier()
    train_on_tags(
        model,
        dataset,
        make_plan(epochs=2, batch_size=4, workers=workers),
        augmentation=AUGMENTATION,
        seed=1,
        pasting=pasting,
        loss=loss,
        hooks=hooks or TrainingHooks(),
    )
    return model.state_dict()


def all_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_without_any_donor_a_training_goes_on_plain_and_names_every_class(dataset: Dataset) -> None:
    nothing = mine(dataset, truth=False)
    assert nothing.classes_without_donor == ("cat", "dog", "fox")
    shown: list[int] = []
    pasted = weights_after(dataset, Pasting(nothing), shown=shown)
    assert shown == [4, 4, 4, 4], "two steps an epoch, as without CDA"
    assert all_equal(pasted, weights_after(dataset, None))


@pytest.mark.slow
def test_donors_change_a_training_and_workers_do_not(dataset: Dataset, donors: DonorPool) -> None:
    shown: list[int] = []
    first = weights_after(dataset, Pasting(donors), shown=shown)
    assert shown == [4] * 8
    assert not all_equal(first, weights_after(dataset, None))
    assert all_equal(first, weights_after(dataset, Pasting(donors), workers=1))


@pytest.mark.slow
@pytest.mark.parametrize("compat", ["none", "released"])
def test_a_training_is_taken_up_where_it_stopped(compat: str, dataset: Dataset, donors: DonorPool) -> None:
    states: list[TrainState] = []
    pasting = Pasting(donors, compat=compat)
    keep = TrainingHooks(after_epoch=lambda state, record: states.append(state))
    whole = weights_after(dataset, pasting, hooks=keep)
    assert all_equal(weights_after(dataset, pasting, hooks=TrainingHooks(resume=states[0])), whole)


@pytest.mark.slow
def test_a_training_on_pairs_validates_and_learns(dataset: Dataset, donors: DonorPool) -> None:
    history = train_on_pairs(
        make_classifier(),
        make_pairs(dataset, donors),
        make_plan(epochs=20, batch_size=8, learning_rate=0.1),
        loss=classification_loss,
        validate=lambda: {"constant": 0.5},
    )
    assert history[-1].loss < 0.5 * history[0].loss
    assert history[-1].metrics == {"constant": 0.5}


def test_another_compat_is_refused(dataset: Dataset, donors: DonorPool) -> None:
    with pytest.raises(ConfigError, match=r"cda\.compat: expected one of none, released, got 'theirs'"):
        train_on_pairs(
            make_classifier(), make_pairs(dataset, donors), make_plan(), loss=classification_loss, compat="theirs"
        )
