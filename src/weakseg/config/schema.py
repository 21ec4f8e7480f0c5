"""Every setting of a run, as frozen dataclasses: one section per stage, one field per setting.

The docstring of a field is its help text on the command line. A stage unpacks its section into explicit arguments;
nothing below `weakseg.pipeline` sees these classes. Values that depend on a data set live in the YAML recipes beside
this file; the defaults here are those of the released VOC settings where one exists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DatasetName = Literal["critters", "voc", "coco", "folder"]
BackboneName = Literal["critter", "resnet18", "resnet50", "resnet101"]
ClassifierName = Literal["critter", "critter38", "resnet18", "resnet38", "resnet50", "resnet101"]
ScheduleName = Literal["poly", "one_cycle"]
SplitName = Literal["train", "val"]


@dataclass(frozen=True)
class CrittersConfig:
    """The generated data set; used when `data.name` is `critters`.

    Args:
        images: Number of training images.
        val_images: Number of validation images.
        size_px: Height and width of every image.
        seed: Seed of the generator; another seed is another data set.
        p_context: Chance that an image's context (sea, grass, ...) is the one its first animal prefers.
        p_coat: Chance that an animal wears the coat its class prefers.
        p_empty: Chance that an image shows no animal.
    """

    images: int = 800
    val_images: int = 200
    size_px: int = 128
    seed: int = 0
    p_context: float = 0.6
    p_coat: float = 0.7
    p_empty: float = 0.2


@dataclass(frozen=True)
class DataConfig:
    """Which tagged images to learn from.

    Args:
        name: Reader: `voc`, `coco`, `folder` or the built-in `critters`.
        root: Folder of the data set. `critters` are written into the run folder when it is not given.
        train: Split to train on: `train`, `train_aug`, `val`, `train2014`, ... or a list file, as the reader defines.
        val: Split to evaluate on, or null for none.
        tags: For `folder`: the tag file (CSV or COCO-style JSON); found by itself when null.
        val_fraction: For `folder`: share of the images that is held out as the split `val`.
        max_side_px: Larger images are resized to this longer side before a network looks at them whole; masks keep
            the original size. Null for no limit, as the released codes have it for images of at most 640 pixels.
        critters: Settings of the generator.
    """

    name: DatasetName = "critters"
    root: str | None = None
    train: str = "train"
    val: str | None = "val"
    tags: str | None = None
    val_fraction: float = 0.1
    max_side_px: int | None = None
    critters: CrittersConfig = field(default_factory=CrittersConfig)


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of a training image.

    Args:
        long_side_px: Range of the length the longer side is resized to.
        crop_px: Side of the square crop; smaller images are padded.
        flip: Whether to mirror left-right with probability one half.
        colour: Strength of random contrast and tint, 0 for none. The released codes use none.
    """

    long_side_px: tuple[int, int] = (320, 640)
    crop_px: int = 512
    flip: bool = True
    colour: float = 0.0


@dataclass(frozen=True)
class OptimConfig:
    """Stochastic gradient descent and its schedule.

    Args:
        schedule: `poly` decays by (1 - step / steps)^power as the released codes do; `one_cycle` is for training
            from random weights.
        learning_rate: Base rate; the peak for `one_cycle`.
        head_multiplier: The classifier layer learns this many times faster than the backbone.
        momentum: Momentum of SGD. The released codes pass their weight decay here by mistake, hence 1e-4.
        weight_decay: L2 penalty.
        power: Exponent of the polynomial decay.
        warmup_share: Share of the steps in which `one_cycle` rises.
    """

    schedule: ScheduleName = "poly"
    learning_rate: float = 0.1
    head_multiplier: float = 10.0
    momentum: float = 1e-4
    weight_decay: float = 1e-4
    power: float = 0.9
    warmup_share: float = 0.25


@dataclass(frozen=True)
class SEAMConfig:
    """SEAM's second view and its losses; used when `classifier.method` is `seam`. The defaults are the paper's.

    Args:
        shrink: Factor of the second view's size.
        hardest_share: Share of the values that count in the cross loss, the worst ones.
        lowest_share: Share of the positions whose strongest class the pooling loss pushes down.
        classification_weight: Weight of the classification loss; networks from random weights want more than 1.
    """

    shrink: float = 0.3
    hardest_share: float = 0.2
    lowest_share: float = 0.25
    classification_weight: float = 1.0


