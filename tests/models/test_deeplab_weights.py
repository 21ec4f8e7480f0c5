"""State dicts here are made by the tests, in the layouts of public checkpoints; none is downloaded."""

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from tests.tiny import make_classifier, make_segmenter
from weakseg.errors import ArtifactError
from weakseg.models.classifier import build_classifier
from weakseg.models.deeplab import Segmenter
from weakseg.models.deeplab_names import rename_deeplab
from weakseg.models.deeplab_weights import CAFFE_MEAN, load_segmenter_checkpoint
from weakseg.models.efficientnet_lite import build_efficientnet_lite
from weakseg.models.lite_weights import locate_lite_weights
from weakseg.models.resnet import Bottleneck, CaffeBottleneck, ResNet, Stem
from weakseg.ops.images import IMAGENET_MEAN, IMAGENET_STD

RATES = (6, 12, 18, 24)
DEPTHS = (1, 2, 3, 1)


def make(num_labels: int = 3, *, caffe_form: bool = False, seed: int = 0) -> Segmenter:
    """A narrow network with the parts, and so the names, of ResNet-101."""
    generator = torch.Generator().manual_seed(seed)
    backbone = ResNet(
        CaffeBottleneck if caffe_form else Bottleneck,
        depths=DEPTHS,
        widths=(2, 3, 4, 5),
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        stem=Stem(channels=6),
        fixed_norm=True,
        generator=generator,
    )
    return Segmenter(backbone, num_labels=num_labels, aspp_rates=RATES, generator=generator)


@pytest.fixture(scope="module")
def source() -> Segmenter:
    """A network whose batch norms have statistics of their own."""
    segmenter = make(seed=5)
    generator = torch.Generator().manual_seed(6)
    for module in segmenter.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return segmenter


def as_list_layout(segmenter: Segmenter, prefix: str) -> dict[str, Tensor]:
    """Name tensors as pytorch-deeplab-resnet does."""
    renamed = {}
    for name, tensor in segmenter.state_dict().items():
        plain = name.removeprefix("backbone.").replace("aspp.branches.", "layer5.conv2d_list.")
        renamed[prefix + plain] = tensor
    return renamed


def as_block_layout(
    segmenter: Segmenter, prefix: str, *, stages: str = "", shortcut: str = "shortcut"
) -> dict[str, Tensor]:
    """Name tensors as deeplab-pytorch does."""
    pairs = [("backbone.conv1.", "layer1.conv1.conv."), ("backbone.bn1.", "layer1.conv1.bn.")]
    for layer, depth in enumerate(DEPTHS, start=1):
        for block in range(depth):
            ours, theirs = f"backbone.layer{layer}.{block}.", f"layer{layer + 1}.block{block + 1}."
            for number, unit in ((1, "reduce"), (2, "conv3x3"), (3, "increase")):
                pairs += [
                    (f"{ours}conv{number}.", f"{theirs}{unit}.conv."),
                    (f"{ours}bn{number}.", f"{theirs}{unit}.bn."),
                ]
            pairs += [(f"{ours}downsample.{k}.", f"{theirs}{shortcut}.{part}.") for k, part in ((0, "conv"), (1, "bn"))]
    pairs += [(f"aspp.branches.{k}.", f"aspp.{stages}c{k}.") for k in range(len(RATES))]
    renamed = {}
    for name, tensor in segmenter.state_dict().items():
        ours, theirs = next(pair for pair in pairs if name.startswith(pair[0]))
        renamed[prefix + theirs + name.removeprefix(ours)] = tensor
    return renamed


Convert = Callable[[Segmenter], dict[str, Tensor]]
LAYOUTS: list[tuple[str, Convert]] = [
    ("weakseg", lambda s: dict(s.state_dict())),
    ("conv2d_list", lambda s: as_list_layout(s, "Scale.")),
    ("conv2d_list", lambda s: as_list_layout(s, "module.")),
    ("blocks", lambda s: as_block_layout(s, "base.")),
    ("blocks", lambda s: as_block_layout(s, "module.scale.", stages="stages.", shortcut="proj")),
    ("blocks", lambda s: as_block_layout(s, "")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "convert"), LAYOUTS)
def test_every_layout_fills_the_whole_network(layout: str, convert: Convert, source: Segmenter) -> None:
    checkpoint = convert(source)
    before = {name: value.clone() for name, value in checkpoint.items()}
    segmenter = make()
    loaded = load_segmenter_checkpoint(segmenter, checkpoint)
    assert (loaded.layout, loaded.head, loaded.reason, loaded.ignored) == (layout, True, None, ())
    assert loaded.describe() == f"the state dict given (layout {layout}): the whole network"
    for name, value in source.state_dict().items():
        assert torch.equal(segmenter.state_dict()[name], value), name
    assert all(torch.equal(checkpoint[name], value) for name, value in before.items())


