"""What the studies of methods train: for one seed, the runs of every method and of every refinement of its seeds.

Each is an ordinary run folder, made by the ordinary stages, so that a study goes on where it was interrupted. Runs of
one seed share their data; a run shares the finished stages of another from which it differs only later:

    <root>/data/           the generated images
    <root>/cam/            classifier and seeds; rib/ has the classifier of cam/
    <root>/cam-crf-0.1/    those, and masks
    <root>/cam-crf/        those, and what the CRF makes of them at many thresholds
    <root>/backbone/       the classifier whose backbone IRNet stands on, if the recipe's has another one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from weakseg.config.chosen import needs_classifier
from weakseg.config.schema import RunConfig, SplitName
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, ConfigError
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.localizers import why_no_classifier
from weakseg.pipeline.records import read_records
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.sharing import share_stages
from weakseg.pipeline.stages import STAGES
from weakseg.registry import REFINERS
from weakseg.scoring.truth import digest_truth
from weakseg.studies.methods.averaging import averaging_stages
from weakseg.studies.methods.fixed import fixed_threshold
from weakseg.studies.methods.offers import take_classifier
from weakseg.studies.methods.rows import AVERAGED, METHODS
from weakseg.studies.methods.sample import sample_images

CLASSIFY, LOCALIZE = STAGES[:2]

BACKBONE = "backbone"
"""Run folder of the classifier that is trained for its backbone alone."""


@dataclass(frozen=True)
class Refinement:
    """A way to turn seeds into masks.

    Args:
        method: As `refine.method` has it.
        threshold: Background threshold of the masks; None for the recipe's.
    """

    method: str
    threshold: float | None = None

    @property
    def name(self) -> str:
        """Its part of a run folder's name."""
        return self.method if self.threshold is None else f"{self.method}-{self.threshold:.12g}"


OTHER_REFINEMENTS = tuple(name for name in REFINERS.names() if name not in ("none", "crf", "psa", "irn"))
"""Refiners without a column of their own making: their masks are scored as the recipe has them."""

REFINEMENTS = ("crf", "psa", "irn", *OTHER_REFINEMENTS)
"""What makes masks of seeds, as `refine.method` has it, in the order of the table."""


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """Return the recipe with a seed, of the networks and of the generated images alike."""
    critters = replace(config.data.critters, seed=seed)
    return replace(config, data=replace(config.data, critters=critters), runtime=replace(config.runtime, seed=seed))


def restrict_config(config: RunConfig, *, split: str) -> RunConfig:
    """Return the recipe without what a study of methods does not look at.

    Args:
        config: The recipe.
        split: The split to score; seeds of `train` are needed in any case.

    Raises:
        ConfigError: If the recipe gives a place for generated data, of which a study needs several, or released
            networks, which know nothing of a study's methods, seeds and budgets.
    """
    for setting, file in (
        ("classifier", config.classifier.released),
        ("refine.irn", config.refine.irn.released),
        ("refine.psa", config.refine.psa.released),
    ):
        if file is not None:
            raise ConfigError(
                f"{setting}.released: a study of methods trains its networks, all with the same budget; leave it out, "
                f"got {file}"
            )
    if config.data.name == "critters" and config.data.root is not None:
        raise ConfigError(
            f"data.root: a study draws critters for every seed in its own folder; leave it out, got {config.data.root}"
        )
    splits: tuple[SplitName, ...] = ("train",) if split == "train" else ("train", "val")
    irn = replace(config.refine.irn, instances=False)
    return replace(
        config,
        localize=replace(config.localize, splits=splits, compared_images=0),
        # How sure masks are is a thing of segmenters; it triples the CRF's work. A run of the study can go on to one.
        refine=replace(config.refine, irn=irn, confidence=False, stable_within=(1.0, 1.0)),
        segmenter=replace(config.segmenter, ignore_below=0.0),
    )