@dataclass(frozen=True)
class CDAConfig:
    """Context decoupling augmentation: objects pasted into images without their class. The defaults are as released.

    Args:
        masks: Run folder whose masks the objects are cut out by; null switches the augmentation off.
        area_share: Objects cover a share of their image within this range.
        max_per_class: At most so many objects of a class are kept, chosen at random.
        angle_degrees: Range of the rotation.
        side_share: Range of a pasted object's size, as a share of the host's height or width.
        blur_px: Softens the edges of pasted objects; standard deviation in pixels, 0 for hard edges.
        compat: `released` counts steps as the released code does, so that the second half of the training learns next
            to nothing; `none` decays the rate over all steps.
    """

    masks: str | None = None
    area_share: tuple[float, float] = (0.1, 0.7)
    max_per_class: int = 200
    angle_degrees: tuple[float, float] = (-90.0, 90.0)
    side_share: tuple[float, float] = (0.3, 0.7)
    blur_px: float = 0.0
    compat: Literal["none", "released"] = "none"


@dataclass(frozen=True)
class ClassifierConfig:
    """Stage `classify`: the multi-label classifier.

    Args:
        method: `plain`: trained on tags alone; `seam`: also on its maps being the same at another size. The seeds of a
            SEAM are its refined maps.
        name: Backbone. `resnet38` is that of AffinityNet and SEAM.
        weights: `imagenet`, `none`, a path to a checkpoint (torchvision's layout, or weakseg's safetensors), or
            `auto`: `imagenet` where they can be had, else `none` with a warning.
        freeze_trunk: Train only the layers above the trunk, with the trunk's output detached, as IRN does.
        fixed_norm: Keep batch norm on its running statistics while training, as IRN does.
        epochs: Passes over the training split.
        batch_size: Images per step over all processes together.
        augment: Random changes of the training images.
        optim: Optimiser and schedule.
        seam: Settings of the method `seam`.
        cda: Context decoupling augmentation, for every method.
    """

    method: Literal["plain", "seam"] = "plain"
    name: ClassifierName = "resnet50"
    weights: str = "imagenet"
    freeze_trunk: bool = True
    fixed_norm: bool = True
    epochs: int = 5
    batch_size: int = 16
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    seam: SEAMConfig = field(default_factory=SEAMConfig)
    cda: CDAConfig = field(default_factory=CDAConfig)


@dataclass(frozen=True)
class RIBConfig:
    """Per-image adaptation; used when `localize.method` is `rib`. The defaults are the released settings for VOC.

    Args:
        iterations: Maps that are summed; between each two lies an update.
        learning_rate: Rate of the first update, 10 times as high in the 1x1 convolution (COCO 5e-6).
        weight_decay: L2 penalty, and momentum as well, as released.
        pooling: `gndrp` leaves the strongest positions out of the logits; `gap` does not.
        threshold: Share of a map's maximum from which on GNDRP leaves a position out (COCO 0.5).
        logit_stop: Adaptation ends once the image's own logits sum to more than this (COCO 1000); with the variant
            `paper` the margin of each logit.
        area_threshold: A position is covered where a normalised map exceeds this.
        area_ratio: Adaptation ends once this share of the image is covered (COCO 0.8).
        variant: `released` or `paper`: whose loss and stop rules.
        compat: `released` applies GNDRP to the first 20 classes only, as the released code does; `none` to all.
        partners: Class-disjoint random images per iteration (COCO 15).
        partner_draws: `fresh` crops for every iteration as released, or a `pooled` sequence of them, which is much
            faster to load.
        partner_augment: Random changes of a partner.
        autocast: Compute convolutions in bfloat16.
        channels_last: Lay images out channels-last.
    """

    iterations: int = 10
    learning_rate: float = 8e-6
    weight_decay: float = 1e-4
    pooling: Literal["gndrp", "gap"] = "gndrp"
    threshold: float = 0.4
    logit_stop: float = 600.0
    area_threshold: float = 0.3
    area_ratio: float = 0.7
    variant: Literal["released", "paper"] = "released"
    compat: Literal["none", "released"] = "none"
    partners: int = 20
    partner_draws: Literal["fresh", "pooled"] = "fresh"
    partner_augment: AugmentConfig = field(default_factory=AugmentConfig)
    autocast: bool = False
    channels_last: bool = False


