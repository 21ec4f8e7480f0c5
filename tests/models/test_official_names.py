import pytest

from tests.golden_weights import load_layout
from weakseg.models.official_names import recognise_kind
from weakseg.models.weights import OFFICIAL_KINDS


@pytest.mark.parametrize("kind", OFFICIAL_KINDS)
def test_a_checkpoint_is_recognised_by_any_of_its_sets_of_names(kind: str) -> None:
    layout = load_layout(kind)
    assert recognise_kind(layout.shapes) == kind
    assert recognise_kind([*layout.shapes, *layout.aliases]) == kind
    if layout.aliases:
        assert recognise_kind(layout.aliases) == kind


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("conv1.weight", "layer1.0.conv1.weight", "fc.weight"),
        ("conv1a.weight", "b2.conv_branch1.weight", "bn7.weight"),
        ("backbone.conv1.weight", "classifier.weight"),
        ("resnet50.conv1.weight", "resnet50.layer4.2.bn3.weight"),
    ],
)
def test_backbones_and_own_networks_are_no_official_kind(names: tuple[str, ...]) -> None:
    assert recognise_kind(names) is None


def test_a_damaged_checkpoint_is_recognised_all_the_same() -> None:
    names = [name for name in load_layout("resnet50_cam").shapes if "layer3" not in name]
    assert recognise_kind(names) == "resnet50_cam"
