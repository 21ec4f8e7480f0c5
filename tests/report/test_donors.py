from pathlib import Path

import pytest
from PIL import Image

from tests.made_run import make_run
from weakseg.errors import ArtifactError
from weakseg.files import write_json
from weakseg.pipeline.context import Context
from weakseg.report.donors import DonorRow, build_donor_section
from weakseg.report.page import report

pytestmark = pytest.mark.slow


def with_donors(root: Path) -> Context:
    context = make_run(root)
    folder = context.folder.network("classifier")
    entries = [
        {"name": "avo", "found": 1200, "kept": 200, "mean_share": 0.25},
        {"name": "<bex>", "found": 0, "kept": 0, "mean_share": None},
    ]
    write_json(folder.donors, entries)
    Image.new("RGB", (30, 20)).save(folder.pasted_sheet)
    return context


def test_a_row_tells_what_was_found_of_a_class(tmp_path: Path) -> None:
    section = build_donor_section(with_donors(tmp_path).folder)
    assert section is not None
    assert section.rows == (DonorRow("avo", "1,200", "200", "25.0"), DonorRow("<bex>", "0", "0", "–"))
    assert section.size_wh == (30, 20)
    assert section.sheet.startswith("data:image/png;base64,")


def test_the_page_shows_table_and_sheet(tmp_path: Path) -> None:
    context = with_donors(tmp_path)
    report(context)
    page = context.folder.report.read_text()
    assert 'href="#donors"' in page
    assert "&lt;bex&gt;" in page
    assert 'alt="Images with pasted objects" width="30" height="20"' in page


def test_a_classifier_without_pasted_objects_has_no_such_section(tmp_path: Path) -> None:
    context = make_run(tmp_path)
    assert build_donor_section(context.folder) is None
    report(context)
    assert "Pasted objects" not in context.folder.report.read_text()


def test_damaged_files_name_what_to_do(tmp_path: Path) -> None:
    context = with_donors(tmp_path)
    context.folder.network("classifier").pasted_sheet.write_bytes(b"no picture")
    with pytest.raises(ArtifactError, match=r"damaged .*; run with --redo classify"):
        build_donor_section(context.folder)
