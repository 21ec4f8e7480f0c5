import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.pipeline.made_context import AUGMENT, contents, done, splits
from tests.tiny import with_settings
from weakseg.pipeline.artifacts import RunFolder, load_seed, load_tensors, save_tensors
from weakseg.pipeline.context import Context
from weakseg.pipeline.stages import STAGES, localize

assert all((done, splits)), "fixtures"

RIB = (
    ("localize.compared_images", 2),
    ("localize.rib.iterations", 4),
    ("localize.rib.learning_rate", 1e-2),
    ("localize.rib.partners", 2),
    ("localize.rib.partner_augment", AUGMENT),
)


def with_classifier(done: Context, root: Path, *settings: tuple[str, object]) -> Context:
    """Return a run that has the classifier of another, with positive weights: it has seen too little to have maps."""
    context = replace(done, folder=RunFolder(root), config=with_settings(done.config, *settings))
    tensors, info = load_tensors(done.folder.network("classifier").model)
    positive = {**tensors, "classifier.weight": tensors["classifier.weight"].abs()}
    save_tensors(context.folder.network("classifier").model, positive, info)
    return context


@pytest.mark.slow
def test_compared_images_show_cam_first_and_rib_last(done: Context, tmp_path: Path) -> None:
    cam = with_classifier(done, tmp_path / "cam", *RIB)
    rib = with_classifier(done, tmp_path / "rib", *RIB, ("localize.method", "rib"))
    assert localize(cam) == "cam seeds of 9 images; CAM and RIB compared on 2 images of val"
    assert re.fullmatch(
        r"rib seeds of 9 images; adaptations ended: .* %; CAM and RIB compared on 2 images of val", localize(rib)
    )
    for id in ("val_0", "val_1"):
        assert cam.folder.adaptation(0, id).read_bytes() == cam.folder.seed(id).read_bytes()
        start, end = load_seed(cam.folder.adaptation(0, id)), load_seed(cam.folder.adaptation(4, id))
        assert not torch.allclose(start.strided(4), end.strided(4), atol=1e-4), "the adaptation has done something"
        result = load_seed(rib.folder.seed(id))
        assert all(torch.equal(one, other) for one, other in zip(end.scales, result.scales, strict=True))


def test_a_comparison_goes_on_where_it_was_interrupted(done: Context, tmp_path: Path) -> None:
    context = with_classifier(done, tmp_path, *RIB)
    localize(context)
    before = contents(context.folder.adaptations)
    context.folder.adaptation(4, "val_1").unlink()  # the last of an image's files to be written
    context.folder.adaptation(0, "val_1").unlink()
    kept = context.folder.adaptation(4, "val_0")
    kept.write_bytes(b"kept")
    localize(context)
    after = contents(context.folder.adaptations)
    assert after == {**before, kept.relative_to(context.folder.adaptations).as_posix(): b"kept"}


def test_any_map_of_a_comparison_that_is_gone_is_made_again(done: Context, tmp_path: Path) -> None:
    context = with_classifier(done, tmp_path, *RIB)
    localize(context)
    before = contents(context.folder.adaptations)
    context.folder.adaptation(0, "val_0").unlink()  # not the last to be written
    localize(context)
    assert contents(context.folder.adaptations) == before


def test_the_comparison_belongs_to_the_stage(done: Context, tmp_path: Path) -> None:
    stage = next(stage for stage in STAGES if stage.name == "localize")
    assert stage.files is not None
    named = stage.files(with_classifier(done, tmp_path, *RIB))
    assert sum("adaptations" in path.parts for path in named) == 2 * 3  # two images after 0, 2 and 4 iterations