@dataclass(frozen=True)
class LocalizeConfig:
    """Stage `localize`: score maps of every image's own tags.

    Args:
        method: `cam`: class activation maps over scales and flips; `rib`: the same from a classifier that is adapted
            to each image.
        scales: Factors the image is resized by (bicubic) before the network sees it.
        splits: Which splits get seeds. Seeds use the images' tags, on `val` too.
        compared_images: So many tagged images, evenly spaced over the last of the splits, show in the report what an
            adaptation makes of CAM, update by update. With method `cam` they are adapted for this alone.
        rib: Settings of the adaptation.
    """

    method: Literal["cam", "rib"] = "cam"
    scales: tuple[float, ...] = (1.0, 0.5, 1.5, 2.0)
    splits: tuple[SplitName, ...] = ("train",)
    compared_images: int = 0
    rib: RIBConfig = field(default_factory=RIBConfig)


@dataclass(frozen=True)
class CRFConfig:
    """The fully connected CRF that moves label borders onto the image's; the defaults are IRN's released settings.

    Args:
        gaussian: Standard deviation in pixels and weight of the kernel on positions.
        bilateral: Standard deviations in pixels and in colour levels, and weight, of the kernel on both.
        certainty: Probability of the label that the seed gives; the other labels share the rest.
        iterations: Updates of the mean field.
    """

    gaussian: tuple[float, float] = (3.0, 3.0)
    bilateral: tuple[float, float, float] = (50.0, 5.0, 10.0)
    certainty: float = 0.7
    iterations: int = 10


@dataclass(frozen=True)
class IRNConfig:
    """IRNet and the random walk; used when `refine.method` is `irn`. The defaults are the released settings for VOC.

    Args:
        foreground: Seeds above this, after the CRF, are confident foreground (RIB 0.35).
        background: Seeds below this, after the CRF, are confident background (RIB 0.17).
        name: Backbone.
        weights: As for the classifier; or `classifier`: the backbone of the run's own classifier. It stays fixed.
        epochs: Passes over the training split.
        batch_size: Images per step over all processes together.
        augment: Random changes of the training images; confident labels follow.
        optim: Optimiser and schedule; the head is the displacement branch.
        radius: Pairs of pixels in the losses are closer than this many cells of 4 pixels.
        pad_px: Images are zero-padded to this side before edges are inferred, as released for VOC; null for none, as
            for COCO.
        walk_radius: Steps of the random walk are shorter than this many cells.
        walk_beta: Power of the affinities.
        walk_doublings: The walk has 2^this many steps.
        seed_power: Power of the seeds before the walk (RIB 1.3).
        instances: Also find instances, and score them where the data set has true ones.
        instance_threshold: Pixels whose instances all score at most this are background.
    """

    foreground: float = 0.3
    background: float = 0.05
    name: BackboneName = "resnet50"
    weights: str = "imagenet"
    epochs: int = 3
    batch_size: int = 32
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    radius: int = 10
    pad_px: int | None = 512
    walk_radius: int = 5
    walk_beta: float = 10.0
    walk_doublings: int = 8
    seed_power: float = 1.0
    instances: bool = False
    instance_threshold: float = 0.25


@dataclass(frozen=True)
class PSAConfig:
    """AffinityNet and its walk; used when `refine.method` is `psa`. The defaults are the paper's.

    Args:
        low_alpha: The background competes with the seeds at (1 - largest map)^alpha. What is foreground at this low
            power, after the CRF, is sure to be.
        high_alpha: What is background at this high power is sure to be, too.
        walk_alpha: The power in the walk.
        name: Backbone.
        weights: As for the classifier; or `classifier`: the backbone of the run's own classifier. It learns, too.
        freeze_trunk: Train only the layers above the backbone's trunk.
        fixed_norm: Keep batch norm on its running statistics while training.
        epochs: Passes over the training split.
        batch_size: Images per step over all processes together.
        augment: Random changes of the training images; sure labels follow.
        optim: Optimiser and schedule; the head are the 1x1 convolutions.
        radius: Pairs of pixels, in losses and walk, are closer than this many cells of 8 pixels.
        walk_beta: Power of the affinities.
        walk_doublings: The walk has 2^this many steps.
        gaussian: Standard deviation in pixels and weight of the CRF's kernel on positions.
        bilateral: Standard deviations in pixels and in colour levels, and weight, of its kernel on both.
        crf_iterations: Updates of its mean field.
        final_crf: Whether the walked scores go through the CRF as well.
    """

    low_alpha: float = 4.0
    high_alpha: float = 24.0
    walk_alpha: float = 16.0
    name: Literal["critter38", "resnet38"] = "resnet38"
    weights: str = "classifier"
    freeze_trunk: bool = True
    fixed_norm: bool = True
    epochs: int = 8
    batch_size: int = 8
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    radius: int = 5
    walk_beta: float = 8.0
    walk_doublings: int = 8
    gaussian: tuple[float, float] = (3.0, 3.0)
    bilateral: tuple[float, float, float] = (80.0, 13.0, 10.0)
    crf_iterations: int = 10
    final_crf: bool = False


