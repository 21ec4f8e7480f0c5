"""A setting nobody reads is a promise nobody keeps: this runs the chain and records which settings are looked at."""

import dataclasses
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.photos import FEWER_CRITTERS, TINY, TINY_IRN, TINY_PSA, TINY_RIB, TINY_SEAM, make_photos
from tests.tiny_clip import save_clip
from tests.tiny_sam3 import save_sam3
from weakseg.cli import main
from weakseg.config.schema import RunConfig

NOT_READERS = ("weakseg.config.", "weakseg.pipeline.fingerprints", "dataclasses", "jsonargparse", "copy")
"""Modules that touch every setting only to parse, write or fingerprint it."""


def sections(kind: type) -> Iterator[type]:
    yield kind
    for annotation in typing.get_type_hints(kind).values():
        if dataclasses.is_dataclass(annotation):
            assert isinstance(annotation, type)
            yield from sections(annotation)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_every_setting_is_read_by_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[tuple[str, str]] = set()

    def record(self: object, name: str) -> object:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if not caller.startswith(NOT_READERS):
            read.add((type(self).__name__, name))
        return object.__getattribute__(self, name)

    for kind in set(sections(RunConfig)):
        monkeypatch.setattr(kind, "__getattribute__", record)
    make_photos(tmp_path / "photos", count=6)
    small = (*FEWER_CRITTERS, *TINY, "--classifier.epochs=1", "--segmenter.epochs=1")
    assert main(["run", "demo", *small, *TINY_IRN, "--localize.method=lpcam", "--out", str(tmp_path / "a")]) == 0
    cda = (f"--classifier.cda.masks={tmp_path / 'a'}", "--classifier.cda.area_share=[0.001, 1.0]")
    words = (*small, *TINY_SEAM, *cda, *TINY_PSA)
    assert main(["run", "demo", *words, "--data.root", str(tmp_path / "a" / "data"), "--out", str(tmp_path / "c")]) == 0
    (tmp_path / "saliency" / "home" / "garden").mkdir(parents=True)
    Image.new("L", (8, 8), 255).save(tmp_path / "saliency" / "home" / "garden" / "photo 00.png")
    soft = (f"--refine.saliency.folder={tmp_path / 'saliency'}", "--refine.confidence=true")
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "cache"))
    folder = ("--data.root", (tmp_path / "photos").as_uri(), "--out", str(tmp_path / "b"), *soft)
    assert main(["run", "folder", *folder, *TINY, *TINY_RIB, "--classifier.epochs=1", "--segmenter.epochs=1"]) == 0
    assert main(["run", str(tmp_path / "a"), "--refine.method=par", "--redo=refine"]) == 0
    (tmp_path / "parts" / "home" / "garden").mkdir(parents=True)
    photo = Image.open(next((tmp_path / "photos" / "home" / "garden").iterdir()))
    Image.new("L", photo.size, 1).save(tmp_path / "parts" / "home" / "garden" / "photo 00.png")
    merge = ("--refine.method=merge", f"--refine.merge.folder={tmp_path / 'parts'}")
    assert main(["run", str(tmp_path / "b"), *merge, "--redo=refine"]) == 0
    for method, save in (("clip_es", save_clip), ("sam3", save_sam3)):
        chosen = (f"--localize.method={method}", f"--localize.{method}.model={save(tmp_path / method)}")
        words = (*small, *chosen, "--segmenter.weights=none", "--data.root", str(tmp_path / "a" / "data"))
        assert main(["localize", "demo", *words, "--out", str(tmp_path / f"by {method}")]) == 0
    expected = {(kind.__name__, field.name) for kind in sections(RunConfig) for field in dataclasses.fields(kind)}
    assert expected - read == set()
