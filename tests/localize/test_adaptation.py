import math

import pytest
import torch
from torch import Tensor

from weakseg.localize.adaptation import Adapter, Goal, borrowed
from weakseg.models.classifier import Classifier, build_classifier

NUM_CLASSES = 3
GAP = Goal(pooling="gap", threshold=0.4, average_over="all", first_classes=None, margin=math.inf)
GNDRP = Goal(pooling="gndrp", threshold=0.4, average_over="all", first_classes=None, margin=math.inf)


def build(*, freeze_trunk: bool = True) -> Classifier:
    generator = torch.Generator().manual_seed(0)
    return build_classifier(
        "critter", num_classes=NUM_CLASSES, freeze_trunk=freeze_trunk, fixed_norm=False, generator=generator
    )


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def state_of(classifier: Classifier) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in classifier.state_dict().items()}


def gradients_of(classifier: Classifier) -> list[Tensor]:
    return [p.grad.clone() for p in classifier.parameters() if p.grad is not None]


def test_goal_is_the_sum_of_tagged_logits() -> None:
    scores = torch.tensor([[[[1.0, 10.0]], [[2.0, 4.0]]], [[[5.0, 5.0]], [[-1.0, 3.0]]]])
    tags = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Image 0, class 0: 5.5, or 0.5 without the 10. Image 1, class 1: 1, or -0.5 without the 3.
    assert GAP(scores, tags).item() == pytest.approx(6.5)
    assert GNDRP(scores, tags).item() == pytest.approx(0.0)


def test_margin_bounds_a_logit_and_ends_its_gradient() -> None:
    goal = Goal(pooling="gap", threshold=0.4, average_over="all", first_classes=None, margin=2.0)
    scores = torch.tensor([[[[1.0, 9.0]], [[1.0, 1.0]]]], requires_grad=True)
    value = goal(scores, torch.ones(1, 2))
    value.backward()
    assert value.item() == pytest.approx(3.0)
    assert scores.grad is not None
    assert scores.grad.tolist() == [[[[0.0, 0.0]], [[0.5, 0.5]]]]


@pytest.mark.parametrize("portion", [1, 2, 4, 7])
def test_partners_in_portions_have_the_gradients_of_the_whole_batch(portion: int) -> None:
    images, tags = draw(5, 3, 24, 40), torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]])
    classifier = build()
    values, gradients = [], []
    for limit in (None, portion):
        with borrowed(classifier):
            adapter = Adapter(classifier, GNDRP, lr=1e-3, weight_decay=1e-4, steps=2, max_partners_at_once=limit)
            values.append(adapter.push_partners(images, tags, learning=True))
            gradients.append(gradients_of(classifier))
    torch.testing.assert_close(values[1], values[0])
    assert len(gradients[0]) == len(gradients[1]) > 0
    for split, whole in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(split, whole, rtol=1e-4, atol=1e-6)


def test_no_partners_give_nothing_and_no_gradient() -> None:
    classifier = build()
    with borrowed(classifier):
        adapter = Adapter(classifier, GAP, lr=1e-3, weight_decay=1e-4, steps=2)
        assert adapter.push_partners(draw(0, 3, 24, 40), torch.zeros(0, 3), learning=True).item() == 0.0
        assert not gradients_of(classifier)


def test_scores_that_are_not_learnt_from_leave_no_gradient() -> None:
    classifier = build()
    with borrowed(classifier):
        adapter = Adapter(classifier, GAP, lr=1e-3, weight_decay=1e-4, steps=2)
        scores = adapter.scores(adapter.features(draw(2, 3, 24, 40)), learning=False)
        value = adapter.push(scores, torch.ones(2, 3))
        assert value.item() == pytest.approx(scores.mean(dim=(2, 3)).sum().item(), rel=1e-5)
        assert not scores.requires_grad
        assert not gradients_of(classifier)


def test_updates_follow_the_released_schedule() -> None:
    classifier, images, tags = build(), draw(2, 3, 24, 40), torch.ones(2, 3)
    lr, momentum, steps = 1e-3, 1e-2, 4
    with borrowed(classifier):
        adapter = Adapter(classifier, GAP, lr=lr, weight_decay=momentum, steps=steps)
        weight = classifier.classifier.weight
        velocity = torch.zeros_like(weight)
        for step in range(3):
            expected = weight.detach().clone()
            adapter.push(adapter.scores(adapter.features(images), learning=True), tags)
            assert weight.grad is not None
            # Weight decay is L2 penalty and momentum; torch's SGD starts the velocity with the first gradient.
            velocity = momentum * velocity + weight.grad + momentum * expected
            expected -= 10 * lr * (1 - step / steps) ** 0.9 * velocity
            adapter.update()
            torch.testing.assert_close(weight.detach(), expected)
            assert weight.grad is None


@pytest.mark.parametrize("freeze_trunk", [True, False])
def test_only_layers_above_the_trunk_learn(freeze_trunk: bool) -> None:
    classifier = build(freeze_trunk=freeze_trunk)
    before = state_of(classifier)
    with borrowed(classifier):
        adapter = Adapter(classifier, GAP, lr=1e-2, weight_decay=1e-4, steps=2)
        adapter.push(adapter.scores(adapter.features(draw(2, 3, 24, 40)), learning=True), torch.ones(2, 3))
        adapter.update()
        changed = {name for name, value in classifier.state_dict().items() if not torch.equal(value, before[name])}
    above = ("backbone.layer3.", "backbone.layer4.", "classifier.")
    assert changed == {name for name, _ in classifier.named_parameters() if name.startswith(above)}


def test_borrowed_layers_come_back_as_they_were_after_an_error() -> None:
    classifier = build(freeze_trunk=False).train()
    classifier.backbone.layer3.eval()
    classifier.backbone.layer4.requires_grad_(False)
    gradient = torch.ones_like(classifier.classifier.weight)
    classifier.classifier.weight.grad = gradient
    modes = [part.training for part in classifier.modules()]
    asked = [parameter.requires_grad for parameter in classifier.parameters()]
    before = state_of(classifier)

    def adapt_and_fail() -> None:
        with borrowed(classifier):
            assert not any(part.training for part in classifier.modules())
            adapter = Adapter(classifier, GAP, lr=1e-2, weight_decay=1e-4, steps=2)
            adapter.push(adapter.scores(adapter.features(draw(2, 3, 24, 40)), learning=True), torch.ones(2, 3))
            adapter.update()
            adapter.push(adapter.scores(adapter.features(draw(2, 3, 24, 40)), learning=True), torch.ones(2, 3))
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        adapt_and_fail()
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert [part.training for part in classifier.modules()] == modes
    assert [parameter.requires_grad for parameter in classifier.parameters()] == asked
    assert classifier.classifier.weight.grad is gradient
    assert len(gradients_of(classifier)) == 1
