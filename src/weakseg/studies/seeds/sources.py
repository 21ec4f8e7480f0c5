"""What the study of seeds compares: the seeds or label maps of several runs on the same images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, ConfigError, UsageError
from weakseg.pipeline.artifacts import RunFolder, load_seed
from weakseg.pipeline.comparison import choose_compared, compared_iterations
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.opening import open_run
from weakseg.pipeline.records import digest_parts, read_records
from weakseg.studies.seeds.truth import TruthReader, open_part_maps, survey_truth

SUBJECTS = {"seeds": "localize", "masks": "refine", "predictions": "evaluate", "adaptations": "localize"}
"""What can be compared, with the stage that makes it."""

ROLES = ("train", "val")


@dataclass(frozen=True)
class Source:
    """One side of the comparison.

    Args:
        label: Its name in the table.
        key: Names its result files; another result of a run has another key.
        file: Returns the file of an image: a seed, or a label map if the study's subject has no threshold.
        is_seed: Which of the two.
    """

    label: str
    key: str
    file: Callable[[str], Path]
    is_seed: bool

    def size_hw(self, sample_id: str) -> tuple[int, int]:
        """Return the (height, width) of an image's label map."""
        if self.is_seed:
            return load_seed(self.file(sample_id)).size_hw
        height, width = read_mask(self.file(sample_id)).shape
        return height, width


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is compared with what.

    Args:
        subject: One of `SUBJECTS`.
        contexts: The runs, in the order of the command line.
        sources: The sides; one per run, or per number of iterations of a single run.
        reader: Reads the truth; its dataset holds the images that all sides have and that have a usable truth.
        data_digest: Digest of the split's images and tags.
        truth_digest: Digest of the images' ids and truth.
    """

    subject: str
    contexts: tuple[Context, ...]
    sources: tuple[Source, ...]
    reader: TruthReader
    data_digest: str
    truth_digest: str

    @property
    def dataset(self) -> Dataset:
        """The images."""
        return self.reader.dataset

    @property
    def has_threshold(self) -> bool:
        """Whether what is compared needs a background threshold."""
        return self.sources[0].is_seed

    @property
    def given_tags(self) -> bool:
        """Whether the images' own tags were given."""
        return self.subject != "predictions"


def open_comparison(runs: Sequence[Path], *, subject: str, role: str | None, labels: Sequence[str]) -> Comparison:
    """Open runs and make sure that they can be compared.

    Args:
        runs: Run folders, one or more.
        subject: One of `SUBJECTS`; `adaptations` are those of one run.
        role: `train` or `val` as the recipes mean them; None for `val`, or for the split that has adaptations.
        labels: Names of the runs; their folders' names if there are none.

    Raises:
        UsageError: If a choice is none of the valid ones or does not fit the number of runs.
        ArtifactError: If a folder is no run, or lacks what is compared.
        ConfigError: If the runs are not of the same images, tags and classes.
        DataError: If no image has a truth mask.
    """
    if subject not in SUBJECTS:
        raise UsageError(f"--what: expected one of {', '.join(SUBJECTS)}, got '{subject}'")
    if role is not None and role not in ROLES:
        raise UsageError(f"--split: expected one of {', '.join(ROLES)}, got '{role}'")
    if subject == "adaptations" and len(runs) != 1:
        raise UsageError(f"--what adaptations: expected one run, whose iterations are compared, got {len(runs)}")
    if subject == "predictions" and role == "train":
        raise UsageError("--split train: predictions are made of the validation split only; use --split val")
    names = _name_runs(runs, labels)
    contexts = tuple(map(open_run, runs))
    if subject == "adaptations":
        dataset, role = _choose_adapted(contexts[0], role)
    else:
        role = role or "val"
        dataset = _choose_images(contexts, subject, role)
    _require_same_data(contexts, role)
    sources = _list_sources(contexts, names, subject)
    _require_files(sources, dataset, subject)
    reader = TruthReader(dataset, open_part_maps(contexts[0]))
    usable, truth_digest = survey_truth(reader, sources[0].size_hw)
    return Comparison(
        subject=subject,
        contexts=contexts,
        sources=sources,
        reader=replace(reader, dataset=usable),
        data_digest=contexts[0].digests[role],
        truth_digest=truth_digest,
    )


