from pathlib import Path

import pytest
import torch

from tests.pipeline.made_context import make_context
from tests.pipeline.released_checkpoints import CPU, splits, write_checkpoint
from tests.pipeline.test_refiners import write_seeds
from weakseg.config.schema import RefineConfig
from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError
from weakseg.models.irnet import IRNet
from weakseg.models.weights import load_official
from weakseg.pipeline.artifacts import load_info
from weakseg.pipeline.networks import load_history, load_irnet
from weakseg.pipeline.refiners import refined_files
from weakseg.pipeline.released import ReleasedNetwork, released_refiner
from weakseg.pipeline.stages import STAGES
from weakseg.refine.irn import IRNConfig
from weakseg.refine.psa import PSAConfig

pytestmark = pytest.mark.slow

assert splits, "a fixture"


def test_the_method_says_which_refiner_is_meant() -> None:
    irn, psa = IRNConfig(released="irn.pth"), PSAConfig(released="aff.pth")
    by_irn = released_refiner(RefineConfig(method="irn", irn=irn, psa=psa))
    by_psa = released_refiner(RefineConfig(method="psa", irn=irn, psa=psa))
    assert by_irn == ReleasedNetwork("refine.irn.released", "irn.pth", "resnet50_irn", "refine.irn.name resnet50")
    assert by_psa == ReleasedNetwork("refine.psa.released", "aff.pth", "resnet38_aff", "refine.psa.name resnet38")
    assert released_refiner(RefineConfig(method="crf", irn=irn, psa=psa)) is None
    assert released_refiner(RefineConfig(method="psa", irn=irn)) is None


@pytest.mark.parametrize("method", ["irn", "psa"])
def test_with_a_released_refiner_no_labels_are_promised(
    method: str, tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    trained = make_context(tmp_path, splits, ("refine.method", method))
    adopted = make_context(tmp_path, splits, ("refine.method", method), (f"refine.{method}.released", "a.pth"))
    labels = {trained.folder.label(sample.id) for sample in splits[0]}
    assert set(refined_files(trained, splits)) - set(refined_files(adopted, splits)) == labels


def test_a_released_irnet_takes_the_place_of_labels_and_training(
    tmp_path: Path, splits: tuple[Dataset, Dataset]
) -> None:
    path = write_checkpoint(tmp_path / "irn.pth", "resnet50_irn")
    irn = (
        ("refine.method", "irn"),
        ("refine.irn.released", str(path)),
        ("refine.irn.weights", "classifier"),
        ("refine.irn.pad_px", 48),
        ("refine.irn.walk_doublings", 2),
    )
    only_val = (*irn, ("localize.splits", ("val",)))  # nothing is learnt from seeds of train
    context = make_context(tmp_path / "run", splits, *only_val)
    write_seeds(context)
    refine = next(stage for stage in STAGES if stage.name == "refine")
    assert refine.require is not None
    assert refine.files is not None
    refine.require(context, afresh=True)
    assert refine.run(context) == "masks of 2 images by IRN with a released network, background threshold 0.15 (fixed)"
    assert all(file.is_file() for file in refine.files(context))
    assert not context.folder.labels.exists()
    folder = context.folder.network("refiner")
    assert load_history(folder) == ()
    assert load_info(folder.model)["kind"] == "refiner"
    own, theirs = load_irnet(folder.model, CPU)[0], load_official(path, "resnet50_irn")
    assert isinstance(theirs, IRNet)
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in own.state_dict().items())
    folder.history.unlink()
    refine.run(context)
    assert folder.history.is_file(), "a file that is gone is made again"
    path.unlink()
    refine.require(context, afresh=False)  # it is in the run by now
    with pytest.raises(ArtifactError, match=r"^refine\.irn\.released: there is no file"):
        refine.require(context, afresh=True)
