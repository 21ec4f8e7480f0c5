"""What the server answers, and what it refuses."""

import asyncio
import base64
import io
import threading
from pathlib import Path

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as rle_tools

from tests.serve.made_server import MAX_BYTES, ORIGIN, PORT, TOKEN, make_labeller, open_client
from tests.tiny import draw
from weakseg import __version__
from weakseg.cli import main
from weakseg.data.masks import decode_mask
from weakseg.review.security import SAFE_HEADERS
from weakseg.serve import app as app_module
from weakseg.serve.answers import Labeller
from weakseg.serve.app import Limits, PredictServer, build_app
from weakseg.serve.gate import local_names
from weakseg.serve.wishes import Wish

ORIENTATION = 0x0112
SIZE_HW = (22, 40)


@pytest.fixture(scope="module")
def labeller(tmp_path_factory: pytest.TempPathFactory) -> Labeller:
    return make_labeller(tmp_path_factory.mktemp("runs") / "run")


def picture(size_hw: tuple[int, int] = SIZE_HW) -> NDArray[np.uint8]:
    return draw((0, 1), 3, size_hw)[0]


def encoded(format: str = "PNG", image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(picture())).save(buffer, format, **options)
    return buffer.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return encoded("JPEG", exif=exif)


def deep() -> bytes:
    return encoded(image=Image.fromarray((np.arange(22 * 40, dtype=np.uint16) * 70).reshape(22, 40)))


def transparent() -> bytes:
    return encoded(image=Image.fromarray(np.dstack([picture(), np.full(SIZE_HW, 90, np.uint8)])))


SENT = {
    "png": ("png", encoded()),
    "turned": ("jpg", turned()),
    "deep": ("png", deep()),
    "transparent": ("png", transparent()),
    "grey": ("gif", encoded("GIF", Image.fromarray(picture()).convert("L"))),
    "cmyk": ("tif", encoded("TIFF", Image.fromarray(picture()).convert("CMYK"))),
    "one pixel": ("bmp", encoded("BMP", Image.fromarray(picture((1, 1))))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SENT)
def test_a_mask_has_the_bytes_that_predict_writes(name: str, labeller: Labeller, tmp_path: Path) -> None:
    suffix, content = SENT[name]
    (tmp_path / f"image.{suffix}").write_bytes(content)
    out = tmp_path / "out"
    words = ["--tags", "dog,fox", "--out", str(out), "--device", "cpu"]
    assert main(["predict", str(labeller.opened.path), str(tmp_path / f"image.{suffix}"), *words]) == 0
    client = open_client(labeller)
    for output, file in (
        ("mask", "image.png"),
        ("overlay", "image_overlay.jpg"),
        ("confidence", "image_confidence.png"),
    ):
        answer = client.post(f"/predict?tags=dog,fox&output={output}", content=content)
        assert answer.status_code == 200
        assert answer.content == (out / file).read_bytes()
        assert answer.headers["content-type"] == ("image/jpeg" if output == "overlay" else "image/png")
    assert client.post("/predict?tags=fox;dog", content=content).content == (out / "image.png").read_bytes()


def test_json_holds_the_same_mask_as_run_lengths_areas_and_boxes(labeller: Labeller) -> None:
    client = open_client(labeller)
    labels = decode_mask(client.post("/predict", content=turned()).content, where="answer")
    assert labels.shape == SIZE_HW[::-1]
    told = client.post("/predict", content=turned(), headers={"Accept": "application/json"}).json()
    assert (told["size_hw"], told["tags"], told["weakseg"]) == ([40, 22], None, __version__)
    assert len(told["labels"]) == len(np.unique(labels)) > 1
    for entry in told["labels"]:
        mask = labels == entry["label"]
        assert entry["area_px"] == mask.sum()
        assert entry["share"] == pytest.approx(mask.mean(), abs=1e-6)
        if entry["label"]:
            np.testing.assert_array_equal(rle_tools.decode(entry["segmentation"]), mask)
            rows, columns = np.nonzero(mask)
            wanted = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert entry["box_xywh"] == wanted
    plain = client.post("/predict?output=json&masks=none", content=turned()).json()
    assert all("segmentation" not in entry for entry in plain["labels"])
    as_png = client.post("/predict?output=json&masks=png", content=turned()).json()
    np.testing.assert_array_equal(decode_mask(base64.b64decode(as_png["mask_png"]), where="answer"), labels)


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "words"),
    [
        ("/predict", b"", {}, 400, "expected the bytes of an image, got none"),
        ("/predict", b"no image at all", {}, 415, "not an image of a format that is read here"),
        ("/predict", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", {}, 415, "convert it to JPEG or PNG"),
        ("/predict", encoded()[:-40], {}, 400, "cannot read the image"),
        ("/predict", bytes(MAX_BYTES + 1), {}, 413, f"expected at most {MAX_BYTES} bytes"),
        ("/predict", encoded(image=Image.new("1", (50, 41))), {}, 413, "50 x 41 pixels are more than the 2000"),
        ("/predict", encoded(image=Image.new("1", (9000, 9999))), {}, 413, "are more than the 2000"),
        ("/predict", encoded(), {"Content-Type": "multipart/form-data; boundary=x"}, 415, "got a form"),
        ("/predict", encoded(), {"Accept": "text/html"}, 406, "expected image/png or application/json"),
        ("/predict?tags=foxx", encoded(), {}, 400, "unknown class 'foxx'; did you mean 'fox'?"),
        ("/predict?tags=", encoded(), {}, 400, "tags: expected class names such as 'cat,dog', got none"),
        ("/predict?tag=fox", encoded(), {}, 400, "there is no query 'tag'; did you mean 'tags'?"),
        ("/predict?tags=fox&tags=dog", encoded(), {}, 400, "tags: expected it once"),
        ("/predict?output=masks", encoded(), {}, 400, "output: expected one of mask, json, overlay, confidence"),
        ("/predict?masks=png", encoded(), {}, 400, "masks: only JSON holds them in several forms"),
        ("/", encoded(), {}, 405, "not for POST"),
        ("/predict/", encoded(), {}, 404, "POST an image to /predict"),
        ("/..%2fapp.py", encoded(), {}, 404, "POST an image to /predict"),
        ("/predict?" + "x" * 5000, encoded(), {}, 414, "the address is too long"),
        ("/predict", encoded(), {"Host": "evil.example"}, 421, "expected the address"),
        ("/predict", encoded(), {"Host": f"evil.example:{PORT}"}, 421, "expected the address"),
        ("/predict", encoded(), {"Origin": "https://evil.example"}, 403, "pages of other sites may not ask"),
    ],
)
def test_a_mistake_is_one_line_of_json_with_its_status(
    path: str, content: bytes, headers: dict[str, str], status: int, words: str, labeller: Labeller
) -> None:
    answer = open_client(labeller).request("POST", ORIGIN + path, content=content, headers=headers)
    assert answer.status_code == status
    told = answer.json()
    assert list(told) == ["error"]
    assert words in told["error"]
    assert "\n" not in answer.text
    assert {name: answer.headers[name] for name in SAFE_HEADERS} == dict(SAFE_HEADERS)


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("", 401), ("Bearer another", 401), (TOKEN, 401), (f"Bearer {TOKEN}", 200), (f"bearer  {TOKEN}", 200)],
)
def test_with_a_token_only_who_has_it_is_answered_from_anywhere(
    authorization: str, status: int, labeller: Labeller
) -> None:
    client = open_client(labeller, token=TOKEN)
    headers = {"Host": "masks.example", "Origin": "https://masks.example", "Authorization": authorization}
    answer = client.post("/predict", content=encoded(), headers=headers)
    assert answer.status_code == status
    assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)
    health = client.get("/health", headers=headers).json()
    assert (health["ready"], health["version"]) == (True, __version__)
    assert ("classes" in health) == (status == 200)
    assert client.get("/", headers={"Host": "masks.example"}).status_code == 200


