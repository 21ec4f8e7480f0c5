"""The stage `localize` of a method whose maps are averaged, made from what the same method without averages has left.

The result is what the stage would give by itself; only what both have in common is not done twice: an adaptation to
every image, or a first look at all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weakseg.config.chosen import localizer_facts
from weakseg.data.images import ShrunkImage
from weakseg.localize.score_maps import smooth_score_maps
from weakseg.pipeline.artifacts import load_seed, load_stop_reason, save_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import process_pending, seeded_datasets
from weakseg.pipeline.networks import load_classifier
from weakseg.pipeline.sharing import share_files
from weakseg.pipeline.stage import Stage
from weakseg.pipeline.stages import STAGES, localize
from weakseg.train.distributed import wait_for_all
from weakseg.types import Sample


def averaging_stages(plain: Context) -> Sequence[Stage]:
    """Return all stages, with one that localises from the run of the same method without averages.

    Args:
        plain: That run; its stage `localize` is finished.
    """

    def run(context: Context) -> str:
        facts = localizer_facts(context.config.localize)
        assert facts is not None, "the same method has just been used"
        if not facts.smooths:
            return _average_seeds(plain, context)
        for name in facts.files:
            share_files(plain.folder.localizer / name, context.folder.localizer / name)
        wait_for_all()
        return localize(context)

    return [replace(stage, run=run) if stage.name == "localize" else stage for stage in STAGES]


def _average_seeds(plain: Context, context: Context) -> str:
    section = context.config.localize
    temperature = section.similarity_temperature
    assert temperature is not None, "see `weakseg.studies.methods.rows`"
    classifier, _ = load_classifier(context.folder.network("classifier").model, context.device)
    datasets = seeded_datasets(context)

    def average(sample: Sample, image: ShrunkImage) -> None:
        path = plain.folder.seed(sample.id)
        seed = load_seed(path)
        seed = replace(seed, scales=tuple(maps.to(context.device) for maps in seed.scales))
        (maps,) = smooth_score_maps(
            classifier, image.pixels, [seed], scales=section.scales, similarity_temperature=temperature
        )
        save_seed(context.folder.seed(sample.id), maps, stopped_by=load_stop_reason(path))

    process_pending(
        context,
        datasets,
        context.folder.seed,
        average,
        label="averaging seeds",
        side_by_side=context.device.type == "cpu",
    )
    return f"{section.method} seeds of {sum(map(len, datasets))} images, averaged"
