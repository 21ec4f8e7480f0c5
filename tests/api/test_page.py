"""Every line of docs/api.md and the Python of the README, in order, on tiny photographs; and what came of them."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from tests.photos import TINY, make_photos
from tests.test_readme import write_released
from weakseg.api import Run
from weakseg.api.settings import Settings, resolve
from weakseg.config.schema import RunConfig
from weakseg.data.images import read_image
from weakseg.data.masks import encode_mask
from weakseg.errors import ArtifactError, DataError, ShapeError

ROOT = Path(__file__).parent.parent.parent
BEACH = "holiday/beach"
TINY_SETTINGS: Settings = {
    name.removeprefix("--"): yaml.safe_load(value) for name, _, value in (word.partition("=") for word in TINY)
}

pytestmark = pytest.mark.slow


def resolve_tiny(recipe: str, *settings: Settings) -> RunConfig:
    return resolve(recipe, TINY_SETTINGS, *settings)


def run_python_of(page: str, names: dict[str, object]) -> None:
    """Run the blocks of a page one after the other; a mistake is told with its line."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        above = "\n" * text.count("\n", 0, block.start(1))
        exec(compile(above + block[1], page, "exec"), names)


def write_photos(root: Path) -> None:
    """Write photographs of dogs and umbrellas, one of them at a beach, and true masks of the dogs."""
    make_photos(root, count=9)
    (root / "home" / "garden" / "photo 08.jpg").rename(root / f"{BEACH}.jpg")
    table = (root / "tags.csv").read_text().replace("home/garden/photo 08.jpg", f"{BEACH}.jpg")
    (root / "tags.csv").write_text(table.replace("cat", "dog").replace("sofa", "umbrella"))
    for id in ("home/garden/photo 00", "home/garden/photo 04", BEACH):
        (path,) = root.glob(f"{id}.*")
        height, width = read_image(path).shape[:2]
        mask = np.zeros((height, width), np.uint8)
        mask[8 : 8 + height // 2, 6 : 6 + width // 3] = 1
        place = root / "masks" / f"{id}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encode_mask(mask))


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """The names that the page leaves behind, in a working folder with what it takes for granted."""
    folder = tmp_path_factory.mktemp("python")
    write_photos(folder / "photos")
    (folder / "new_photos").mkdir()
    Image.new("RGB", (50, 40), "grey").save(folder / "new_photos" / "pier.jpg")
    write_released(folder / "res50_cam.pth")
    names: dict[str, object] = {"image": np.zeros((20, 30, 3), np.uint8), "tags": np.eye(20, dtype=np.uint8)[3]}
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr("weakseg.api.photos.resolve", resolve_tiny)
        for chart in ("draw_epochs", "draw_thresholds"):
            patched.setattr(f"weakseg.report.charts.{chart}", lambda *arguments, **options: "<svg></svg>")
        run_python_of("docs/api.md", names)
        yield names


@pytest.fixture
def run(named: dict[str, object]) -> Run:
    return Run.open("runs/photos")


def test_the_page_leaves_what_it_says(named: dict[str, object]) -> None:
    mask, seed, found = named["mask"], named["seed"], named["found"]
    assert isinstance(mask, np.ndarray)
    assert (mask.shape, mask.dtype) == ((60, 80), np.uint8)
    assert isinstance(seed, torch.Tensor)
    assert seed.shape == (1, 20, 30)
    assert getattr(found, "labels").shape == (40, 50)  # noqa: B009 (the names of a page have no types)


def test_the_python_of_the_readme_runs(named: dict[str, object]) -> None:
    names: dict[str, object] = {}
    Path("runs/photos").rename("runs/python")  # trained with the same settings
    try:
        run_python_of("README.md", names)
    finally:
        Path("runs/python").rename("runs/photos")
    labels = names["labels"]
    assert isinstance(labels, np.ndarray)
    assert (labels.shape, labels.dtype) == ((40, 50), np.uint8)
    with Image.open("beach.png") as picture:
        assert picture.size == (3 * 80, 60)  # the image, its one tag, its mask


def test_a_run_gives_what_its_files_hold(run: Run) -> None:
    assert run.classes == ("dog", "umbrella")
    assert run.photos.classes == run.classes
    assert set(run.masks) == set(run.seeds) >= {BEACH}
    assert run.seeds[BEACH].keys == (0,)
    assert run.seeds[BEACH].full().shape == (1, 60, 80)
    assert run.report.is_file()
    assert {score.subject for score in run.metrics.scores} >= {"seeds", "masks"}


def test_a_file_and_its_pixels_give_the_same_labels_and_stay_as_they_are(run: Run) -> None:
    pixels = read_image(Path("new_photos/pier.jpg"))
    before = pixels.copy()
    found, again = run.predict("new_photos/pier.jpg"), run.predict(pixels)
    assert np.array_equal(found.labels, again.labels)
    assert np.array_equal(pixels, before)
    assert (found.confidence.dtype, found.confidence.shape) == (np.float32, (40, 50))
    assert set(np.unique(run.predict(pixels, tags=["umbrella"]).labels)) <= {0, 2}
    assert not run.predict(pixels, tags=[]).labels.any()


@pytest.mark.parametrize(
    ("image", "tags", "kind", "told"),
    [
        ("new_photos/peer.jpg", None, DataError, "new_photos/peer.jpg"),
        (np.zeros((4, 5), np.uint8), None, ShapeError, r"expected a non-empty \(H, W, 3\) uint8"),
        (np.zeros((4, 5, 3), np.uint8), ["dig"], DataError, "unknown class 'dig'; did you mean 'dog'"),
    ],
)
def test_bad_input_is_named(
    run: Run, image: str | NDArray[np.uint8], tags: list[str] | None, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        run.predict(image, tags=tags)


def test_what_is_no_run_and_what_is_not_there_yet_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is no run folder"):
        Run.open(tmp_path)
    (tmp_path / "recipe.yaml").write_bytes(run.folder.recipe.read_bytes())
    begun = Run.open(tmp_path)
    assert begun.classes == run.classes  # of the photographs
    with pytest.raises(ArtifactError, match="has no trained segmenter"):
        begun.predict("new_photos/pier.jpg")
    with pytest.raises(ArtifactError, match="run the stage 'evaluate' first"):
        begun.metrics  # noqa: B018 (looking is what fails)
