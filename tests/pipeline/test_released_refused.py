from pathlib import Path

import pytest
import torch

from tests.pipeline.made_context import make_context
from tests.pipeline.released_checkpoints import RESNET, splits, write_checkpoint
from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stages import STAGES

pytestmark = pytest.mark.slow

assert splits, "a fixture"

WRONG = (
    ("resnet50_irn", r"a checkpoint of kind resnet50_irn, which is for refine\.irn\.released; expected"),
    (
        "resnet38_cls",
        r"a checkpoint of kind resnet38_cls, which is for classifier\.released with .* on resnet38; expected",
    ),
    ("resnet38_aff", r"a checkpoint of kind resnet38_aff, which is for refine\.psa\.released; expected"),
)


@pytest.mark.parametrize(("kind", "message"), WRONG)
def test_a_checkpoint_of_another_kind_is_named_with_the_setting_that_takes_it(
    kind: str, message: str, tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    path = write_checkpoint(tmp_path / "a.pth", kind)
    context = make_context(tmp_path / "run", splits, RESNET, ("classifier.released", str(path)))
    with pytest.raises(ArtifactError, match=rf"^classifier\.released: {path}: {message}") as error:
        run_stages(context, STAGES)
    assert str(error.value).endswith("kind resnet50_cam, as classifier.method 'plain' on resnet50 asks for")
    assert not context.folder.root.exists()


@pytest.mark.parametrize("first", ["conv1.weight", "conv1a.weight", "backbone.conv1.weight"])
def test_a_backbone_alone_is_told_from_a_trained_network(
    first: str, tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    torch.save({first: torch.zeros(64, 3, 7, 7), "fc.weight": torch.zeros(10, 64)}, tmp_path / "resnet50.pth")
    context = make_context(tmp_path / "run", splits, RESNET, ("classifier.released", str(tmp_path / "resnet50.pth")))
    message = r"^classifier\.released: .*: a backbone alone or a network of weakseg, which a training can start from"
    with pytest.raises(ArtifactError, match=message):
        run_stages(context, STAGES)
    (tmp_path / "ilsvrc.params").write_bytes(b"weights of MXNet")
    context = make_context(tmp_path / "run", splits, RESNET, ("classifier.released", str(tmp_path / "ilsvrc.params")))
    with pytest.raises(ArtifactError, match=message):
        run_stages(context, STAGES)


def test_a_damaged_checkpoint_says_what_is_wrong(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    path = write_checkpoint(tmp_path / "a.pth", "resnet50_cam", resnet50__conv1__weight=torch.zeros(64, 3, 3, 3))
    context = make_context(tmp_path / "run", splits, RESNET, ("classifier.released", str(path)))
    with pytest.raises(ArtifactError, match=rf"^classifier\.released: {path}: 'backbone\.conv1\.weight' should have"):
        run_stages(context, STAGES)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ArtifactError, match=rf"^classifier\.released: {path}: "):
        run_stages(context, STAGES)


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_another_number_of_classes_is_refused(
    num_classes: int, tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    weight = torch.zeros(1).expand(num_classes, 2048, 1, 1)
    path = write_checkpoint(tmp_path / "a.pth", "resnet50_cam", classifier__weight=weight)
    context = make_context(tmp_path / "run", splits, RESNET, ("classifier.released", str(path)))
    message = rf"^classifier\.released: {path} tells {num_classes} classes apart, but the data set folder has 20; those"
    with pytest.raises(ArtifactError, match=message):
        run_stages(context, STAGES)
    assert not context.folder.root.exists()


def test_a_missing_file_is_named_before_anything_is_written(tmp_path: Path, splits: tuple[Dataset, Dataset]) -> None:
    context = make_context(tmp_path / "run", splits, RESNET, ("classifier.released", str(tmp_path / "a.pth")))
    with pytest.raises(ArtifactError, match=rf"^classifier\.released: there is no file {tmp_path}/a\.pth; name a"):
        run_stages(context, STAGES)
    assert not context.folder.root.exists()


def test_a_refiner_of_the_wrong_kind_is_refused_before_the_first_stage(
    tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    path = write_checkpoint(tmp_path / "a.pth", "resnet50_cam")
    context = make_context(tmp_path / "run", splits, ("refine.method", "irn"), ("refine.irn.released", str(path)))
    message = rf"^refine\.irn\.released: {path}: a checkpoint of kind resnet50_cam, which is for classifier\.released"
    with pytest.raises(ArtifactError, match=message):
        run_stages(context, STAGES)
    assert not context.folder.root.exists()
