"""A chain of stages that only write small files, for the tests of the runner."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import with_settings
from weakseg.config.load import build_config, read_recipe
from weakseg.data.base import Dataset
from weakseg.errors import DataError
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.records import StageRecord, read_records
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stage import Stage
from weakseg.types import ClassSet, Sample

DEMO = build_config(read_recipe("demo"))
Setting = tuple[str, object]
ALL = ["classify", "localize", "evaluate", "report"]
IMAGES = ("a", "b", "c")


@dataclass
class Chain:
    """A run folder with four stages that only write small files: two that cost something, two derived."""

    root: Path
    ran: list[str] = field(default_factory=list)
    fail_in: str = ""
    digests: dict[str, str] = field(default_factory=lambda: {"train": "d1", "val": "d2"})
    versions: dict[str, int] = field(default_factory=dict)
    lacking: str = ""
    asked: list[tuple[str, bool]] = field(default_factory=list)
    skipped: str = ""

    @property
    def stages(self) -> list[Stage]:
        def stage(name: str, settings: tuple[str, ...], needs: tuple[str, ...], outputs: tuple[str, ...]) -> Stage:
            return Stage(
                name=name,
                version=self.versions.get(name, 1),
                settings=settings,
                needs=needs,
                outputs=outputs,
                run=lambda context: self.work(name, outputs),
                require=lambda context, *, afresh: self.require(name, afresh=afresh),
                derived=name in ("evaluate", "report"),
                shared=name == "report",
                skipped=lambda context: "it is Sunday" if name == self.skipped else "",
            )

        localize = stage("localize", ("localize", "data.max_side_px"), ("classify",), ("seeds",))
        return [
            stage("classify", ("classifier", "runtime.seed"), (), ("classifier",)),
            replace(localize, files=lambda context: [context.folder.seed(id) for id in IMAGES]),
            stage("evaluate", ("evaluate",), ("localize",), ("metrics.json", "predictions")),
            stage("report", ("report",), ("evaluate",), ("report.html",)),
        ]

    def require(self, name: str, *, afresh: bool) -> None:
        self.asked.append((name, afresh))
        if name == self.lacking:
            raise DataError(f"{name} lacks something")

    def work(self, name: str, outputs: tuple[str, ...]) -> str:
        self.ran.append(name)
        if name == "localize":
            for id in IMAGES:
                path = RunFolder(self.root).seed(id)
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    path.write_text(f"seed of {id} by try {len(self.ran)}")
                if self.fail_in == name:
                    raise KeyboardInterrupt
        else:
            for output in outputs:
                path = self.root / output
                path.write_text(name) if path.suffix else path.mkdir(exist_ok=True)
            if self.fail_in == name:
                raise KeyboardInterrupt
        return f"{name} was well"

    def run(self, *overrides: Setting, only: str | None = None, redo: str | None = None) -> list[str]:
        """Run the demo recipe with some settings changed; return the stages that did something."""
        self.ran, self.asked = [], []
        run_stages(self.context(*overrides), self.stages, only=only, redo=redo)
        return self.ran

    def context(self, *overrides: Setting) -> Context:
        classes = ClassSet(("cat",))
        samples = tuple(Sample(id, Path(f"{id}.png"), np.ones(1, np.uint8), np.ones(1, np.bool_)) for id in IMAGES)
        train = Dataset("folder", "train", classes, samples)
        return Context(
            with_settings(DEMO, *overrides), RunFolder(self.root), torch.device("cpu"), train, None, self.digests
        )

    def interrupt(self, stage: str, *overrides: Setting) -> None:
        self.fail_in = stage
        with pytest.raises(KeyboardInterrupt):
            self.run(*overrides)
        self.fail_in = ""

    @property
    def records(self) -> dict[str, StageRecord]:
        return read_records(RunFolder(self.root))

    def snapshot(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(self.root.rglob("*")) if path.is_file()}


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path / "run")