def _name_runs(runs: Sequence[Path], labels: Sequence[str]) -> tuple[str, ...]:
    if labels and len(labels) != len(runs):
        raise UsageError(f"--labels: expected one per run, which are {len(runs)}, got {len(labels)}")
    names = tuple(labels) or tuple(run.resolve().name for run in runs)
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise UsageError(f"two runs are called '{repeated[0]}'; give each a name of its own with --labels")
    return names


def _choose_images(contexts: Sequence[Context], subject: str, role: str) -> Dataset:
    """Return the images of a split of which every run has what is compared."""
    chosen: Dataset | None = None
    for context in contexts:
        run, whole = context.folder.root, context.train if role == "train" else context.val
        if whole is None:
            raise ArtifactError(f"{run} has no validation split (data.val); use --split train")
        own = {sample.id for sample in whole}
        if subject != "predictions":
            if role not in context.config.localize.splits:
                raise ArtifactError(
                    f"{run} has no {subject} of {whole.split}: localize.splits is "
                    f"{list(context.config.localize.splits)}; choose another --split"
                )
            own &= {sample.id for dataset in seeded_datasets(context) for sample in dataset}
        chosen = (whole if chosen is None else chosen).keep(own)
    assert chosen is not None, "no runs"
    return chosen


def _choose_adapted(context: Context, role: str | None) -> tuple[Dataset, str]:
    """Return the images whose adaptation the run has kept, and the name of their split."""
    compared = choose_compared(context.config.localize, seeded_datasets(context))
    if compared is None:
        raise ArtifactError(
            f"{context.folder.root} has kept no adaptations; set localize.compared_images and run 'weakseg localize'"
        )
    own = "train" if compared.split == context.train.split else "val"
    if role not in (None, own):
        raise UsageError(f"--split {role}: the adaptations are of '{own}', the last split of localize.splits there is")
    return compared, own


def _require_same_data(contexts: Sequence[Context], role: str) -> None:
    first = contexts[0]
    for other in contexts[1:]:
        if other.digests.get(role) != first.digests.get(role):
            raise ConfigError(
                f"{first.folder.root} and {other.folder.root} cannot be compared: the images, tags or classes of their "
                f"split '{role}' differ; compare runs of one data set, or choose another --split"
            )


def _list_sources(contexts: Sequence[Context], names: Sequence[str], subject: str) -> tuple[Source, ...]:
    stage = SUBJECTS[subject]
    sources = []
    for context, name in zip(contexts, names, strict=True):
        run, folder = context.folder.root, context.folder
        record = read_records(folder).get(stage)
        if record is None or not record.finished:
            raise ArtifactError(f"{run} lacks the finished stage '{stage}'; run 'weakseg {stage} {run}' first")
        if subject == "adaptations":
            for number in compared_iterations(context.config.localize):
                label = f"RIB, k = {number}" if number else "CAM"
                key = digest_parts({"result": record.fingerprint, "iterations": number})
                sources.append(Source(label, key, _adaptation_file(folder, number), is_seed=True))
        else:
            files = {"seeds": folder.seed, "masks": folder.mask, "predictions": folder.prediction}
            key = digest_parts({"result": record.fingerprint, "subject": subject})
            sources.append(Source(name, key, files[subject], is_seed=subject == "seeds"))
    return tuple(sources)


def _adaptation_file(folder: RunFolder, number: int) -> Callable[[str], Path]:
    return lambda sample_id: folder.adaptation(number, sample_id)


def _require_files(sources: Sequence[Source], dataset: Dataset, subject: str) -> None:
    for source in sources:
        missing = [sample.id for sample in dataset if not source.file(sample.id).is_file()]
        if missing:
            raise ArtifactError(
                f"{source.label} lacks the {subject} of {len(missing)} of {len(dataset)} images of {dataset.split}, "
                f"such as {source.file(missing[0])}; run the stage '{SUBJECTS[subject]}' again"
            )