class SeedRuns:
    """The runs of one seed. Each is made when it is asked for, together with those it needs.

    Args:
        config: The recipe with its seed, see `restrict_config`.
        root: Their folder.
        images: So many images of each split get seeds and masks, see `sample_images`; all if None.
        offers: Finished runs whose classifiers may be taken where all their settings agree.
    """

    def __init__(
        self, config: RunConfig, root: Path, *, images: int | None = None, offers: Sequence[RunFolder] = ()
    ) -> None:
        if config.data.name == "critters":
            # Named here, every single run can also be looked at, and gone on with, by itself.
            data = RunFolder(root.absolute()).generated_data
            config = replace(config, data=replace(config.data, root=str(data)))
        context = prepare(config, RunFolder(root))
        self.context = context if images is None else replace(context, only=sample_images(context, images))
        self.offers = offers
        self._seeded: dict[str, Context] = {}
        self._truth_digests: dict[str, str] = {}

    def digest_truth(self, split: str) -> str:
        """Digest the truth masks of the scored images of `train` or `val`; once, since there may be many."""
        if split not in self._truth_digests:
            dataset = self.context.train if split == "train" else self.context.val
            assert dataset is not None, "see `require_truth`"
            only = self.context.only
            self._truth_digests[split] = digest_truth(dataset if only is None else dataset.keep(only))
        return self._truth_digests[split]

    def seeds(self, name: str) -> Context:
        """Train a method's classifier and compute its seeds, or return the run that has them."""
        if name not in self._seeded:
            self._seeded[name] = self._make_seeds(name)
        return self._seeded[name]

    def _make_seeds(self, name: str) -> Context:
        method = METHODS[name]
        config = method.configure(self.context.config)
        if name.removesuffix(AVERAGED) == "cda":
            config = self._with_donors(config)
        context = self._open(name, config)
        if method.classifier_of is not None and not why_no_classifier(context):
            shared = self.seeds(method.classifier_of)
            share_stages(shared.folder, context.folder, [CLASSIFY])
        else:
            take_classifier(context, self.offers)
        run_stages(context, STAGES, only="classify")
        stages = STAGES if method.averages is None else averaging_stages(self.seeds(method.averages))
        run_stages(context, stages, only="localize")
        return context

    def masks(self, name: str, refinement: Refinement) -> Context:
        """Refine a method's seeds."""
        context = self.open_masks(name, refinement)
        run_stages(context, STAGES, only="refine")
        return context

    def open_masks(self, name: str, refinement: Refinement) -> Context:
        """Open the run of a method's seeds and one refinement, of which there are no masks yet."""
        seeds = self.seeds(name)
        context = self._open(f"{name}-{refinement.name}", self._refined(seeds.config, refinement))
        share_stages(seeds.folder, context.folder, [LOCALIZE] if why_no_classifier(seeds) else [CLASSIFY, LOCALIZE])
        return context

    def donor_refinement(self) -> Refinement:
        """Return what makes the masks of CAM's seeds that CDA's objects are cut out by: the CRF at the fixed number."""
        return Refinement("crf", fixed_threshold(self.context.config))

    def _open(self, name: str, config: RunConfig) -> Context:
        return replace(self.context, config=config, folder=RunFolder(self.context.folder.root / name))

    def _with_donors(self, config: RunConfig) -> RunConfig:
        donors = self.masks("cam", self.donor_refinement()).folder.root.absolute()
        cda = replace(config.classifier.cda, masks=str(donors))
        return replace(config, classifier=replace(config.classifier, cda=cda))

    def _refined(self, config: RunConfig, refinement: Refinement) -> RunConfig:
        refine = config.refine
        if refinement.threshold is not None:
            refine = replace(refine, background_threshold=refinement.threshold)
        if refinement.method != "irn":
            return replace(config, refine=replace(refine, method=refinement.method))
        weights = self._irn_weights(config)
        return replace(config, refine=replace(refine, method="irn", irn=replace(refine.irn, weights=weights)))

    def _irn_weights(self, config: RunConfig) -> str:
        """Return where IRNet's backbone comes from.

        It cannot be that of a classifier of another kind, or of none. One of its own kind is then trained as CAM's is,
        once for all methods, as the released IRN stands on a network of its own.
        """
        irn = self.context.config.refine.irn
        if irn.weights != "classifier" or (irn.name == config.classifier.name and needs_classifier(config.localize)):
            return irn.weights
        plain = METHODS["cam"].configure(self.context.config)
        context = self._open(BACKBONE, replace(plain, classifier=replace(plain.classifier, name=irn.name)))
        take_classifier(context, self.offers)
        run_stages(context, STAGES, only="classify")
        return str(context.folder.network("classifier").model.absolute())


def count_updates(context: Context) -> int:
    """Return how many updates a run's classifier has made in one process: all batches are full; 0 without one.

    With CDA half of a batch are pasted twins, unless no object was found, which makes the training an ordinary one.
    """
    if why_no_classifier(context):
        return 0
    config = context.config.classifier
    images = config.batch_size // 2 if _has_donors(context) else config.batch_size
    return config.epochs * max(1, len(context.train) // images)


def _has_donors(context: Context) -> bool:
    path = context.folder.network("classifier").donors
    if context.config.classifier.cda.masks is None:
        return False
    try:
        return any(entry["kept"] for entry in decode_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} is missing or damaged ({error}); delete {context.folder.root} and start the study again"
        ) from None


def stage_seconds(context: Context, stage: str) -> float:
    """Return the seconds that a finished stage of a run took; those of a shared one where it was made.

    A stage that the run does without takes none.
    """
    record = read_records(context.folder).get(stage)
    return 0.0 if record is None else record.time_s
