from pathlib import Path

from tests.data.layouts import write_image, write_text
from weakseg.checks.dataset import check_dataset, render_check
from weakseg.data.folder import open_folder


def write_folder(root: Path, rows: dict[str, str]) -> Path:
    for shade, name in enumerate(rows):
        write_image(root / name, (40, 50), shade=shade)
    write_text(root / "tags.csv", "image,tags\n" + "".join(f"{name},{tags}\n" for name, tags in rows.items()))
    return root


def render(root: Path, *, examples: int = 5) -> list[str]:
    dataset = open_folder(root, split="all", tags=None, val_fraction=0.0)
    return render_check(check_dataset([dataset]), examples=examples).splitlines()


def test_the_whole_report_of_a_small_folder(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.png": "cat;armchair", "b.png": "cat;?armchair", "c.png": "", "d.png": "cat"})
    (root / "d.png").write_bytes(b"")
    assert render(root) == [
        "folder 'all': 4 images (1 unreadable), 2 classes, 0 truth masks",
        "  formats: 3 PNG; pixel modes: 3 RGB",
        "",
        "images per class",
        "class     all: shown   absent  unknown",
        "armchair           1        1        1",
        "cat                2        1        0",
        "",
        "classes that occur together most often in 'all'",
        "  1 image: armchair + cat (100% of armchair, 50% of cat)",
        "",
        "warning: unreadable (1)",
        f"  d: {root / 'd.png'}: the file is empty; it is left out of training",
        "",
        "Training on 'all' can start with 3 images: 0 errors, 1 warning, 0 notes.",
    ]


def test_many_findings_of_a_kind_are_cut_short_with_a_count(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {f"{n}.png": "cat" if n else "" for n in range(5)})
    for n in (1, 2, 3):
        (root / f"{n}.png").write_bytes(b"")
    lines = render(root, examples=2)
    start = lines.index("warning: unreadable (3)")
    assert [line.split(":")[0] for line in lines[start + 1 : start + 3]] == ["  1", "  2"]
    assert lines[start + 3] == "  ... and 1 more"


def test_the_verdict_names_a_failure(tmp_path: Path) -> None:
    lines = render(write_folder(tmp_path, {"a.png": "cat", "b.png": "cat"}))
    assert "error: no-negatives (1)" in lines
    assert lines[-1] == "Training on 'all' would fail: 1 error, 0 warnings, 0 notes."


def test_splits_stand_side_by_side(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {f"{n}.png": "cat" if n % 2 else "" for n in range(8)})
    splits = [open_folder(root, split=split, tags=None, val_fraction=0.5) for split in ("train", "val")]
    lines = render_check(check_dataset(splits)).splitlines()
    assert lines[0].startswith("folder 'train': 4 images")
    assert lines[2].startswith("folder 'val': 4 images")
    heading, row = lines[6:8]
    assert heading.split() == ["class", "train:", "shown", "absent", "val:", "shown", "absent"]
    shown, absent, val_shown, val_absent = (int(word) for word in row.split()[1:])
    assert (shown + val_shown, absent + val_absent, shown + absent) == (4, 4, 4)
