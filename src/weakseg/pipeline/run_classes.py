"""The classes that a run was made with: the numbers in its masks mean these, whatever its data say by now."""

from __future__ import annotations

from weakseg.errors import ArtifactError
from weakseg.pipeline.artifacts import load_info
from weakseg.pipeline.run_folder import RunFolder
from weakseg.types import ClassSet


def read_run_classes(folder: RunFolder) -> tuple[str, ...] | None:
    """Return the class names that a run's networks know, or None for a run without networks.

    Raises:
        ArtifactError: If a network's file is damaged.
    """
    for kind in ("classifier", "segmenter"):
        if folder.network(kind).model.is_file():
            said = load_info(folder.network(kind).model).get("classes")
            if isinstance(said, list):
                return tuple(map(str, said))
    return None


def require_run_classes(folder: RunFolder, classes: ClassSet) -> None:
    """Refuse a run whose data have other classes by now, as after a tag was added: its masks would mean others.

    Raises:
        ArtifactError: If they differ, or a network's file is damaged.
    """
    names = read_run_classes(folder)
    if names is not None and names != classes.names:
        raise ArtifactError(
            f"{folder.root} was made with the classes {', '.join(names)}, but its data now have {', '.join(classes)}, "
            "so that its masks would mean others; put the tags back as they were, or begin another run"
        )
