"""Six images in the layout of VOC, opened as a run opens them."""

from pathlib import Path

import pytest

from tests.data.layouts import write_text, write_voc
from tests.tiny import with_settings
from weakseg.config.schema import RunConfig
from weakseg.data.image_facts import inspect_image
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.inputs import prepare

CPU = with_settings(RunConfig(), ("runtime.device", "cpu"))
TAGS = {"a": ["cat"], "b": ["dog"], "c": ["cat", "dog"], "d": [], "v": ["cat"], "w": ["dog"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = write_voc(tmp_path / "photos", TAGS, train=["a", "b", "c", "d"], val=["v", "w"])
    write_text(root / "classes.txt", "cat\ndog\n")
    return root


@pytest.fixture
def inspected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that were looked at."""
    names: list[str] = []

    def inspect(path: Path) -> object:
        names.append(path.name)
        return inspect_image(path)

    monkeypatch.setattr("weakseg.pipeline.inputs.inspect_image", inspect)
    return names


def voc(root: Path, *settings: tuple[str, object]) -> RunConfig:
    return with_settings(CPU, ("data.name", "voc"), ("data.root", str(root)), *settings)


def prepare_voc(root: Path, *settings: tuple[str, object]) -> Context:
    return prepare(voc(root, *settings), RunFolder(root.parent / "run"))


def ids(context: Context) -> tuple[str, str]:
    val = "" if context.val is None else "".join(sample.id for sample in context.val)
    return "".join(sample.id for sample in context.train), val


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
