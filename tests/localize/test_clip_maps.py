from collections import deque

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.tiny_clip import LENGTH, PATCH_PX, make_clip
from weakseg.data.coco_names import COCO_CLASSES
from weakseg.data.voc import VOC_CLASSES
from weakseg.errors import ConfigError, ShapeError
from weakseg.localize.clip_maps import attention_refine, clip_input, clip_score_maps, grad_cam
from weakseg.localize.clip_prompts import BACKGROUND_WORDS, COCO_BACKGROUND_WORDS, COCO_WORDS, VOC_WORDS
from weakseg.localize.clip_texts import TextEmbeddings
from weakseg.localize.frame import fit_frame

TOLERANCE = 1e-5


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def resample_slowly(grid: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resample (h, w, D) bilinearly, centre on centre, pixel by pixel."""
    height, width = grid.shape[:2]
    result = torch.zeros(*size_hw, grid.shape[2])
    for y in range(size_hw[0]):
        for x in range(size_hw[1]):
            row = max(0.0, (y + 0.5) * height / size_hw[0] - 0.5)
            column = max(0.0, (x + 0.5) * width / size_hw[1] - 0.5)
            top, left = int(row), int(column)
            below, right = min(top + 1, height - 1), min(left + 1, width - 1)
            down, along = row - top, column - left
            upper = (1 - along) * grid[top, left] + along * grid[top, right]
            lower = (1 - along) * grid[below, left] + along * grid[below, right]
            result[y, x] = (1 - down) * upper + down * lower
    return result


def explain_slowly(image: Tensor, texts: Tensor, tag: int) -> tuple[Tensor, Tensor]:
    """Do the same with the layers of the library, hooks on them, and a gradient through all of them."""
    clip = make_clip().eval()
    vision, attentions, normed = clip.vision_model, [], []
    patches = vision.embeddings.patch_embedding(image)
    size_hw = (patches.shape[2], patches.shape[3])
    positions = vision.embeddings.position_embedding.weight
    grid = resample_slowly(positions[1:].reshape(3, 3, -1), size_hw).flatten(0, 1)
    places = torch.cat([positions[:1], grid]).half().float()
    tokens = torch.cat([vision.embeddings.class_embedding[None], patches[0].flatten(1).T]) + places
    for layer in vision.encoder.layers:
        layer.self_attn.register_forward_hook(lambda module, given, found: attentions.append(found[1]))
    last = vision.encoder.layers[-1]
    last.layer_norm1.register_forward_hook(lambda module, given, found: normed.append(found))
    last.layer_norm1.register_forward_hook(lambda module, given, found: found.retain_grad())
    hidden = vision.encoder(inputs_embeds=vision.pre_layrnorm(tokens[None])).last_hidden_state
    pooled = clip.visual_projection(vision.post_layernorm(hidden)[0, 1:].mean(dim=0))
    cosines = torch.stack([torch.cosine_similarity(pooled, text, dim=0) for text in texts])
    (clip.logit_scale.exp() * cosines).softmax(dim=0)[tag].backward()
    weights = normed[0].grad[0, 1:].mean(dim=0)
    raw = (normed[0][0, 1:] * weights).sum(dim=1).relu().reshape(size_hw).detach()
    attention = torch.stack(attentions[-8:]).mean(dim=(0, 1, 2))[1:, 1:]
    for _ in range(2):
        raw = (raw - raw.min()) / (raw.max() - raw.min() + 1e-7)
    return raw, attention.detach()


@pytest.mark.slow
@pytest.mark.parametrize(("size_hw", "num_tags", "num_texts"), [((12, 12), 1, 4), ((12, 24), 3, 5), ((24, 12), 2, 2)])
def test_maps_and_attention_are_those_of_the_librarys_layers(
    size_hw: tuple[int, int], num_tags: int, num_texts: int
) -> None:
    clip, image, texts = make_clip(), draw(1, 3, *size_hw), draw(num_texts, LENGTH, seed=1)
    before = image.clone(), texts.clone()
    maps, attention = grad_cam(clip, image, texts, num_tags=num_tags)
    grid_hw = (size_hw[0] // PATCH_PX, size_hw[1] // PATCH_PX)
    assert maps.shape == (num_tags, *grid_hw)
    for tag in range(num_tags):
        expected, expected_attention = explain_slowly(image, texts, tag)
        torch.testing.assert_close(maps[tag], expected, atol=TOLERANCE, rtol=TOLERANCE)
        torch.testing.assert_close(attention, expected_attention, atol=TOLERANCE, rtol=TOLERANCE)
    assert maps.max() > 0.99
    assert not maps.requires_grad
    assert not attention.requires_grad
    assert torch.equal(image, before[0])
    assert torch.equal(texts, before[1])
    assert all(parameter.grad is None for parameter in clip.parameters())
    assert clip.training


@pytest.mark.slow
def test_the_length_of_texts_and_a_callers_mode_make_no_difference() -> None:
    clip, image, texts = make_clip(), draw(1, 3, 12, 16), draw(3, LENGTH, seed=1)
    maps, _ = grad_cam(clip, image, texts, num_tags=2)
    with torch.no_grad():
        again, _ = grad_cam(clip, image, 7 * texts, num_tags=2)
    torch.testing.assert_close(again, maps, atol=TOLERANCE, rtol=TOLERANCE)
    nothing, attention = grad_cam(clip, image, texts, num_tags=0)
    assert nothing.shape == (0, 3, 4)
    assert attention.shape == (12, 12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "texts", "num_tags", "message"),
    [
        (draw(1, 3, 12, 13), draw(2, LENGTH), 1, "sides are multiples of 4 px, got 12 x 13"),
        (
            draw(3, 12, 12),
            draw(2, LENGTH),
            1,
            r"expected a float image \(1, 3, H, W\), got torch.float32 \(3, 12, 12\)",
        ),
        (draw(1, 3, 12, 12), draw(2, 4), 1, r"expected float text embeddings \(T, 5\), got torch.float32 \(2, 4\)"),
        (draw(1, 3, 12, 12), draw(2, LENGTH), 3, "num_tags: expected 0..2, the number of texts, got 3"),
    ],
)
def test_inputs_that_do_not_fit_the_network_are_refused(
    image: Tensor, texts: Tensor, num_tags: int, message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        grad_cam(make_clip(), image, texts, num_tags=num_tags)


def box_slowly(levels: NDArray[np.int64], above: int) -> NDArray[np.bool_]:
    """Flood every strong part by itself and mark its box, less the last row and column."""
    height, width = levels.shape
    seen, inside = np.zeros(levels.shape, bool), np.zeros(levels.shape, bool)
    for start in np.argwhere(levels > above):
        queue, part = deque([tuple(start)]), []
        while queue:
            y, x = queue.popleft()
            if not (0 <= y < height and 0 <= x < width) or seen[y, x] or levels[y, x] <= above:
                continue
            seen[y, x] = True
            part.append((y, x))
            queue.extend((y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
        for y, x in np.ndindex(height - 1, width - 1):
            rows, columns = [at[0] for at in part], [at[1] for at in part]
            inside[y, x] |= bool(part) and min(rows) <= y <= max(rows) and min(columns) <= x <= max(columns)
    return inside


def refine_slowly(maps: Tensor, attention: Tensor, threshold: float) -> Tensor:
    walk = attention.double()
    for _ in range(3):
        walk = walk / walk.sum(dim=0, keepdim=True)
        walk = walk / walk.sum(dim=1, keepdim=True)
    walk = (walk + walk.T) / 2
    walk = walk @ walk
    refined = torch.zeros_like(maps)
    for own, result in zip(maps, refined, strict=True):
        levels = np.floor(255 * own.numpy()).astype(np.int64)
        boxed = own * torch.from_numpy(box_slowly(levels, int(threshold * levels.max())))
        for patch in range(own.numel()):
            result.view(-1)[patch] = (walk[patch] * boxed.flatten()).sum()
    return refined


@pytest.mark.parametrize(
    ("num_maps", "size_hw", "threshold"), [(1, (5, 7), 0.4), (3, (6, 4), 0.7), (80, (3, 5), 0.9), (2, (1, 6), 0.4)]
)
def test_maps_are_spread_within_the_boxes_of_their_parts(
    num_maps: int, size_hw: tuple[int, int], threshold: float
) -> None:
    maps, patches = draw(num_maps, *size_hw).abs(), size_hw[0] * size_hw[1]
    maps = maps / maps.amax(dim=(1, 2), keepdim=True)
    attention = draw(patches, patches, seed=1).softmax(dim=1)
    before = maps.clone(), attention.clone()
    refined = attention_refine(maps, attention, box_threshold=threshold)
    torch.testing.assert_close(refined, refine_slowly(maps, attention, threshold), atol=1e-6, rtol=1e-5)
    assert torch.equal(maps, before[0])
    assert torch.equal(attention, before[1])


def test_with_even_attention_a_boxs_content_goes_everywhere() -> None:
    maps = torch.zeros(2, 4, 5)
    maps[0, 1, 1], maps[0, 2, 2] = 1, 0.5  # parts that meet at a corner: one box
    maps[0, 1, 2] = 0.3
    maps[1, 3, 4] = 1  # a part in the last row and column has no box
    refined = attention_refine(maps, torch.ones(20, 20))
    torch.testing.assert_close(refined[0], torch.full((4, 5), 1.8 / 20))
    assert not refined[1].any()
    assert attention_refine(maps[:0], torch.ones(20, 20)).shape == (0, 4, 5)


def test_maps_and_attention_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected a float attention \(20, 20\) between the maps' pixels, got"):
        attention_refine(torch.zeros(1, 4, 5), torch.ones(21, 21))
    with pytest.raises(ShapeError, match=r"expected float maps \(K, h, w\), got torch.float32 \(4, 5\)"):
        attention_refine(torch.zeros(4, 5), torch.ones(20, 20))
    with pytest.raises(ShapeError, match=r"expected maps within 0\.\.1"):
        attention_refine(torch.full((1, 4, 5), torch.nan), torch.ones(20, 20))
    with pytest.raises(ConfigError, match="box_threshold: expected a share"):
        attention_refine(torch.zeros(1, 4, 5), torch.ones(20, 20), box_threshold=2)


def test_images_are_enlarged_to_whole_patches_and_normalised() -> None:
    image = np.full((17, 32, 3), 255, np.uint8)
    image[..., 2] = 0
    values = clip_input(image)
    assert values.shape == (1, 3, 32, 32)
    assert values.dtype == torch.float32
    expected = [(1 - 0.48145466) / 0.26862954, (1 - 0.4578275) / 0.26130258, -0.40821073 / 0.27577711]
    torch.testing.assert_close(values.mean(dim=(0, 2, 3)), torch.tensor(expected))
    assert clip_input(image, patch_px=5).shape == (1, 3, 20, 35)


def test_words_belong_to_classes_and_backgrounds_to_none() -> None:
    assert len(BACKGROUND_WORDS) == 25
    assert len(COCO_BACKGROUND_WORDS) == 23
    assert set(VOC_WORDS) <= set(VOC_CLASSES)
    assert set(COCO_WORDS) <= set(COCO_CLASSES)
    assert not set(BACKGROUND_WORDS) & set(VOC_CLASSES)
    assert not set(COCO_BACKGROUND_WORDS) & set(COCO_CLASSES)


@pytest.mark.slow
@pytest.mark.parametrize("size_hw", [(13, 22), (16, 12)])
def test_an_image_is_asked_for_its_tags_at_every_scale(size_hw: tuple[int, int]) -> None:
    clip, texts = make_clip().eval(), TextEmbeddings(draw(4, LENGTH), draw(2, LENGTH, seed=1))
    image = np.random.default_rng(0).integers(0, 255, (*size_hw, 3), np.uint8)
    before = image.copy()
    maps = clip_score_maps(clip, image, np.array([0, 1, 0, 1]), texts, scales=(1.0, 0.5), box_threshold=0.3)
    assert (maps.keys, maps.size_hw, len(maps.scales)) == ((1, 3), size_hw, 2)
    assert np.array_equal(image, before)
    seen = clip_input(image, patch_px=PATCH_PX)
    first, attention = grad_cam(clip, seen, torch.cat([texts.classes[[1, 3]], texts.backgrounds]), num_tags=2)
    refined = attention_refine(first, attention, box_threshold=0.3)
    low, high = refined.amin(dim=(1, 2), keepdim=True), refined.amax(dim=(1, 2), keepdim=True)
    expected = fit_frame((refined - low) / (high - low + 1e-7), size_hw)
    torch.testing.assert_close(maps.scales[0], expected, atol=TOLERANCE, rtol=TOLERANCE)
    assert clip_score_maps(clip, image, np.zeros(4), texts).keys == ()
    with pytest.raises(ShapeError, match=r"expected tags of shape \(4,\)"):
        clip_score_maps(clip, image, np.zeros(3), texts)
