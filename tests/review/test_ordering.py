import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.pipeline.made_context import make_context
from tests.review.desks import HEADERS, HOST, ORIGIN, TOKEN, make_desk
from tests.tiny import make_dataset
from weakseg.errors import ArtifactError
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stages import STAGES
from weakseg.review import opening
from weakseg.review.desk import Desk, Entry
from weakseg.review.evidence import Tell, gather_evidence, is_gathered
from weakseg.review.ordering import Ordering, Progress
from weakseg.review.server import build_app


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path)


class Slow:
    """Finds the order of a desk's images backwards, once it is let."""

    def __init__(self, desk: Desk) -> None:
        self.entries = [Entry(name, f"doubted: {name}") for name in reversed(desk.listed)]
        self.is_let, self.has_told = threading.Event(), threading.Event()

    def __call__(self, tell: Tell) -> Sequence[Entry]:
        tell(2, 6)
        self.has_told.set()
        assert self.is_let.wait(30)
        tell(6, 6)
        return self.entries


def end(ordering: Ordering) -> None:
    ordering._thread.join(30)
    assert not ordering._thread.is_alive()


def test_images_are_brought_into_an_order_that_was_found_meanwhile(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    from starlette.testclient import TestClient

    caplog.set_level(logging.INFO)
    before, find = list(desk.listed), Slow(desk)
    ordering = Ordering(desk, find)
    app = build_app(desk, token=TOKEN, hosts=frozenset({HOST}), ordering=ordering)
    client = TestClient(app, base_url=ORIGIN, headers=HEADERS)
    ordering.start()
    assert find.has_told.wait(30)
    assert client.get("/api/ordering").json() == {"done": 2, "total": 6, "isDone": False, "problem": ""}
    session = client.get("/api/session").json()
    assert ([image["id"] for image in session["images"]], session["isOrdering"]) == (before, True)
    find.is_let.set()
    end(ordering)
    assert client.get("/api/ordering").json() == {"done": 6, "total": 6, "isDone": True, "problem": ""}
    session = client.get("/api/session").json()
    assert ([image["id"] for image in session["images"]], session["isOrdering"]) == (before[::-1], False)
    assert session["images"][0]["why"] == f"doubted: {before[-1]}"
    assert "the list is ordered now: the most doubtful masks come first" in caplog.messages


def test_who_stops_waits_for_the_present_image_and_changes_nothing(desk: Desk) -> None:
    before, find = list(desk.listed), Slow(desk)
    ordering = Ordering(desk, find)
    ordering.start()
    assert find.has_told.wait(30)
    ordering.stop(wait_s=0)
    find.is_let.set()
    end(ordering)
    assert list(desk.listed) == before
    assert not ordering.progress.is_done


def test_what_cannot_be_ordered_stays_as_it_is_and_says_why(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    def find(tell: Tell) -> Sequence[Entry]:
        raise ArtifactError("the seed of 'a' is damaged")

    ordering, before = Ordering(desk, find), list(desk.listed)
    ordering.start()
    end(ordering)
    assert ordering.progress == Progress(problem="The list could not be ordered: the seed of 'a' is damaged")
    assert list(desk.listed) == before
    assert "stay as the data set has them: the seed of 'a' is damaged" in caplog.messages[0]


def test_images_that_an_order_does_not_name_come_last(desk: Desk) -> None:
    first, *others, last = desk.listed
    desk.reorder([Entry(last, "why"), Entry("unknown")])
    assert list(desk.listed) == [last, first, *others]
    assert desk.listed[last].entry.why == "why"
    assert desk.listed[first].entry.why == "the seed and the mask differ", "as it was"


@pytest.mark.slow
def test_a_run_opens_at_once_and_in_order_the_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = make_dataset(tmp_path / "images")
    context = make_context(tmp_path / "run", (train, None))
    run_stages(context, STAGES)
    monkeypatch.setattr(opening, "open_run", lambda run: context)
    monkeypatch.setattr(opening, "read_run_config", lambda run: context.config)
    assert not is_gathered(context)
    opened = opening.open_desk(context.folder.root)
    assert list(opened.desk.listed) == [sample.id for sample in train]
    assert opened.ordering is not None
    told: list[tuple[int, int]] = []
    with pytest.raises(KeyError):  # stands for whoever does not want to wait any more
        gather_evidence(context, tell=lambda done, total: told.append((done, total)) or {}[done])  # type: ignore[func-returns-value]
    assert told == [(1, len(train))]
    opened.ordering.start()
    end(opened.ordering)
    assert opened.ordering.progress == Progress(len(train), len(train), is_done=True)
    assert is_gathered(context)
    again = opening.open_desk(context.folder.root)
    assert again.ordering is None
    assert list(again.desk.listed) == list(opened.desk.listed)
    assert any(listed.entry.why for listed in again.desk.listed.values())
    unsorted = opening.open_desk(context.folder.root, is_sorted=False)
    assert (list(unsorted.desk.listed), unsorted.ordering) == ([sample.id for sample in train], None)
