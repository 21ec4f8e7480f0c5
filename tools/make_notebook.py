"""Makes docs/tutorial.ipynb of docs/tutorial.py: runs its cells and keeps what they print and show.

python tools/make_notebook.py [FOLDER]: works in FOLDER, a temporary one if not given. A notebook is plain JSON, so that
this needs no package; Jupyter reads and runs the result as any other.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent.parent / "docs"
SCRIPT, NOTEBOOK = DOCS / "tutorial.py", DOCS / "tutorial.ipynb"


@dataclass(frozen=True)
class Cell:
    """A cell of the script.

    Args:
        kind: `markdown` or `code`.
        source: Its text; of Markdown without the signs of a comment.
    """

    kind: str
    source: str


def read_cells(script: str) -> list[Cell]:
    """Split a script at its `# %%` lines."""
    cells = []
    for head, body in re.findall(r"^# %%(.*)\n((?:(?!# %%).*\n)*)", script, re.MULTILINE):
        kind = "markdown" if "[markdown]" in head else "code"
        text = re.sub(r"^# ?", "", body, flags=re.MULTILINE) if kind == "markdown" else body
        cells.append(Cell(kind, text.strip()))
    return cells


def run_cell(source: str, names: dict[str, object]) -> list[dict[str, object]]:
    """Run a cell; returns its outputs as a notebook has them: what it prints, then the value of its last line."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, SCRIPT.name, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), SCRIPT.name, "eval"), names)
    outputs: list[dict[str, object]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(True)})
    if value is not None:
        outputs.append({"output_type": "display_data", "metadata": {}, "data": _show(value)})
    return outputs


def _show(value: object) -> dict[str, object]:
    if not isinstance(value, Image.Image):
        return {"text/plain": [repr(value)]}
    content = io.BytesIO()
    value.save(content, "PNG")
    return {"image/png": base64.b64encode(content.getvalue()).decode(), "text/plain": [f"a picture, {value.size}"]}


def make_notebook(cells: list[Cell]) -> dict[str, object]:
    """Run all cells in the working folder and return the notebook."""
    names: dict[str, object] = {}
    made: list[dict[str, object]] = []
    for number, cell in enumerate(cells):
        entry = {"cell_type": cell.kind, "id": f"cell{number}", "metadata": {}, "source": cell.source.splitlines(True)}
        if cell.kind == "code":
            count = sum(before.kind == "code" for before in cells[: number + 1])
            entry |= {"execution_count": count, "outputs": run_cell(cell.source, names)}
        made.append(entry)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def main() -> None:
    """Write the notebook."""
    cells = read_cells(SCRIPT.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(sys.argv[1] if len(sys.argv) > 1 else folder)
        notebook = make_notebook(cells)
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
