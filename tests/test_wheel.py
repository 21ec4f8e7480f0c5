"""What `make dist` builds: complete, and of use away from the checkout."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.photos import FEWER_CRITTERS, TINY
from weakseg import __version__
from weakseg.config.own_recipes import list_recipes

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "weakseg"
URL = "https://example.org/anybody/weakseg"

pytestmark = pytest.mark.slow


def run(words: Sequence[str | Path], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder; what it prints is text, and it ends well."""
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@dataclass(frozen=True)
class Built:
    """The two files, and the wheel unpacked into a folder of its own."""

    wheel: Path
    sdist: Path
    site: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    words = ["-m", "hatchling", "build", "--directory", folder]
    run(words, ROOT, WEAKSEG_SOURCE_URL=f"{URL}/", WEAKSEG_SOURCE_REF="v9")
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    site = folder / "site"
    if find_spec("pip") is None:  # as in Debian's environments; without compiled parts a wheel is installed so
        zipfile.ZipFile(wheel).extractall(site)
    else:
        run(["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel], folder)
    return Built(wheel, sdist, site)


def read_metadata(built: Built) -> Message:
    with zipfile.ZipFile(built.wheel) as file:
        return message_from_string(file.read(f"weakseg-{__version__}.dist-info/METADATA").decode())


def test_the_wheel_holds_every_file_of_the_package_and_the_licence(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as file:
        names = set(file.namelist())
    own = {f"weakseg/{path.relative_to(SOURCE).as_posix()}" for path in SOURCE.rglob("*") if path.is_file()}
    own = {name for name in own if "__pycache__" not in name}
    assert own - names == set()
    assert {name for name in names - own if ".dist-info/" not in name} == set()
    assert f"weakseg-{__version__}.dist-info/licenses/LICENSE" in names
    assert "weakseg/py.typed" in names
    assert {f"weakseg/config/recipes/{name}.yaml" for name in list_recipes()} <= names


def test_the_source_archive_holds_what_builds_and_tests_it(built: Built) -> None:
    with tarfile.open(built.sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    wanted = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", "constraints.txt"}
    wanted |= {"tools/package_page.py", "tests/conftest.py", "docs/api.md", "src/weakseg/py.typed"}
    wanted |= {"Dockerfile", ".dockerignore", "CITATION.cff", ".pre-commit-config.yaml"}
    assert wanted - names == set()


def test_the_page_of_the_index_has_full_addresses(built: Built) -> None:
    metadata = read_metadata(built)
    page = metadata.get_payload()
    assert isinstance(page, str)
    targets = re.findall(r"\]\(([^)]+)\)", page)
    assert len(targets) > 20
    assert [target for target in targets if not re.match("https?://|#", target)] == []
    assert f"({URL}/raw/v9/docs/images/overview.png)" in page
    assert f"({URL}/blob/v9/docs/data.md)" in page
    assert f"Source, {URL}" in metadata.get_all("Project-URL", [])


def test_the_extra_all_brings_every_extra_of_use(built: Built) -> None:
    metadata = read_metadata(built)
    wanted: dict[str, set[str]] = {}
    for line in metadata.get_all("Requires-Dist", []):
        name, _, extra = line.partition("; extra == ")
        wanted.setdefault(extra.strip("'"), set()).add(name)
    ours = ("all", "dev", "docs", "e2e", "heavy")
    others = {extra for extra in metadata.get_all("Provides-Extra", []) if extra not in ours}
    assert wanted["all"] == set().union(*(wanted[extra] for extra in others))


def test_away_from_the_checkout_the_demo_runs_and_predicts_without_a_warning(built: Built, tmp_path: Path) -> None:
    def weakseg(*words: str) -> subprocess.CompletedProcess[str]:
        return run(["-m", "weakseg", *words], tmp_path, PYTHONPATH=str(built.site), OMP_NUM_THREADS="1")

    where = run(["-c", "import weakseg; print(weakseg.__file__)"], tmp_path, PYTHONPATH=str(built.site))
    assert Path(where.stdout.strip()).is_relative_to(built.site)
    shorter = ("--classifier.epochs=1", "--segmenter.epochs=1", "--localize.scales=[1.0]", "--evaluate.scales=[1.0]")
    told = [weakseg("demo", "--quick", *FEWER_CRITTERS, *TINY, *shorter)]
    images = tmp_path / "runs" / "demo_quick" / "data" / "JPEGImages"
    told.append(weakseg("predict", "runs/demo_quick", str(images), "--out", "new_masks"))
    told.append(weakseg("list"))
    assert (tmp_path / "runs" / "demo_quick" / "report.html").is_file()
    assert len(list((tmp_path / "new_masks").rglob("*_overlay.jpg"))) == len(list(images.iterdir()))
    assert [line for done in told for line in done.stderr.splitlines() if "Warning" in line] == []
