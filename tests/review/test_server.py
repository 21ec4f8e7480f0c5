import json
import socket
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.made_run import make_run
from tests.review.desks import HEADERS, HOST, ORIGIN, SIZE_HW, TOKEN, make_desk, open_client, packed, unpacked
from weakseg.data.masks import read_mask
from weakseg.errors import DataError
from weakseg.pipeline.corrections.correction import Correction
from weakseg.refine.masks import seed_to_mask
from weakseg.review import desk as desk_module
from weakseg.review import server
from weakseg.review.desk import Desk, Entry
from weakseg.review.security import SAFE_HEADERS
from weakseg.review.wire import bound_bytes

ID = "train_0"


def said(revision: int = 0, **words: object) -> dict[str, object]:
    return {"revision": revision, "verdict": None, "tags": ["avo"], "mask": "keep", **words}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "method", "path", "status"),
    [
        ({}, "GET", "/", 200),
        ({}, "GET", "/main.js", 200),
        ({}, "GET", "/api/session", 403),
        ({"X-Weakseg-Token": "another"}, "GET", "/api/session", 403),
        ({"X-Weakseg-Token": "tökén".encode()}, "GET", "/api/session", 403),
        ({"X-Weakseg-Token": TOKEN}, "GET", "/api/session", 200),
        ({"X-Weakseg-Token": TOKEN, "Host": "evil.example"}, "GET", "/api/session", 421),
        ({"Host": "evil.example:8760"}, "GET", "/", 421),
        ({"Host": "127.0.0.1:9999"}, "GET", "/", 421),
        ({**HEADERS, "Origin": "https://evil.example"}, "GET", "/api/session", 403),
        ({**HEADERS, "Origin": "null"}, "GET", "/api/session", 403),
        ({**HEADERS, "Origin": f"https://{HOST}"}, "PUT", f"/api/correction?id={ID}", 403),
        ({"X-Weakseg-Token": TOKEN}, "PUT", f"/api/correction?id={ID}", 403),
        ({"Origin": ORIGIN}, "PUT", f"/api/correction?id={ID}", 403),
        (HEADERS, "PUT", f"/api/correction?id={ID}", 200),
        (HEADERS, "POST", f"/api/correction?id={ID}", 405),
        (HEADERS, "GET", f"/api/cut?id={ID}", 405),
        (HEADERS, "GET", "/api/session?" + "x" * 5000, 414),
    ],
)
def test_only_the_page_is_answered(
    tmp_path: Path, headers: dict[str, str], method: str, path: str, status: int
) -> None:
    desk = make_desk(tmp_path)
    answer = open_client(desk, headers={}).request(
        method, path, headers=headers, json=said() if method != "GET" else None
    )
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in SAFE_HEADERS} == dict(SAFE_HEADERS)
    assert desk.store.record_file(ID).exists() == (method == "PUT" and status == 200)


@pytest.mark.parametrize(
    "path",
    [
        "/api/picture?id=..%2F..%2Fetc%2Fpasswd",
        "/api/picture?id=%2Fetc%2Fpasswd",
        "/api/state?id=train_0%2F..%2Ftrain_1",
        "/api/state?id=train_9",
        "/api/state?id=",
        "/api/state",
        "/server.py",
        "/..%2Fserver.py",
        "/%2e%2e/server.py",
        "/static/main.js",
        "/run.json",
        "//etc/passwd",
    ],
)
def test_no_path_outside_the_list_is_served(tmp_path: Path, path: str) -> None:
    assert open_client(make_desk(tmp_path)).get(ORIGIN + path).status_code == 404


