"""What the studies of methods train: for one seed, the runs of every method and of every refinement of its seeds.

Each is an ordinary run folder, made by the ordinary stages, so that a study goes on where it was interrupted. Runs of
one seed share their data; a run shares the finished stages of another from which it differs only later:

    <root>/data/           the generated images
    <root>/cam/            classifier and seeds; rib/ has the classifier of cam/
    <root>/cam-crf-0.1/    those, and masks
    <root>/backbone/       the classifier whose backbone IRNet stands on, if the recipe's has another one
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from weakseg.config.chosen import needs_classifier
from weakseg.config.schema import RunConfig, SplitName
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, ConfigError
from weakseg.models.seam import SEAM_NAMES
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.localizers import why_no_classifier
from weakseg.pipeline.records import read_records
from weakseg.pipeline.runner import Context, run_stages
from weakseg.pipeline.sharing import share_stages
from weakseg.pipeline.stages import STAGES
from weakseg.pipeline.threshold import require_number
from weakseg.registry import LOCALIZERS, REFINERS
from weakseg.scoring.truth import digest_truth

CLASSIFY, LOCALIZE = STAGES[:2]

BACKBONE = "backbone"
"""Run folder of the classifier that is trained for its backbone alone."""


@dataclass(frozen=True)
class Method:
    """A way to get seeds.

    Args:
        name: As on the command line, and name of its run folder.
        label: As the table shows it.
        configure: Returns the recipe with this method and no other one, but for the objects that CDA pastes.
        classifier_of: Another method whose classifier this one uses, or None if it trains its own.
    """

    name: str
    label: str
    configure: Callable[[RunConfig], RunConfig]
    classifier_of: str | None = None


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


def _plain(config: RunConfig) -> RunConfig:
    cda = replace(config.classifier.cda, masks=None)
    return replace(
        config,
        classifier=replace(config.classifier, method="plain", cda=cda),
        localize=replace(config.localize, method="cam"),
    )


def _rib(config: RunConfig) -> RunConfig:
    plain = _plain(config)
    return replace(plain, localize=replace(plain.localize, method="rib"))


def _seam(config: RunConfig) -> RunConfig:
    plain = _plain(config)
    if plain.classifier.name not in SEAM_NAMES:
        raise ConfigError(
            f"classifier.name: expected one of {', '.join(SEAM_NAMES)}, on which SEAM stands, got "
            f"{plain.classifier.name}; leave seam out of --methods, or take one of them for all methods"
        )
    return replace(plain, classifier=replace(plain.classifier, method="seam"))


def _cda(config: RunConfig) -> RunConfig:
    """CDA's epochs have twice the steps, so it gets half as many."""
    plain = _plain(config)
    if plain.classifier.epochs % 2:
        raise ConfigError(
            "classifier.epochs: expected an even number, since an epoch of CDA has twice the steps and the study gives "
            f"it half as many, got {plain.classifier.epochs}"
        )
    return replace(plain, classifier=replace(plain.classifier, epochs=plain.classifier.epochs // 2))


def _localize_by(config: RunConfig, *, name: str) -> RunConfig:
    plain = _plain(config)
    return replace(plain, localize=replace(plain.localize, method=name))


METHODS = {
    method.name: method
    for method in (
        Method("cam", "CAM", _plain),
        Method("rib", "RIB", _rib, classifier_of="cam"),
        Method("seam", "SEAM", _seam),
        Method("cda", "CDA", _cda),
        *(
            Method(name, name.upper(), partial(_localize_by, name=name), classifier_of="cam")
            for name in LOCALIZERS.names()
            if name not in ("cam", "rib")
        ),
    )
}
"""Every method, in the order of the table; localisers of other packages last."""


def usual_methods() -> tuple[str, ...]:
    """Return the methods that a study has unless some are named.

    A localiser that needs no classifier has learned elsewhere, and needs weights from there: it has to be named.
    """
    others = [name for name in LOCALIZERS.names() if not LOCALIZERS.load(name).needs_classifier]
    return tuple(name for name in METHODS if name not in others)


OTHER_REFINEMENTS = tuple(name for name in REFINERS.names() if name not in ("none", "crf", "psa", "irn"))
"""Refiners without a column of their own making: their masks are scored as the recipe has them."""

REFINEMENTS = ("crf", "psa", "irn", *OTHER_REFINEMENTS)
"""What makes masks of seeds, as `refine.method` has it, in the order of the table."""


def configure_method(config: RunConfig, name: str) -> RunConfig:
    """Return the recipe with one method; without CDA's objects, which come from a run.

    Raises:
        ConfigError: If the method cannot have this recipe.
    """
    return METHODS[name].configure(config)


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
    return replace(
        config,
        localize=replace(config.localize, splits=splits, compared_images=0),
        refine=replace(config.refine, irn=replace(config.refine.irn, instances=False)),
    )


class SeedRuns:
    """The runs of one seed. Each is made when it is asked for, together with those it needs.

    Args:
        config: The recipe with its seed, see `restrict_config`.
        root: Their folder.
    """

    def __init__(self, config: RunConfig, root: Path) -> None:
        if config.data.name == "critters":
            # Named here, every single run can also be looked at, and gone on with, by itself.
            data = RunFolder(root.absolute()).generated_data
            config = replace(config, data=replace(config.data, root=str(data)))
        self.context = prepare(config, RunFolder(root))
        self._seeded: dict[str, Context] = {}
        self._truth_digests: dict[str, str] = {}

    def digest_truth(self, split: str) -> str:
        """Digest the truth masks of the split `train` or `val`; once, since there may be many."""
        if split not in self._truth_digests:
            dataset = self.context.train if split == "train" else self.context.val
            assert dataset is not None, "see `require_truth`"
            self._truth_digests[split] = digest_truth(dataset)
        return self._truth_digests[split]

    def seeds(self, name: str) -> Context:
        """Train a method's classifier and compute its seeds, or return the run that has them."""
        if name not in self._seeded:
            self._seeded[name] = self._make_seeds(name)
        return self._seeded[name]

    def _make_seeds(self, name: str) -> Context:
        method = METHODS[name]
        config = method.configure(self.context.config)
        if name == "cda":
            config = self._with_donors(config)
        context = self._open(name, config)
        if method.classifier_of is not None and not why_no_classifier(context):
            shared = self.seeds(method.classifier_of)
            share_stages(shared.folder, context.folder, [CLASSIFY])
        run_stages(context, STAGES, only="classify")
        run_stages(context, STAGES, only="localize")
        return context

    def masks(self, name: str, refinement: Refinement) -> Context:
        """Refine a method's seeds."""
        seeds = self.seeds(name)
        context = self._open(f"{name}-{refinement.name}", self._refined(seeds.config, refinement))
        share_stages(seeds.folder, context.folder, [LOCALIZE] if why_no_classifier(seeds) else [CLASSIFY, LOCALIZE])
        run_stages(context, STAGES, only="refine")
        return context

    def donor_refinement(self) -> Refinement:
        """Return what makes the masks of CAM's seeds that CDA's objects are cut out by: as the recipe says, by CRF."""
        return Refinement("crf", require_number(self.context.config.refine))

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
