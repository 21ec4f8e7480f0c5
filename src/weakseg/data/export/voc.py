"""Results in the layout of PASCAL VOC's test server.

The layout and what the server accepts are described in the development kit, sections 5.2 and 5.3 (segmentation:
competitions, submission of results): http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/index.html
"""

from __future__ import annotations

from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.names import flat_name, flat_names, list_renamed
from weakseg.data.export.pieces import Piece
from weakseg.data.export.split import LabelledSplit, VoidCount, clear_void, has_void
from weakseg.data.masks import encode_mask
from weakseg.files import write_bytes
from weakseg.types import Sample

COMPETITION = "comp6"
"""`comp6` allows training on any data, and weights that start from ImageNet are such; `comp5` on VOC's own only."""


def encode_voc(split: LabelledSplit, sample: Sample) -> Piece:
    """Make the mask of an image."""
    labels = split.read_labels(sample)
    return Piece(labels.shape, pictures=(encode_mask(clear_void(labels)),), has_void=has_void(labels))


def write_voc(split: LabelledSplit, folder: ExportFolder) -> list[str]:
    """Write `results/VOC2012/Segmentation/comp6_<split>_cls/<id>.png`: palette PNGs, the number stored is the label.

    Pack the folder `results` with `tar czf results.tgz results` to submit it. Void pixels become background, for the
    development kit refuses a result that holds a larger label than its last class.

    Args:
        split: What to export. An id with folders becomes one file name, see `flat_names`.
        folder: Where to.

    Returns:
        What the format could not hold, for the user.

    Raises:
        DataError: If a mask is missing or damaged.
        ArtifactError: If a file cannot be written.
    """
    void, names = VoidCount(), flat_names(sample.id for sample in split.samples)
    for sample in split.samples:
        piece = split.piece(sample, encode_voc)
        void.count(piece)
        results = f"results/VOC2012/Segmentation/{COMPETITION}_{flat_name(split.home_of(sample).name)}_cls"
        write_bytes(folder.claim(f"{results}/{names[sample.id]}.png"), piece.pictures[0])
    return [*void.notes(), *list_renamed(names, folder)]
