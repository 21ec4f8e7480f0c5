"""Where each file of a run lives. `weakseg.pipeline.artifacts` writes and reads them, and passes these names on.

`<id>` is the id of an image as a path that every common file system takes, see `weakseg.file_names.safe_path`.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.masks import PngMasks
from weakseg.file_names import safe_path


@dataclass(frozen=True)
class RunFolder:
    """The layout of one run.

    Args:
        root: The folder; may not exist yet.
    """

    root: Path

    @property
    def recipe(self) -> Path:
        """The resolved configuration, YAML."""
        return self.root / "recipe.yaml"

    @property
    def state(self) -> Path:
        """State, fingerprint, versions and timings of each stage, JSON."""
        return self.root / "run.json"

    @property
    def log(self) -> Path:
        """What the commands that worked on the run have told, with times; text."""
        return self.root / "weakseg.log"

    @property
    def tracking(self) -> Path:
        """Folder of what those keep who follow the run (`runtime.track`)."""
        return self.root / "tracking"

    @property
    def image_index(self) -> Path:
        """What is known about each image file, JSON; a cache."""
        return self.root / "images.json"

    @property
    def shard_index(self) -> Path:
        """Where the images are in the data set's tar shards, JSON; a cache, for other machines."""
        return self.root / "shards.json"

    @property
    def generated_data(self) -> Path:
        """The generated data set, when the recipe has one and gives no other place."""
        return self.root / "data"

    @property
    def seeds(self) -> Path:
        """Folder of score maps, `<id>.npz`."""
        return self.root / "seeds"

    @property
    def localizer(self) -> Path:
        """Folder of what the localiser keeps besides the seeds."""
        return self.root / "localizer"

    @property
    def adaptations(self) -> Path:
        """Folder of the comparison of CAM with RIB, `<updates>/<id>.npz`: score maps of some images during RIB."""
        return self.root / "adaptations"

    @property
    def labels(self) -> Path:
        """Folder of the confident labels that a refiner learns from, `<id>.png`."""
        return self.root / "labels"

    @property
    def instances(self) -> Path:
        """Folder of instances, `<id>.npz`."""
        return self.root / "instances"

    @property
    def detections(self) -> Path:
        """Folder of the instances of each split as COCO's detection results, `<split>.json`."""
        return self.root / "detections"

    @property
    def saliency_index(self) -> Path:
        """What is known about each saliency map, JSON; a cache."""
        return self.root / "saliency.json"

    @property
    def refiner_index(self) -> Path:
        """What is known about each file of others that the refiner reads, JSON; a cache."""
        return self.root / "refiner_files.json"

    @property
    def confidence_maps(self) -> Path:
        """Folder of how sure the pseudo masks are, `<id>.png`, 8-bit grey, 255 for sure."""
        return self.root / "confidence"

    @property
    def threshold(self) -> Path:
        """The background threshold that `auto` has chosen, and every candidate's score, JSON."""
        return self.root / "threshold.json"

    @property
    def seed_threshold(self) -> Path:
        """Where the CRF would cut the seeds, by which `auto` of a refiner's own settings goes, JSON."""
        return self.root / "seed_threshold.json"

    @property
    def masks(self) -> Path:
        """Folder of pseudo masks, `<id>.png`."""
        return self.root / "masks"

    @property
    def mask_index(self) -> Path:
        """What the pseudo masks were when `refine` had written them, JSON; tells which were edited since."""
        return self.root / "masks.json"

    @property
    def predictions(self) -> Path:
        """Folder of the segmenter's masks of the validation split, `<id>.png`."""
        return self.root / "predictions"

    @property
    def corrections(self) -> Path:
        """Folder of what a person has said about images, `<id>.json` and `<id>.png`; no stage writes there."""
        return self.root / "corrections"

    @property
    def taught(self) -> Path:
        """Folder of the corrected masks that the run learns from, `<id>.png`; copied before its first stage."""
        return self.root / "taught"

    @property
    def taught_index(self) -> Path:
        """What the run learns from, JSON; written after the masks, and never changed."""
        return self.root / "taught.json"

    @property
    def evidence(self) -> Path:
        """What speaks against each mask and tag, JSON; a cache of `weakseg review`."""
        return self.root / "review" / "evidence.json"

    @property
    def parts(self) -> Path:
        """Folder of what is known of the parts that images are handed out in; there while they are, see `parts.py`."""
        return self.root / "parts"

    @property
    def queue(self) -> Path:
        """The images in the order in which they should be looked at, CSV."""
        return self.root / "review" / "queue.csv"

    @property
    def doubtful_tags(self) -> Path:
        """The tags that the classifier doubts, CSV."""
        return self.root / "review" / "tags.csv"

    @property
    def metrics(self) -> Path:
        """All numbers, JSON."""
        return self.root / "metrics.json"

    @property
    def image_scores(self) -> Path:
        """IoU of every evaluated image, CSV."""
        return self.root / "image_scores.csv"

    @property
    def mask_health(self) -> Path:
        """What is wrong with every tag's mask, judged without truth, CSV."""
        return self.root / "mask_health.csv"

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.root / "report.html"

    def network(self, kind: str) -> NetworkFolder:
        """Files of the network `classifier`, `refiner` or `segmenter`."""
        return NetworkFolder(self.root / kind)

    def seed(self, sample_id: str) -> Path:
        """Seed file of one image."""
        return self.seeds / f"{safe_path(sample_id)}.npz"

    def adaptation(self, updates: int, sample_id: str) -> Path:
        """Seed file of one image whose adaptation saw so many updates; 0 is CAM."""
        return self.adaptations / str(updates) / f"{safe_path(sample_id)}.npz"

    def label(self, sample_id: str) -> Path:
        """Confident labels of one image."""
        return self.labels / f"{safe_path(sample_id)}.png"

    def instance(self, sample_id: str) -> Path:
        """Instances of one image."""
        return self.instances / f"{safe_path(sample_id)}.npz"

    def detection(self, split: str) -> Path:
        """All instances of one split as COCO's detection results."""
        return self.detections / f"{split}.json"

    def confidence_map(self, sample_id: str) -> Path:
        """How sure the pseudo mask of one image is."""
        return self.confidence_maps / f"{safe_path(sample_id)}.png"

    def mask(self, sample_id: str) -> Path:
        """Pseudo mask of one image."""
        return self.masks / f"{safe_path(sample_id)}.png"

    def prediction(self, sample_id: str) -> Path:
        """The segmenter's mask of one image."""
        return self.predictions / f"{safe_path(sample_id)}.png"

    def ablated(self, key: str, sample_id: str) -> Path:
        """Segmenter's mask of one validation image when it is predicted with less than the recipe says."""
        return self.root / "ablation" / key / f"{safe_path(sample_id)}.png"

    def mask_reader(self) -> PngMasks:
        """Reader of the pseudo masks."""
        return PngMasks((self.masks,))