def test_health_names_model_classes_and_limits(labeller: Labeller) -> None:
    told = open_client(labeller).get("/health").json()
    assert (told["ready"], told["model"], told["kind"], told["version"]) == (True, "run", "run", __version__)
    assert told["classes"] == ["cat", "dog", "fox"]
    assert told["colours"][:2] == [[0, 0, 0], [128, 0, 0]]
    assert told["limits"] == {"bytes": MAX_BYTES, "pixels": 2000}
    assert told["images"] == 0


def test_the_page_loads_nothing_from_elsewhere(labeller: Labeller) -> None:
    client = open_client(labeller)
    page = client.get("/").text
    for name in ("page.js", "page.css", "icon.svg"):
        assert f'"{name}"' in page
        page += client.get(f"/{name}").text
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


class Slow:
    """Stands for a labeller whose images take until they are told to end."""

    def __init__(self, labeller: Labeller) -> None:
        self.describe, self.check = labeller.describe, labeller.check
        self.ended, self.at_once, self.most = threading.Event(), 0, 0

    def answer(self, content: bytes, wish: Wish) -> bytes:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        assert self.ended.wait(10)
        self.at_once -= 1
        return content


def test_images_wait_for_their_turn_and_too_many_are_sent_away(labeller: Labeller) -> None:
    slow = Slow(labeller)
    server = PredictServer(slow, Limits(waiting=2))  # type: ignore[arg-type]
    app = build_app(server, token=None, hosts=local_names(PORT))

    async def ask() -> list[int]:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=ORIGIN) as client:
            tasks = [asyncio.create_task(client.post("/predict", content=b"x")) for _ in range(3)]
            while (await client.get("/health")).json()["images"] < 3:
                await asyncio.sleep(0.01)
            refused = await client.post("/predict", content=b"x")
            assert refused.headers["retry-after"] == "2"
            assert "3 images are here already" in refused.json()["error"]
            slow.ended.set()
            return [refused.status_code, *[(await task).status_code for task in tasks]]

    assert asyncio.run(ask()) == [503, 200, 200, 200]
    assert slow.most == 1
    assert not server.is_working()


def test_an_image_that_does_not_arrive_and_memory_that_does_not_suffice_are_told(
    labeller: Labeller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(*_: object, **__: object) -> bytes:
        await asyncio.sleep(10)
        return b""

    client = open_client(labeller, read_s=0.01)
    with monkeypatch.context() as patched:
        patched.setattr(app_module, "read_body", wait)
        answer = client.post("/predict", content=encoded())
    assert (answer.status_code, answer.json()) == (408, {"error": "the image has not arrived within 0.01 seconds"})
    for error, status in ((MemoryError(), 507), (RuntimeError("odd"), 500)):

        def fail(*_: object, error: Exception = error, **__: object) -> bytes:
            raise error

        monkeypatch.setattr(Labeller, "answer", fail)
        answer = open_client(labeller).post("/predict", content=encoded())
        assert answer.status_code == status
        assert "odd" not in answer.text