@dataclass(frozen=True)
class RefineConfig:
    """Stage `refine`: from seeds to pseudo masks.

    Args:
        method: `none`: background where every map is at most the threshold, else the class with the largest map;
            `crf`: the same, then borders moved by the CRF; `irn`: seeds spread by a random walk up to the edges that
            IRNet has learnt from confident labels, then the same; `psa`: seeds and background walk along affinities
            that AffinityNet has learnt.
        background_threshold: That threshold, 0..1. IRN 0.25; with RIB's seeds 0.27 (COCO 0.22). `psa` has none.
        crf: Settings of the CRF, for `crf` and for the confident labels of `irn`.
        irn: Settings of IRNet and the walk.
        psa: Settings of AffinityNet and the walk.
    """

    method: Literal["none", "crf", "irn", "psa"] = "none"
    background_threshold: float = 0.15
    crf: CRFConfig = field(default_factory=CRFConfig)
    irn: IRNConfig = field(default_factory=IRNConfig)
    psa: PSAConfig = field(default_factory=PSAConfig)


@dataclass(frozen=True)
class SegmenterConfig:
    """Stage `segment`: the segmentation network trained on the pseudo masks.

    Args:
        name: Backbone of the DeepLab-v2 network.
        weights: As for the classifier; or `classifier`: the backbone of the run's own classifier.
        aspp_rates: Dilations of the parallel 3x3 convolutions that predict the labels.
        fixed_norm: Keep batch norm on its running statistics while training.
        epochs: Passes over the training split.
        batch_size: Images per step over all processes together.
        augment: Random changes of the training images; masks follow.
        optim: Optimiser and schedule.
    """

    name: BackboneName = "resnet101"
    weights: str = "imagenet"
    aspp_rates: tuple[int, ...] = (6, 12, 18, 24)
    fixed_norm: bool = True
    epochs: int = 30
    batch_size: int = 10
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)


@dataclass(frozen=True)
class EvaluateConfig:
    """Stage `evaluate`: the network's masks of the validation split, and numbers where there are truth masks.

    Args:
        scales: Factors an image is resized by when the network predicts it, here and in `weakseg predict`;
            probabilities are averaged.
        flip: Whether each of them is also predicted mirrored.
        threshold_steps: The sweep tries this many background thresholds, evenly spaced within 0..1.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    threshold_steps: int = 100


@dataclass(frozen=True)
class ReportConfig:
    """Stage `report`: one self-contained HTML file.

    Args:
        title: Heading of the report; the run's name when null.
        gallery_images: How many images the gallery shows, worst first.
    """

    title: str | None = None
    gallery_images: int = 24


@dataclass(frozen=True)
class RuntimeConfig:
    """How to compute; changes no result but for rounding, and no fingerprint.

    Args:
        device: `auto` takes a CUDA GPU when there is one; or `cpu`, `cuda`, `cuda:1`, ...
        workers: Processes that decode and augment images; 0 does it in the main process.
        seed: Seed of initialisation, shuffling and augmentation. Unlike the others it does change results, and it
            is part of the fingerprint of every stage that draws at random.
        max_partners_at_once: RIB passes so many partners through the network together; less needs less memory. Null
            for all.
    """

    device: str = "auto"
    workers: int = 2
    seed: int = 0
    max_partners_at_once: int | None = None


@dataclass(frozen=True)
class RunConfig:
    """A whole recipe.

    Args:
        data: Which tagged images to learn from.
        classifier: Stage `classify`.
        localize: Stage `localize`.
        refine: Stage `refine`.
        segmenter: Stage `segment`.
        evaluate: Stage `evaluate`.
        report: Stage `report`.
        runtime: How to compute.
    """

    data: DataConfig = field(default_factory=DataConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    localize: LocalizeConfig = field(default_factory=LocalizeConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    segmenter: SegmenterConfig = field(default_factory=SegmenterConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
