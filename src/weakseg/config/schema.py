"""A whole recipe as frozen dataclasses: one section per stage, one field per setting.

The docstring of a field is its help text on the command line. A stage unpacks its section into explicit arguments;
nothing below `weakseg.pipeline` sees these classes. Values that depend on a data set live in the YAML recipes beside
this file; the defaults are those of the released VOC settings where one exists. The settings of localisers and
refiners stand beside them, in `weakseg.localize`, `weakseg.refine` or another package; `sections` asks the registry.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weakseg.config.sections.classifier import CDAConfig, ClassifierConfig, ClassifierName, SEAMConfig
from weakseg.config.sections.data import CrittersConfig, DataConfig, DatasetName
from weakseg.config.sections.evaluate import EvaluateConfig, ReportConfig, SegmenterCRFConfig
from weakseg.config.sections.localize import LocalizeConfig, SplitName
from weakseg.config.sections.refine import RefineConfig, SaliencyConfig
from weakseg.config.sections.runtime import RuntimeConfig
from weakseg.config.sections.segmenter import SegmenterConfig
from weakseg.config.sections.training import AugmentConfig, BackboneName, OptimConfig, ScheduleName

__all__ = [
    "AugmentConfig",
    "BackboneName",
    "CDAConfig",
    "ClassifierConfig",
    "ClassifierName",
    "CrittersConfig",
    "DataConfig",
    "DatasetName",
    "EvaluateConfig",
    "LocalizeConfig",
    "OptimConfig",
    "RefineConfig",
    "ReportConfig",
    "RunConfig",
    "RuntimeConfig",
    "SEAMConfig",
    "SaliencyConfig",
    "ScheduleName",
    "SegmenterCRFConfig",
    "SegmenterConfig",
    "SplitName",
]


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