def test_public_names_of_both_layouts_are_these(source: Segmenter) -> None:
    """Spelt out, so that the tests' own conversion cannot hide a mistake; docs/deeplab.md has the sources."""
    assert {
        "Scale.conv1.weight",
        "Scale.bn1.running_mean",
        "Scale.layer3.2.conv2.weight",
        "Scale.layer4.0.downsample.1.running_var",
        "Scale.layer5.conv2d_list.3.bias",
    } <= set(as_list_layout(source, "Scale."))
    assert {
        "base.layer1.conv1.conv.weight",
        "base.layer1.conv1.bn.running_mean",
        "base.layer2.block1.reduce.conv.weight",
        "base.layer4.block3.conv3x3.bn.weight",
        "base.layer5.block1.increase.bn.bias",
        "base.layer5.block1.shortcut.conv.weight",
        "base.aspp.c3.bias",
    } <= set(as_block_layout(source, "base."))


def test_other_labels_leave_the_head_as_it_was(source: Segmenter) -> None:
    segmenter = make(5)
    before = segmenter.aspp.branches[0].weight.clone()
    loaded = load_segmenter_checkpoint(segmenter, as_block_layout(source, "base."))
    assert not loaded.head
    assert loaded.describe() == (
        "the state dict given (layout blocks): the backbone only, since it predicts 3 labels and the segmenter 5"
    )
    assert torch.equal(segmenter.aspp.branches[0].weight, before)
    assert torch.equal(segmenter.backbone.layer4[0].bn3.running_var, source.backbone.layer4[0].bn3.running_var)


def test_other_numbers_of_convolutions_leave_the_head_out() -> None:
    segmenter = make_segmenter(1)
    checkpoint = dict(make_segmenter().state_dict())
    extra = {
        name.replace("branches.0", "branches.2"): value for name, value in checkpoint.items() if "branches.0" in name
    }
    loaded = load_segmenter_checkpoint(segmenter, checkpoint | extra)
    assert loaded.reason == "it has 3 predicting convolutions and the segmenter 2"


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_resnet_with_a_classifier_fills_the_backbone(prefix: str, source: Segmenter) -> None:
    checkpoint = {f"{prefix}{name}": value for name, value in source.backbone.state_dict().items()}
    checkpoint |= {f"{prefix}fc.weight": torch.zeros(1000, 20), f"{prefix}fc.bias": torch.zeros(1000)}
    segmenter = make()
    loaded = load_segmenter_checkpoint(segmenter, checkpoint)
    assert (loaded.layout, loaded.reason, loaded.ignored) == (
        "torchvision",
        "it predicts no labels",
        ("fc.weight", "fc.bias"),
    )
    assert torch.equal(segmenter.backbone.conv1.weight, source.backbone.conv1.weight)


def test_our_own_classifier_fills_the_backbone(tmp_path: Path) -> None:
    classifier = make_classifier(3)
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(dict(classifier.state_dict()), path)
    segmenter = make_segmenter()
    loaded = load_segmenter_checkpoint(segmenter, path)
    assert (loaded.origin, loaded.layout, loaded.head) == (str(path), "weakseg", False)
    assert loaded.ignored == ("classifier.weight",)
    assert torch.equal(segmenter.backbone.conv1.weight, classifier.backbone.conv1.weight)


def test_a_pth_file_is_read(tmp_path: Path, source: Segmenter) -> None:
    torch.save({"state_dict": as_list_layout(source, "")}, tmp_path / "deeplab.pth")
    segmenter = make()
    assert load_segmenter_checkpoint(segmenter, tmp_path / "deeplab.pth").head
    assert torch.equal(segmenter.aspp.branches[3].bias, source.aspp.branches[3].bias)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: {**s, "Scale.layer6.conv2d_list.0.weight": torch.zeros(1)},
            "layout 'conv2d_list', but it holds 1 une",
        ),
        (
            lambda s: {n: v for n, v in s.items() if "layer2.1.bn2.w" not in n},
            "lacks 1 of 164 parameters: backbone.layer2",
        ),
        (
            lambda s: {**s, "Scale.layer1.0.conv1.weight": torch.zeros(2, 5, 1, 1)},
            r"'backbone.layer1.0.conv1.weight' should have shape \(2, 6, 1, 1\), got \(2, 5, 1, 1\)",
        ),
        (
            lambda s: {**s, "conv1.weight": torch.zeros(1)},
            "layout 'torchvision', but it holds 138 unexpected parameters",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_and_nothing_changes(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]], message: str, source: Segmenter
) -> None:
    segmenter = make()
    before = segmenter.backbone.layer1[0].conv1.weight.clone()
    names = as_list_layout(source, "Scale.")
    checkpoint = change({name: value for name, value in names.items() if "num_batches_tracked" not in name})
    with pytest.raises(ArtifactError, match=message):
        load_segmenter_checkpoint(segmenter, checkpoint)
    assert torch.equal(segmenter.backbone.layer1[0].conv1.weight, before)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no checkpoint at .*none\.pth"):
        load_segmenter_checkpoint(make_segmenter(), tmp_path / "none.pth")


