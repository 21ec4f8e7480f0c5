from pathlib import Path

import pytest
import torch

from tests.tiny import make_dataset, with_settings
from weakseg.config.schema import RunConfig
from weakseg.localize.method import Localized
from weakseg.pipeline.artifacts import RunFolder, load_seed
from weakseg.pipeline.comparison import choose_compared, compared_iterations, comparison_files, save_trace
from weakseg.pipeline.context import Context
from weakseg.types import ScoreMaps


def make_maps(value: float) -> ScoreMaps:
    return ScoreMaps((1,), (torch.full((1, 2, 3), value),), (24, 33))


def make_context(root: Path, *settings: tuple[str, object]) -> Context:
    config = with_settings(RunConfig(), ("localize.compared_images", 2), *settings)
    return Context(config, RunFolder(root), torch.device("cpu"), make_dataset(root / "images"), None, {})


@pytest.mark.parametrize(
    ("iterations", "expected"),
    [(1, (0, 1)), (2, (0, 2)), (3, (0, 2, 3)), (5, (0, 2, 5)), (10, (0, 2, 5, 10))],
)
def test_maps_are_kept_at_the_start_early_on_and_at_the_end(iterations: int, expected: tuple[int, ...]) -> None:
    config = with_settings(RunConfig(), ("localize.rib.iterations", iterations)).localize
    assert compared_iterations(config) == expected


def test_compared_images_are_tagged_and_evenly_spaced_over_the_last_split(tmp_path: Path) -> None:
    train, val = make_dataset(tmp_path), make_dataset(tmp_path, ((0,), (), (1,), (2,), (0,)), split="val")
    for wanted, expected in [(1, ["val_0"]), (2, ["val_0", "val_3"]), (9, ["val_0", "val_2", "val_3", "val_4"])]:
        config = with_settings(RunConfig(), ("localize.compared_images", wanted)).localize
        compared = choose_compared(config, [train, val])
        assert compared is not None
        assert [sample.id for sample in compared] == expected
        assert compared.split == "val"


def test_nothing_is_compared_unless_asked_for_or_without_tagged_images(tmp_path: Path) -> None:
    config = with_settings(RunConfig(), ("localize.compared_images", 3)).localize
    assert choose_compared(RunConfig().localize, [make_dataset(tmp_path)]) is None
    assert choose_compared(config, [make_dataset(tmp_path, ((), ()))]) is None
    assert choose_compared(config, []) is None


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((1, 2, 3, 4, 5, 6, 7), (1, 3, 6, 7)),  # after 0, 2, 5 and all 7 iterations
        ((1, 2, 3, 4), (1, 3, 4, 4)),  # stopped early
        ((), (9, 9, 9, 9)),  # diverged at once, or an image without tags: there is only the result
    ],
)
def test_a_trace_is_written_as_seeds(tmp_path: Path, states: tuple[int, ...], expected: tuple[int, ...]) -> None:
    context = make_context(tmp_path, ("localize.rib.iterations", 7))
    localized = Localized(make_maps(9.0), "completed", tuple(make_maps(float(state)) for state in states))
    save_trace(context, "a/b", localized, (48, 66))
    for number, value in zip((0, 2, 5, 7), expected, strict=True):
        seed = load_seed(context.folder.adaptation(number, "a/b"))
        assert (seed.keys, seed.size_hw, seed.scales[0].unique().tolist()) == ((1,), (48, 66), [value])


def test_every_file_of_the_comparison_is_named(tmp_path: Path) -> None:
    context = make_context(tmp_path, ("localize.rib.iterations", 2))
    compared = choose_compared(context.config.localize, [context.train])
    names = [path.relative_to(tmp_path).as_posix() for path in comparison_files(context, compared)]
    assert names == [f"adaptations/{number}/{id}.npz" for id in ("train_0", "train_2") for number in (0, 2)]
    assert comparison_files(context, None) == []