@dataclass(frozen=True)
class NetworkFolder:
    """Files of one trained network.

    Args:
        root: The folder.
    """

    root: Path

    @property
    def model(self) -> Path:
        """Final weights, safetensors; complete training only."""
        return self.root / "model.safetensors"

    @property
    def checkpoint(self) -> Path:
        """State after the last finished epoch, safetensors; gone once the training is complete."""
        return self.root / "checkpoint.safetensors"

    @property
    def donors(self) -> Path:
        """How many objects of each class were found for pasting, JSON; only with context decoupling."""
        return self.root / "donors.json"

    @property
    def pasted_sheet(self) -> Path:
        """Some images with pasted objects, PNG; only with context decoupling."""
        return self.root / "pasted.png"

    @property
    def history(self) -> Path:
        """One record per epoch, JSON."""
        return self.root / "history.json"


def name_next(root: Path) -> Path:
    """Return a folder for the run that learns from a run: `cats-2` after `cats`, `cats-3` after `cats-2`."""
    root = root if root.name else root.resolve()
    stem, dash, number = root.name.rpartition("-")
    if not (dash and number.isdecimal()):
        stem, number = root.name, "1"
    place = int(number) + 1
    while (root.parent / f"{stem}-{place}").exists():
        place += 1
    return root.parent / f"{stem}-{place}"


def learning_command(root: Path) -> str:
    """Return the command that makes a new run, which learns from the corrections of a run."""
    return f"weakseg run {shlex.quote(str(root))} --out {shlex.quote(str(name_next(root)))}"
