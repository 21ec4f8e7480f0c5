"""The critter generator: what a scene depends on, how its labels agree, and what each knob does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from weakseg.data.synthetic import CRITTER_CLASSES, CritterScene, CritterSettings, generate_scene
from weakseg.data.synthetic.species import SPECIES
from weakseg.data.synthetic.textures import CONTEXTS
from weakseg.errors import ConfigError

SMALL = CritterSettings(size_px=48)
CROWD = CritterSettings(size_px=64, p_animals=(0, 0, 0, 0, 0, 1), p_empty=0)
ONE_ANIMAL = CritterSettings(size_px=48, p_animals=(1,), p_empty=0)


def scenes(chosen: CritterSettings, count: int, *, seed: int = 0) -> list[CritterScene]:
    return [generate_scene(chosen, seed=seed, index=index) for index in range(count)]


def assert_equal(first: CritterScene, second: CritterScene) -> None:
    for name in ("image", "mask", "instances", "parts", "tags"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert (first.instance_classes, first.context) == (second.instance_classes, second.context)


def test_arrays_have_the_documented_shapes_and_dtypes() -> None:
    scene = generate_scene(CritterSettings(size_px=50), seed=3, index=1)
    assert scene.image.shape == (50, 50, 3)
    assert scene.mask.shape == scene.instances.shape == scene.parts.shape == (50, 50)
    assert scene.tags.shape == (6,)
    for name in ("image", "mask", "instances", "parts", "tags"):
        assert getattr(scene, name).dtype == np.uint8


def test_a_scene_depends_on_neither_order_nor_company() -> None:
    ascending = {index: generate_scene(SMALL, seed=5, index=index) for index in (0, 1, 2)}
    for index in (2, 0, 1):
        assert_equal(generate_scene(SMALL, seed=5, index=index), ascending[index])


def test_other_seeds_and_indices_give_other_scenes() -> None:
    images = {
        (seed, index): generate_scene(SMALL, seed=seed, index=index).image.tobytes()
        for seed in (0, 1, 2**32)
        for index in (0, 1, 2**31)
    }
    assert len(set(images.values())) == len(images)


def test_scenes_stay_as_they_are_until_the_generator_version_is_raised() -> None:
    # Recorded from this generator. Images are compared by their means, since rounding may differ between processors.
    scene = generate_scene(CritterSettings(), seed=0, index=5)
    assert scene.instance_classes == (0, 2)
    assert scene.context == 0
    np.testing.assert_allclose(scene.image.mean(axis=(0, 1)), [86.80, 132.07, 138.13], atol=0.05)
    np.testing.assert_allclose(np.bincount(scene.parts.ravel()), [11417, 1518, 3449], atol=3)


def test_global_random_state_is_neither_used_nor_changed() -> None:
    before = np.random.get_state()[1].copy()
    first = generate_scene(SMALL, seed=1, index=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.random(3)
    assert_equal(generate_scene(SMALL, seed=1, index=1), first)


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (0, -1)])
def test_negative_seed_or_index_is_refused(seed: int, index: int) -> None:
    with pytest.raises(ConfigError, match=f"got seed {seed} and index {index}"):
        generate_scene(SMALL, seed=seed, index=index)


def test_labels_of_crowded_scenes_agree() -> None:
    crowd = scenes(CROWD, 30)
    assert any((scene.mask == 255).any() for scene in crowd), "no animal was hidden: the crowd is not crowded"
    for scene in crowd:
        present = set(np.unique(scene.mask)) - {0, 255}
        assert present == {k + 1 for k in np.flatnonzero(scene.tags)}
        count = len(scene.instance_classes)
        assert set(np.unique(scene.instances)) - {0, 255} == set(range(1, count + 1))
        for number, chosen in enumerate(scene.instance_classes, start=1):
            assert set(scene.mask[scene.instances == number]) == {chosen + 1}
            assert (scene.instances == number).sum() >= CROWD.min_visible_area
        for label in (0, 255):
            np.testing.assert_array_equal(scene.mask == label, scene.instances == label)
            np.testing.assert_array_equal(scene.mask == label, scene.parts == label)
        assert set(np.unique(scene.parts)) <= {0, 1, 2, 255}


def test_hidden_animals_become_void_but_change_no_pixel_of_the_image() -> None:
    strict = replace(CROWD, min_visible_px=100_000)
    lenient = replace(CROWD, min_visible_px=0)
    hidden, shown = generate_scene(strict, seed=0, index=0), generate_scene(lenient, seed=0, index=0)
    assert not hidden.tags.any()
    assert hidden.instance_classes == ()
    np.testing.assert_array_equal(hidden.mask, np.where(shown.mask > 0, 255, 0))
    np.testing.assert_array_equal(hidden.image, shown.image)


def test_later_instances_stand_lower() -> None:
    for scene in scenes(CritterSettings(size_px=64, p_animals=(0, 1), p_empty=0, body_scale_px=(12, 13)), 5):
        heights = [np.nonzero(scene.instances == number)[0].mean() for number in (1, 2)]
        assert heights[0] < heights[1] + 2  # legs and heads shift the mean a little against the torso's centre


def test_every_animal_has_a_head_beside_a_larger_body() -> None:
    for scene in scenes(replace(ONE_ANIMAL, body_scale_px=(20, 22)), 10):
        head, body = (np.argwhere(scene.parts == part) for part in (1, 2))
        assert 0 < len(head) < len(body)
        # A torso of 31 px at 128 px is 12 px long here, and a head is at its end.
        assert 3 < np.hypot(*(head.mean(axis=0) - body.mean(axis=0))) < 16


def test_size_scales_animals_with_the_image() -> None:
    def share(size_px: int) -> float:
        drawn = scenes(replace(ONE_ANIMAL, size_px=size_px), 25)
        return float(np.mean([scene.mask > 0 for scene in drawn]))

    assert share(96) == pytest.approx(share(48), rel=0.25)


def test_empty_images_have_no_animals_but_clutter_and_context() -> None:
    drawn = scenes(replace(SMALL, p_empty=1), 12)
    for scene in drawn:
        assert not scene.tags.any()
        assert not scene.mask.any()
        assert not scene.parts.any()
    assert len({scene.context for scene in drawn}) > 2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_number_of_animals_follows_its_chances(count: int) -> None:
    chances = tuple(float(number == count) for number in (1, 2, 3))
    chosen = CritterSettings(size_px=64, p_animals=chances, p_empty=0, body_scale_px=(10, 11), min_visible_px=1)
    for scene in scenes(chosen, 6):
        assert len(scene.instance_classes) == count
        assert len(set(scene.instance_classes)) == count


def test_a_sure_context_is_the_one_of_the_animal() -> None:
    for scene in scenes(replace(ONE_ANIMAL, p_context=1), 15):
        assert scene.instance_classes == (scene.context,)


@pytest.mark.slow
def test_without_preference_context_and_class_are_unrelated() -> None:
    drawn = scenes(replace(ONE_ANIMAL, p_context=0), 120)
    agreeing = sum(scene.instance_classes == (scene.context,) for scene in drawn)
    assert agreeing < 40  # expected 20, standard deviation 4


def test_a_sure_coat_darkens_only_the_species_that_prefers_a_dark_one() -> None:
    # "dor" prefers an almost black coat; without preference it wears the average of all six.
    def brightness(p_coat: float) -> float:
        drawn = scenes(replace(ONE_ANIMAL, p_coat=p_coat, p_context=1, colour_jitter=0), 60)
        bodies = [scene.image[scene.parts == 2].mean() for scene in drawn if scene.instance_classes == (3,)]
        return float(np.mean(bodies))

    assert brightness(1) < 75 < brightness(0)


def test_heads_keep_the_colour_of_their_class_whatever_the_coat() -> None:
    for scene in scenes(replace(ONE_ANIMAL, p_coat=0, colour_jitter=0), 40):
        head = scene.image[scene.parts == 1].astype(float)
        # The sum over channels: uneven light and noise change each by about 10 levels.
        close = [(np.abs(head - species.head_rgb).sum(axis=1) < 60).mean() for species in SPECIES]
        assert int(np.argmax(close)) == scene.instance_classes[0]


def test_repeated_classes_come_only_when_asked_for() -> None:
    wild = CritterSettings(
        size_px=64, p_animals=(0, 0, 1), p_empty=0, body_scale_px=(10, 11), min_visible_px=1, repeat_classes=True
    )
    repeated = [scene for scene in scenes(wild, 20) if len(set(scene.instance_classes)) < 3]
    assert repeated
    assert all(len(scene.instance_classes) == 3 for scene in repeated)
    tame = replace(wild, repeat_classes=False)
    assert all(len(set(scene.instance_classes)) == 3 for scene in scenes(tame, 20))


def test_clutter_changes_the_image_but_no_label() -> None:
    # Both scenes draw the same background before the clutter.
    plain, cluttered = (
        generate_scene(replace(SMALL, p_empty=1, clutter_pieces=(pieces, pieces)), seed=0, index=2) for pieces in (0, 6)
    )
    change = np.abs(plain.image.astype(float) - cluttered.image).max(axis=2)
    assert 0.05 < (change > 30).mean() < 0.9  # 30 is more than the difference of two pixels' noise ever is
    assert not cluttered.mask.any()


def test_larger_heads_take_a_larger_share_of_the_animal() -> None:
    def head_share(fraction: float) -> float:
        drawn = scenes(replace(ONE_ANIMAL, head_fraction=(fraction, fraction)), 12)
        return sum((s.parts == 1).sum() for s in drawn) / sum((s.parts > 0).sum() for s in drawn)

    assert head_share(0.3) < 0.25 < head_share(0.6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: CritterSettings(size_px=47), "size_px must be at least 48, got 47"),
        (lambda: CritterSettings(p_context=1.1), "p_context is a chance and must be within 0..1, got 1.1"),
        (lambda: CritterSettings(p_coat=-0.1), "p_coat"),
        (lambda: CritterSettings(p_empty=float("nan")), "p_empty"),
        (lambda: CritterSettings(p_animals=()), "p_animals needs the chances of 1 to at most 16"),
        (lambda: CritterSettings(p_animals=(0.5, 0.4)), r"p_animals must add up to 1, got \(0.5, 0.4\) \(0.9\)"),
        (lambda: CritterSettings(p_animals=(2.0, -1.0)), "p_animals is a chance"),
        (lambda: CritterSettings(p_animals=(0,) * 6 + (1,)), "7 animals of 6 classes"),
        (lambda: CritterSettings(body_scale_px=(50, 30)), r"body_scale_px is a range .* got \(50, 30\)"),
        (lambda: CritterSettings(head_fraction=(0, 0.5)), "head_fraction"),
        (lambda: CritterSettings(clutter_pieces=(-1, 3)), "clutter_pieces"),
        (lambda: CritterSettings(colour_jitter=-1), "colour_jitter must be 0 or more, got -1"),
        (lambda: CritterSettings(coat_contrast=float("inf")), "coat_contrast"),
        (lambda: CritterSettings(min_visible_px=-5), "min_visible_px"),
    ],
)
def test_settings_out_of_range_are_named(change: Callable[[], CritterSettings], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        change()


def test_seven_animals_are_fine_when_classes_may_repeat() -> None:
    chosen = CritterSettings(size_px=48, p_animals=(0,) * 6 + (1,), p_empty=0, repeat_classes=True, min_visible_px=0)
    assert 1 <= len(generate_scene(chosen, seed=0, index=0).instance_classes) <= 7


def test_class_names_are_those_of_the_species_and_each_has_a_context() -> None:
    assert CRITTER_CLASSES == ("avo", "bex", "cim", "dor", "eku", "fip")
    assert len(CONTEXTS) == len(SPECIES) == 6


def test_drawing_needs_no_torch() -> None:
    program = "import sys, weakseg.data.synthetic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