def test_the_session_tells_classes_threshold_and_the_list(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    broken = desk.store.record_file("train_1")
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    told = open_client(desk).get("/api/session").json()
    assert [one["name"] for one in told["classes"]] == ["avo", "bex", "cim"]
    assert len({tuple(one["colour"]) for one in told["classes"]}) == 3
    assert told["threshold"] == 0.25
    assert [image["id"] for image in told["images"]] == ["train_0", "train_1", "train_2", "val_0", "val_1", "val_2"]
    first, second = told["images"][:2]
    assert first["why"] == "the seed and the mask differ"
    assert (first["missingTags"], first["doubtfulTags"]) == (["cim"], ["avo"])
    assert (first["verdict"], first["revision"], first["problem"]) == (None, 0, "")
    assert "is damaged" in second["problem"]  # and the others are there all the same


def test_a_mask_is_written_with_just_its_pixels(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    client = open_client(desk)
    state = client.get(f"/api/state?id={ID}").json()
    assert (state["width"], state["height"]) == SIZE_HW[::-1]
    before = unpacked(state["labels"])
    np.testing.assert_array_equal(before, read_mask(desk.folder.mask(ID)))
    mask = before.copy()
    mask[3:5, 7:9], mask[0, 0] = 3, 255
    answer = client.put(f"/api/correction?id={ID}", json=said(tags=["avo", "cim"], mask=packed(mask)))
    assert answer.json()["revision"] == 1
    np.testing.assert_array_equal(np.asarray(Image.open(desk.store.mask_file(ID))), mask)
    correction = desk.store.read(ID)
    assert correction is not None
    assert (correction.added_tags, correction.removed_tags, correction.source) == (("cim",), (), "review")
    state = client.get(f"/api/state?id={ID}").json()
    assert (state["hasMask"], state["tags"], state["ownTags"]) == (True, ["avo", "cim"], ["avo"])
    np.testing.assert_array_equal(unpacked(state["labels"]), mask)
    np.testing.assert_array_equal(unpacked(client.get(f"/api/original?id={ID}").json()["labels"]), before)

    client.put(f"/api/correction?id={ID}", json=said(1, verdict="right", tags=[]))
    correction = desk.store.read(ID)
    assert correction is not None
    assert (correction.verdict, correction.removed_tags, correction.has_mask) == ("right", ("avo",), True)
    client.put(f"/api/correction?id={ID}", json=said(2, mask="none"))
    assert not desk.store.mask_file(ID).exists()
    np.testing.assert_array_equal(unpacked(client.get(f"/api/state?id={ID}").json()["labels"]), before)


@pytest.mark.parametrize("mask", ["keep", packed(np.ones(SIZE_HW, np.uint8))])
def test_two_tabs_do_not_overwrite_each_other(tmp_path: Path, mask: str) -> None:
    desk = make_desk(tmp_path)
    client = open_client(desk)
    client.put(f"/api/correction?id={ID}", json=said(verdict="wrong"))
    answer = client.put(f"/api/correction?id={ID}", json=said(verdict="right", mask=mask))
    assert answer.status_code == 409
    assert "changed meanwhile" in answer.json()["error"]
    assert (answer.json()["state"]["verdict"], answer.json()["state"]["revision"]) == ("wrong", 1)
    correction = desk.store.read(ID)
    assert correction is not None
    assert (correction.verdict, correction.has_mask) == ("wrong", False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("message", "status", "words"),
    [
        (said(mask=packed(np.zeros((30, 43), np.uint8))), 400, "44 x 30 pixels, a byte each, got 1290"),
        (said(mask=packed(np.zeros((3000, 4000), np.uint8))), 400, "got more"),
        (said(mask=packed(np.full(SIZE_HW, 4, np.uint8))), 400, "labels 0..3 and 255, got 4"),
        (said(mask="not base64!"), 400, "deflated label map"),
        (said(mask="AAAA"), 400, "deflated label map"),
        (said(mask=None), 400, "mask: expected"),
        (said(mask="x" * bound_bytes(SIZE_HW)), 413, "at most"),
        (said(-1), 400, "revision"),
        (said(verdict="maybe"), 400, "verdict"),
        (said(tags="avo"), 400, "tags"),
        (said(tags=["avox"]), 400, "avo"),
        ([], 400, "mapping"),
        ({}, 400, "revision"),
    ],
)
def test_what_no_page_sends_is_refused_in_one_line(tmp_path: Path, message: object, status: int, words: str) -> None:
    desk = make_desk(tmp_path)
    answer = open_client(desk).put(f"/api/correction?id={ID}", json=message)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert not desk.store.root.exists()


def test_a_body_that_hides_its_length_is_cut_off(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    body = (b" " * 1000 for _ in range(bound_bytes(SIZE_HW)))
    assert open_client(desk).put(f"/api/correction?id={ID}", content=body).status_code == 413
    assert open_client(desk).put(f"/api/correction?id={ID}", content=b"[" * 10_000).status_code == 400


def test_pictures_are_jpegs(tmp_path: Path) -> None:
    client = open_client(make_desk(tmp_path))
    picture = Image.open(BytesIO(client.get(f"/api/picture?id={ID}").content))
    assert (picture.format, picture.size) == ("JPEG", SIZE_HW[::-1])
    assert Image.open(BytesIO(client.get(f"/api/thumbnail?id={ID}").content)).size == SIZE_HW[::-1]


def test_seeds_are_small_maps_and_cut_as_the_run_cuts_them(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    client = open_client(desk)
    told = client.get(f"/api/seed?id={ID}").json()
    assert (told["keys"], told["width"], told["height"]) == ([0], 11, 8)
    maps = unpacked(told["maps"], (8, 11))
    assert (maps.max(), maps[-1].max()) == (255, 0)
    assert client.get("/api/seed?id=train_2").json()["keys"] == []
    for threshold in (0.1, 0.25, 1):
        answer = client.post(f"/api/cut?id={ID}", json={"threshold": threshold, "followEdges": True}).json()
        seed = desk.seed(ID)
        assert seed is not None
        expected = seed_to_mask(seed.full().numpy(), (0,), background_threshold=threshold)
        np.testing.assert_array_equal(unpacked(answer["labels"]), expected)
    assert not unpacked(client.post("/api/cut?id=train_2", json={"threshold": 0.1}).json()["labels"]).any()
    for threshold in (True, "0.5", -0.1, 1.1, None):
        assert client.post(f"/api/cut?id={ID}", json={"threshold": threshold}).status_code == 400


def test_large_images_are_painted_small_and_change_only_where_painted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "MAX_EDIT_SIDE_PX", 22)
    desk = make_desk(tmp_path)
    fine = read_mask(desk.folder.mask(ID)).copy()
    fine[::2] = 2  # finer than what is shown
    desk.store.write(Correction(ID), fine, expected_revision=0)
    client = open_client(desk)
    state = client.get(f"/api/state?id={ID}").json()
    assert (state["width"], state["height"], state["fullWidth"], state["fullHeight"]) == (22, 15, 44, 30)
    small = unpacked(state["labels"], (15, 22)).copy()
    client.put(f"/api/correction?id={ID}", json=said(1, mask=packed(small)))
    np.testing.assert_array_equal(read_mask(desk.store.mask_file(ID)), fine)
    small[14, 20:] = 1
    client.put(f"/api/correction?id={ID}", json=said(2, mask=packed(small)))
    fine[28:, 40:] = 1
    np.testing.assert_array_equal(read_mask(desk.store.mask_file(ID)), fine)
    assert Image.open(BytesIO(client.get(f"/api/picture?id={ID}").content)).size == (22, 15)


def test_an_image_that_has_changed_since_is_named(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    Image.new("RGB", (7, 5)).save(desk.listed[ID].sample.image_path)
    answer = open_client(desk).get(f"/api/picture?id={ID}")
    assert answer.status_code == 400
    assert "has 7 x 5 pixels and its mask 44 x 30" in answer.json()["error"]
    desk.listed[ID].sample.image_path.unlink()
    assert "train_0.png" in open_client(desk).get(f"/api/thumbnail?id={ID}").json()["error"]


def test_a_mask_of_a_person_that_cannot_be_read_is_never_written_over(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    desk.store.write(Correction(ID), np.ones(SIZE_HW, np.uint8), expected_revision=0)
    Image.new("L", (3, 3)).save(desk.store.mask_file(ID))
    answer = open_client(desk).get(f"/api/state?id={ID}")
    assert answer.status_code == 500
    assert "put back a copy" in answer.json()["error"]


@pytest.mark.slow
def test_strokes_and_patches_come_in_the_size_of_the_image(tmp_path: Path) -> None:
    client = open_client(make_desk(tmp_path))
    patches = client.get(f"/api/superpixels?id={ID}").json()["patches"]
    assert len(unpacked(patches, (-1, 2))) == SIZE_HW[0] * SIZE_HW[1]
    assert client.get(f"/api/prepare?id={ID}").status_code == 204
    labels, strokes = np.zeros(SIZE_HW, np.uint8), np.full(SIZE_HW, server.NO_STROKE, np.uint8)
    strokes[5, 5:20] = 2
    answer = client.post(f"/api/spread?id={ID}", json={"labels": packed(labels), "strokes": packed(strokes)})
    assert (unpacked(answer.json()["labels"])[5, 5:20] == 2).all()
    assert client.post(f"/api/spread?id={ID}", json={"labels": packed(labels)}).status_code == 400


def test_an_entry_must_be_an_image_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'train_9' is no image of this run"):
        Desk(make_run(tmp_path), [Entry("train_9")])


def test_the_threshold_is_the_one_that_was_chosen(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    refine = replace(run.config.refine, background_threshold="auto")
    run = replace(run, config=replace(run.config, refine=refine))
    assert make_desk(tmp_path, run).threshold is None
    choice = {"threshold": 0.4, "best": 0.4, "candidates": [0.4], "curve": [0.1], "images": 3, "is_clear": True}
    run.folder.threshold.write_text(json.dumps(choice))
    assert make_desk(tmp_path, run).threshold == 0.4


def test_the_server_listens_on_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with server.open_socket(0) as listening:
        host, port = listening.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(DataError, match=f"--port: cannot listen on {port}"):
            server.open_socket(port)
        monkeypatch.setattr(server, "DEFAULT_PORT", port)
        with server.open_socket(None) as another:
            assert isinstance(another, socket.socket)
            assert another.getsockname()[1] != port
