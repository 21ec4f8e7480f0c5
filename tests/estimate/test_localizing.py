from pathlib import Path

import pytest

from tests.pipeline.made_context import make_context
from tests.tiny import make_dataset
from weakseg.estimate.localizing import _as_in_trials


@pytest.mark.parametrize(("method", "clusters"), [("lpcam", 1), ("cam", 12)])
def test_a_localiser_is_tried_as_it_says_itself(tmp_path: Path, method: str, clusters: int) -> None:
    context = make_context(tmp_path / "run", (make_dataset(tmp_path, ((0,),)), None), ("localize.method", method))
    tried = _as_in_trials(context)
    assert tried.config.localize.lpcam.clusters == clusters
    assert context.config.localize.lpcam.clusters == 12
    assert tried.config.refine == context.config.refine