def test_caffes_input_is_converted_to_ours(source: Segmenter) -> None:
    """The same photograph, given as Caffe has it to the checkpoint and as we have it to the converted network."""
    segmenter = make(caffe_form=True)
    checkpoint = as_list_layout(source, "Scale.")
    load_segmenter_checkpoint(segmenter, checkpoint)
    rgb = torch.randint(0, 256, (1, 3, 21, 33), generator=torch.Generator().manual_seed(2)).float()
    column = (1, 3, 1, 1)
    ours = (rgb / 255 - torch.tensor(IMAGENET_MEAN).view(column)) / torch.tensor(IMAGENET_STD).view(column)
    caffe = (rgb - torch.tensor(CAFFE_MEAN).view(column)).flip(1)
    with torch.no_grad():
        expected = source.backbone.bn1(nn.functional.conv2d(caffe, checkpoint["Scale.conv1.weight"], stride=2))
        converted = segmenter.backbone.bn1(nn.functional.conv2d(ours, segmenter.backbone.conv1.weight, stride=2))
    torch.testing.assert_close(converted, expected, rtol=1e-4, atol=1e-3)
    assert torch.equal(segmenter.backbone.layer1[0].conv1.weight, source.backbone.layer1[0].conv1.weight)


def test_our_own_files_are_not_converted(source: Segmenter) -> None:
    segmenter = make(caffe_form=True)
    load_segmenter_checkpoint(segmenter, dict(source.state_dict()))
    assert torch.equal(segmenter.backbone.conv1.weight, source.backbone.conv1.weight)


def test_a_checkpoint_without_a_first_convolution_cannot_be_converted(source: Segmenter) -> None:
    names = as_list_layout(source, "")
    with pytest.raises(ArtifactError, match=r"expected a first convolution \(D, 3, k, k\) and its batch norm"):
        load_segmenter_checkpoint(
            make(caffe_form=True), {name: value for name, value in names.items() if name != "conv1.weight"}
        )


def test_only_a_prefix_that_all_names_have_is_a_wrapper() -> None:
    renamed = rename_deeplab({"base.conv1.weight": torch.zeros(1)}, where="x")
    assert list(renamed.state) == ["backbone.conv1.weight"]
    with pytest.raises(ArtifactError, match=r"x: taken for .* unexpected parameters: base\.conv1\.weight"):
        rename_deeplab({"base.conv1.weight": torch.zeros(1), "bn1.weight": torch.zeros(1)}, where="x")


@pytest.mark.slow
@pytest.mark.parametrize("has_head", [False, True])
def test_published_efficientnet_lite_and_our_own_classifier_of_it_fill_the_backbone(
    has_head: bool, tmp_path: Path
) -> None:
    path = locate_lite_weights("efficientnet_lite0")
    generator = torch.Generator().manual_seed(0)
    backbone = build_efficientnet_lite("efficientnet_lite0", has_head=has_head, fixed_norm=True)
    segmenter = Segmenter(backbone, num_labels=3, aspp_rates=(1,))
    loaded = load_segmenter_checkpoint(segmenter, path)
    published = torch.load(path, weights_only=True)
    assert torch.equal(backbone.stem.conv.weight, published["_conv_stem.weight"])
    assert torch.equal(backbone.groups[6][0].project.conv.weight, published["_blocks.15._project_conv.weight"])
    assert (loaded.layout, loaded.head, loaded.reason) == ("efficientnet_lite", False, "it predicts no labels")
    assert {name.split(".")[-2] for name in loaded.ignored} == ({"fc"} if has_head else {"fc", "conv", "norm"})
    classifier = build_classifier(
        "efficientnet_lite0", num_classes=2, freeze_trunk=True, fixed_norm=True, generator=generator
    )
    safetensors.torch.save_file(classifier.state_dict(), tmp_path / "model.safetensors")
    loaded = load_segmenter_checkpoint(segmenter, tmp_path / "model.safetensors")
    assert torch.equal(backbone.stem.conv.weight, classifier.backbone.stem.conv.weight)
    assert (loaded.layout, loaded.head) == ("weakseg", False)
    ignored = {name for name in loaded.ignored if has_head or not name.startswith("backbone.head.")}
    assert ignored == {"classifier.weight"}
