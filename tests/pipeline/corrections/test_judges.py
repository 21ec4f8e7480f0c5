from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.pipeline.made_context import make_context
from tests.tiny import NAMES, SIZE_HW, make_dataset
from weakseg.documents import decode_json
from weakseg.pipeline import threshold as module
from weakseg.pipeline.artifacts import save_mask, save_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.judges import choose_on_masks, list_judges
from weakseg.pipeline.corrections.taught import Taught, TaughtImage, digest_mask
from weakseg.pipeline.threshold import mask_threshold, name_choice_rule, settle_threshold
from weakseg.refine.method import SeededImage
from weakseg.types import ClassSet, ScoreMaps

CANDIDATES = (0.2, 0.4, 0.6)
STEPS = (0.1, 0.3, 0.5, 0.7)
"""A seed's columns, from left to right."""


def make_seed(keys: tuple[int, ...]) -> ScoreMaps:
    maps = torch.zeros(len(keys), *SIZE_HW)
    for place, value in enumerate(STEPS):
        maps[:, :, 8 * place : 8 * (place + 1)] = value
    return ScoreMaps(keys, (maps,), SIZE_HW)


def correct(first_column: int, label: int, *, seen: int = SIZE_HW[1]) -> NDArray[np.uint8]:
    """The class from a column on; nobody has looked at the columns behind `seen`."""
    mask = np.zeros(SIZE_HW, np.uint8)
    mask[:, first_column:32] = label
    mask[:, seen:] = 255
    return mask


def make_run(root: Path, masks: dict[str, NDArray[np.uint8]], *settings: tuple[str, object]) -> Context:
    train = make_dataset(root / "images", ((0,), (1,), (0,), ()))
    chosen = (("refine.method", "none"), ("refine.background_threshold", "auto"), *settings)
    context = make_context(root / "run", (train, None), *chosen)
    for sample in train:
        save_seed(context.folder.seed(sample.id), make_seed(sample.keys))
    for sample_id, mask in masks.items():
        save_mask(context.folder.taught / f"{sample_id}.png", mask)
    images = {key: TaughtImage(key, digest_mask(mask)) for key, mask in masks.items()}
    return replace(context, taught=Taught(context.folder.taught, "", ClassSet(NAMES), images))


def cut(item: SeededImage, thresholds: object) -> NDArray[np.uint8]:
    """Column by column as the seed has it."""
    maps, label = item.seed.full().numpy()[0], item.seed.keys[0] + 1
    return np.stack([np.where(maps > t, label, 0).astype(np.uint8) for t in CANDIDATES])


@pytest.mark.parametrize(
    ("masks", "threshold"),
    [
        ({"train_0": correct(16, 1)}, 0.4),
        ({"train_0": correct(8, 1), "train_1": correct(8, 2), "train_2": correct(24, 1)}, 0.2),
        ({"train_0": correct(24, 1, seen=28)}, 0.6),  # the pixels that nobody has looked at count nothing
        ({"train_0": correct(32, 1)}, None),  # no class is shown
    ],
)
def test_the_masks_most_like_the_corrected_ones_win(
    tmp_path: Path, masks: dict[str, NDArray[np.uint8]], threshold: float | None
) -> None:
    context = make_run(tmp_path, masks)
    choice = choose_on_masks(context, cut, list_judges(context), CANDIDATES, support=np.zeros(3))
    assert (None if choice is None else choice.threshold) == threshold
    if choice is not None:
        assert choice.corrected == choice.images == len(masks)
        assert choice.curve[CANDIDATES.index(choice.threshold)] == max(value or 0 for value in choice.curve)


@pytest.mark.parametrize(("lead", "threshold"), [(0.04, 0.4), (0.2, 0.6)])
def test_what_else_speaks_for_a_candidate_weighs_as_much_as_1000_masks(
    tmp_path: Path, lead: float, threshold: float
) -> None:
    """A mask gives 0.4 an IoU of 1 and 0.6 one of 0.73: ln(0.73) / 1000 = -0.0003 for the second candidate."""
    context = make_run(tmp_path, {"train_0": correct(16, 1)})
    support = np.array([-1.0, 0.0, 0.0]) + np.array([0.0, 0.0, lead - 0.04])
    choice = choose_on_masks(context, cut, list_judges(context), CANDIDATES, support=support)
    assert choice is not None
    assert (choice.threshold, choice.best) == (threshold, 0.4)


def test_only_tagged_training_images_judge(tmp_path: Path) -> None:
    context = make_run(tmp_path, {"train_0": correct(8, 1), "train_3": correct(8, 1), "val_0": correct(8, 1)})
    assert [sample.id for sample in list_judges(context)] == ["train_0"]
    assert list_judges(replace(context, taught=None)) == []


def test_enough_corrected_masks_decide_and_are_told(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = {"train_0": correct(16, 1), "train_1": correct(16, 2)}
    context = make_run(tmp_path, masks)
    free = settle_threshold(make_run(tmp_path / "few", masks))
    assert any("chosen without corrected masks: there are 2, and 10 are needed" in line for line in told)
    assert module.ENOUGH_MASKS == 10
    assert list(name_choice_rule(context)) == ["rule of background_threshold auto"]

    monkeypatch.setattr(module, "ENOUGH_MASKS", 2)
    monkeypatch.setattr("weakseg.pipeline.corrections.judges.PRIOR_MASKS", 1e-3)
    chosen = settle_threshold(context)
    assert 0.3 <= chosen < 0.5  # where columns of 0.5 are in and those of 0.3 are out
    assert chosen != free or 0.3 <= free < 0.5
    assert str(mask_threshold(context)) == f"{chosen:g} (chosen on 2 corrected masks)"
    said = decode_json(context.folder.threshold.read_text())
    assert (said["how"], said["corrected"]) == ("chosen on 2 corrected masks, colours and areas", 2)
    assert "on corrected masks" in list(name_choice_rule(context))[1]
    assert any("chosen on 2 corrected masks" in line for line in told)
