"""The tutorial's script runs, on tiny images; the notebook is that script, and holds its pictures."""

import base64
import io
import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.photos import TINY
from tests.tools import load_tool
from weakseg.api.settings import Settings, resolve
from weakseg.config.schema import RunConfig

ROOT = Path(__file__).parent.parent
TINY_SETTINGS: Settings = {
    **{name.removeprefix("--"): yaml.safe_load(value) for name, _, value in (word.partition("=") for word in TINY)},
    "classifier.epochs": 1,
    "segmenter.epochs": 1,
    "data.critters": {"images": 12, "val_images": 8, "size_px": 48},
}


TOOL = load_tool("make_notebook")


def resolve_tiny(recipe: str, *settings: Settings) -> RunConfig:
    return resolve(recipe, TINY_SETTINGS, *settings)


def test_a_script_is_split_into_cells() -> None:
    script = "# %% [markdown]\n# # A head\n#\n# words\n\n# %%\na = 1\n\n# %%\na + 1\n"
    cells = TOOL.read_cells(script)
    assert [(cell.kind, cell.source) for cell in cells] == [
        ("markdown", "# A head\n\nwords"),
        ("code", "a = 1"),
        ("code", "a + 1"),
    ]
    outputs = [cell.get("outputs") for cell in TOOL.make_notebook(cells)["cells"]]
    assert outputs[:2] == [None, []]
    assert outputs[2] == [{"output_type": "display_data", "metadata": {}, "data": {"text/plain": ["2"]}}]


def test_the_notebook_is_made_of_the_script_and_shows_pictures() -> None:
    notebook = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))
    cells = TOOL.read_cells((ROOT / "docs" / "tutorial.py").read_text(encoding="utf-8"))
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]] == [
        (cell.kind, cell.source) for cell in cells
    ], "run tools/make_notebook.py"
    shown = [entry["data"] for cell in notebook["cells"] for entry in cell.get("outputs", ()) if "data" in entry]
    pictures = [Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) for data in shown if "image/png" in data]
    assert len(pictures) == 3
    assert all(min(picture.size) >= 96 for picture in pictures)


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_every_cell_of_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("weakseg.api.photos.resolve", resolve_tiny)
    cells = TOOL.read_cells((ROOT / "docs" / "tutorial.py").read_text(encoding="utf-8"))
    made = TOOL.make_notebook(cells)["cells"]
    assert sum("image/png" in json.dumps(cell.get("outputs")) for cell in made) == 3
    assert (tmp_path / "runs" / "tutorial" / "report.html").is_file()
