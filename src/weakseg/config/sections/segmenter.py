"""Settings of the stage `segment`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from weakseg.config.sections.training import AugmentConfig, OptimConfig


@dataclass(frozen=True)
class SegmenterConfig:
    """Stage `segment`: the segmentation network trained on the pseudo masks.

    Args:
        name: Backbone of the DeepLab-v2 network: critter, efficientnet_lite0, 1 or 2, resnet18,
            resnet50 or resnet101. Or a semantic segmentation
            network of `transformers`: `hf:` and a repository of the Hugging Face hub, a folder or a config.json
            (docs/hf.md). A backbone of `transformers` gets DeepLab-v2's convolutions.
        weights: As for the classifier; or `classifier`: the backbone of the run's own classifier; or a checkpoint of
            DeepLab-v2, whose predicting convolutions are taken too where its labels fit (docs/deeplab.md). For `hf:`
            networks `pretrained`, the weights they come with, `auto`, `none`, or the weights of such a segmenter.
        aspp_rates: Dilations of the parallel 3x3 convolutions that predict the labels.
        aspp_std: Standard deviation of their fresh weights. DeepLab-v2 has 0.01. Over the 1280 channels of an
            EfficientNet-Lite that begins with logits of noise, two and more high; 0.001 does not.
        multi_scale: Further scales, below 1, at which the network sees its input, in training and later; the largest
            logit counts. DeepLab-v2 has [0.75, 0.5]; none when empty.
        caffe_form: Strides where the published weights of DeepLab-v2 have them, and such weights converted to this
            package's input. Only for weights of that origin.
        fixed_norm: Keep batch norm on its running statistics while training.
        freeze_trunk: Train only the layers above the backbone's trunk, which is faster; for backbones that begin with
            good weights.
        masks: `refined`: learn from the masks of the stage `refine`. `truth`: learn from the data set's own masks
            instead, for the fully supervised twin of a run, or where you have masks; images without one are left out.
        corrected_weight: How many times as often as others an image is drawn whose mask a person has corrected. `auto`:
            20 where at least 10 are corrected and most classes of all masks are doubtful, else once
            (docs/corrections.md). The number of steps stays.
        epochs: Passes over the training split.
        min_updates: Where images are few, as many passes more as make so many updates, at most five times `epochs`;
            null for none. Whoever says `epochs` on the command line or in Python switches it off.
        batch_size: Images per step over all processes together.
        accumulate: Each process passes its images of a step in so many parts, which needs less memory.
        balance: `none`: all labelled pixels weigh the same; `foreground_background`: background and classes half each.
        augment: Random changes of the training images; masks follow.
        optim: Optimiser and schedule.
        ignore_below: Pixels whose mask is less sure than this share of 255 teach nothing, 0..1; 0 for none. Needs
            `refine.confidence`.
    """

    name: str = "resnet101"
    weights: str = "imagenet"
    aspp_rates: tuple[int, ...] = (6, 12, 18, 24)
    aspp_std: float = 0.01
    multi_scale: tuple[float, ...] = ()
    caffe_form: bool = False
    fixed_norm: bool = True
    freeze_trunk: bool = False
    masks: Literal["refined", "truth"] = "refined"
    corrected_weight: int | Literal["auto"] = "auto"
    epochs: int = 30
    min_updates: int | None = None
    batch_size: int = 10
    accumulate: int = 1
    balance: Literal["none", "foreground_background"] = "none"
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    ignore_below: float = 0.0
