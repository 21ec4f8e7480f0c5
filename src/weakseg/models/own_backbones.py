"""What the backbones say of themselves that `weakseg.models.backbones` builds; a new one is a file of its own.

`weakseg.models.licences` tells more of where weights come from.
"""

from __future__ import annotations

from weakseg.methods import BackboneFacts

LITE_SOURCE, LITE_LICENCE = "Google's TPU release, converted by ML Illustrated", "Apache-2.0"
LITE_STRIDES_PX = (8, 16, 32)
TORCHVISION_SOURCE, TORCHVISION_LICENCE = "torchvision's IMAGENET1K_V1", "BSD-3-Clause"
RESNET38_SOURCE, RESNET38_LICENCE = "the authors' MXNet file, Model A1 of github.com/itijyou/ademxapp", "Apache-2.0"

CRITTER = BackboneFacts(
    name="critter", summary="a small ResNet for drawn images and tests, stride 8", source="", licence="MIT"
)
CRITTER38 = BackboneFacts(
    name="critter38",
    summary="a small ResNet-38 for drawn images and tests, stride 8",
    source="",
    licence="MIT",
    stages=False,
    levels=True,
)
EFFICIENTNET_LITE0 = BackboneFacts(
    name="efficientnet_lite0",
    summary="for photographs on a laptop, stride 16; its weights come with weakseg",
    source=LITE_SOURCE,
    licence=LITE_LICENCE,
    levels=True,
    training_strides_px=LITE_STRIDES_PX,
)
EFFICIENTNET_LITE1 = BackboneFacts(
    name="efficientnet_lite1",
    summary="deeper than lite0",
    source=LITE_SOURCE,
    licence=LITE_LICENCE,
    levels=True,
    training_strides_px=LITE_STRIDES_PX,
)
EFFICIENTNET_LITE2 = BackboneFacts(
    name="efficientnet_lite2",
    summary="deeper and wider than lite0",
    source=LITE_SOURCE,
    licence=LITE_LICENCE,
    levels=True,
    training_strides_px=LITE_STRIDES_PX,
)
RESNET18 = BackboneFacts(
    name="resnet18", summary="the smallest ResNet, stride 16", source=TORCHVISION_SOURCE, licence=TORCHVISION_LICENCE
)
RESNET38 = BackboneFacts(
    name="resnet38",
    summary="the wide network of AffinityNet and SEAM, stride 8",
    source=f"{RESNET38_SOURCE}, yours to bring",
    licence=RESNET38_LICENCE,
    stages=False,
    levels=True,
)
RESNET50 = BackboneFacts(
    name="resnet50",
    summary="the network of IRN and RIB, stride 16",
    source=TORCHVISION_SOURCE,
    licence=TORCHVISION_LICENCE,
)
RESNET101 = BackboneFacts(
    name="resnet101", summary="the network of DeepLab-v2", source=TORCHVISION_SOURCE, licence=TORCHVISION_LICENCE
)
