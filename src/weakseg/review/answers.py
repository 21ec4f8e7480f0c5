"""What the page asks about the images of a desk, and the answers: pictures, masks, and what a person says of them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from weakseg.errors import ArtifactError, DataError, WeaksegError
from weakseg.file_names import digest_text
from weakseg.files import JsonValue
from weakseg.ops.color import class_colours
from weakseg.pipeline.corrections.correction import Correction
from weakseg.pipeline.corrections.store import EditConflict
from weakseg.review.desk import SEED_STRIDE_PX, Desk, Kept, Listed
from weakseg.review.images import THUMBNAIL_SIDE_PX, encode_jpeg, encode_thumbnail
from weakseg.review.ordering import Ordering, Progress
from weakseg.review.patches import find_patches
from weakseg.review.scribbles import NO_STROKE, StrokeSpreader
from weakseg.review.static_files import static_routes
from weakseg.review.wire import (
    Said,
    TooLarge,
    bound_bytes,
    pack_array,
    parse_message,
    parse_said,
    read_body,
    unpack_labels,
)

logger = logging.getLogger("weakseg")

_KEPT_THUMBNAILS = 2000
_KEPT_PATCHES = 16

Answer = Callable[[Request], Awaitable[Response]]
Message = dict[str, JsonValue]


class Answers:
    """Answers the page's requests about the images of a desk.

    Args:
        desk: The images.
        ordering: What finds their order meanwhile; None if that is known, or not asked for.
    """

    def __init__(self, desk: Desk, ordering: Ordering | None = None) -> None:
        self.desk = desk
        self.ordering = ordering
        self.spreader = StrokeSpreader()
        self._patches: Kept[str] = Kept(_KEPT_PATCHES)
        self._thumbnails: Kept[bytes] = Kept(_KEPT_THUMBNAILS)

    def routes(self) -> list[Route]:
        """Return what is answered."""
        return [
            *static_routes(__package__),
            Route("/api/session", _answer(self.session)),
            Route("/api/ordering", _answer(self.tell_ordering)),
            Route("/api/state", self._about_image(self.state)),
            Route("/api/original", self._about_image(self.original)),
            Route("/api/picture", self._about_image(self.picture)),
            Route("/api/thumbnail", self._about_image(self.thumbnail)),
            Route("/api/seed", self._about_image(self.seed)),
            Route("/api/superpixels", self._about_image(self.superpixels)),
            Route("/api/prepare", self._about_image(self.prepare)),
            Route("/api/cut", self._about_image(self.cut, with_message=True), methods=["POST"]),
            Route("/api/spread", self._about_image(self.spread, with_message=True), methods=["POST"]),
            Route("/api/correction", self._about_image(self.correct, with_message=True), methods=["PUT"]),
        ]

    def session(self) -> Response:
        """Return classes, threshold and the list."""
        desk, names = self.desk, self.desk.classes.names
        colours = class_colours(len(names))
        return JSONResponse(
            {
                "run": desk.folder.root.resolve().name,
                "key": digest_text(str(desk.folder.root.resolve())),
                "classes": [{"name": name, "colour": colour} for name, colour in zip(names, colours, strict=True)],
                "threshold": desk.threshold,
                "followsEdges": desk.crf is not None,
                "noStroke": NO_STROKE,
                "isOrdering": self.ordering is not None and not self.ordering.progress.is_done,
                "images": [self._summarise(listed) for listed in desk.listed.values()],
            }
        )

    def tell_ordering(self) -> Response:
        """Return how far the order of the list is found."""
        progress = Progress(is_done=True) if self.ordering is None else self.ordering.progress
        return JSONResponse(
            {
                "done": progress.done,
                "total": progress.total,
                "isDone": progress.is_done,
                "problem": progress.problem,
            }
        )

    def _summarise(self, listed: Listed) -> Message:
        sample_id, entry = listed.sample.id, listed.entry
        try:
            said, problem = self.desk.read_said(sample_id), ""
        except ArtifactError as error:
            said, problem = None, str(error)
        return {
            "id": sample_id,
            "split": listed.dataset.split,
            "why": entry.why,
            "missingTags": entry.missing_tags,
            "doubtfulTags": entry.doubtful_tags,
            "tags": self.desk.tags(sample_id, said),
            "problem": problem,
            **_describe(said),
        }

    def state(self, listed: Listed, _: Message) -> Response:
        """Return an image's mask and what is said of it."""
        return JSONResponse(self._read_state(listed))

    def _read_state(self, listed: Listed) -> Message:
        desk, sample_id = self.desk, listed.sample.id
        while True:  # a mask and a record that belong together, should somebody write just now
            said = desk.read_said(sample_id)
            labels = desk.labels(sample_id)
            again = desk.read_said(sample_id)
            if again == said:
                break
        height, width = labels.shape
        full_hw = desk.full_size(sample_id) or labels.shape
        return {
            "id": sample_id,
            "width": width,
            "height": height,
            "fullWidth": full_hw[1],
            "fullHeight": full_hw[0],
            "tags": desk.tags(sample_id, said),
            "ownTags": desk.own_tags(sample_id),
            "hasSeed": desk.has_seed(sample_id),
            "labels": pack_array(labels),
            **_describe(said),
        }

    def original(self, listed: Listed, _: Message) -> Response:
        """Return the mask that the run has made of an image."""
        return JSONResponse({"labels": pack_array(self.desk.original(listed.sample.id))})

    def picture(self, listed: Listed, _: Message) -> Response:
        """Return an image, upright, as a JPEG."""
        content = encode_jpeg(self.desk.image(listed.sample.id))
        return Response(content, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    def thumbnail(self, listed: Listed, _: Message) -> Response:
        """Return a small picture with its mask, as a JPEG."""
        desk, sample_id = self.desk, listed.sample.id
        said = desk.read_said(sample_id)
        key = (sample_id, 0 if said is None else said.revision)

        def make() -> bytes:
            shrunk = listed.dataset.load_shrunk(listed.sample, THUMBNAIL_SIDE_PX).pixels
            return encode_thumbnail(shrunk, desk.labels(sample_id), num_classes=len(desk.classes))

        content = self._thumbnails.get(key, make)
        return Response(content, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    def seed(self, listed: Listed, _: Message) -> Response:
        """Return the scores of an image's tags as small maps of 0..255, for the browser to cut."""
        maps = self.desk.seed(listed.sample.id)
        if maps is None or not maps.keys:
            return JSONResponse({"keys": [], "width": 0, "height": 0, "maps": ""})
        strided = maps.strided(SEED_STRIDE_PX).numpy()
        small: NDArray[np.uint8] = np.rint(255 * np.clip(strided, 0, 1)).astype(np.uint8)
        return JSONResponse(
            {"keys": maps.keys, "width": small.shape[2], "height": small.shape[1], "maps": pack_array(small)}
        )

    def superpixels(self, listed: Listed, _: Message) -> Response:
        """Return the number of each pixel's patch, two bytes a pixel."""
        sample_id = listed.sample.id
        patches = self._patches.get(sample_id, lambda: pack_array(find_patches(self.desk.image(sample_id))))
        return JSONResponse({"patches": patches})

    def prepare(self, listed: Listed, _: Message) -> Response:
        """Build what the first scribble on an image needs."""
        self.spreader.prepare(listed.sample.id, self.desk.image(listed.sample.id))
        return Response(status_code=204)

    def cut(self, listed: Listed, message: Message) -> Response:
        """Return the mask that the seed gives at another threshold."""
        threshold, follow_edges = message.get("threshold"), message.get("followEdges")
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise DataError("threshold: expected a number within 0..1")
        labels = self.desk.cut(listed.sample.id, float(threshold), follow_edges=follow_edges is True)
        return JSONResponse({"labels": pack_array(labels)})

    def spread(self, listed: Listed, message: Message) -> Response:
        """Return the mask that strokes make of another; nothing is written."""
        sample_id, size_hw = listed.sample.id, self.desk.edit_size(listed.sample.id)
        labels = unpack_labels(message.get("labels"), size_hw)
        strokes = unpack_labels(message.get("strokes"), size_hw)
        spread = self.spreader.spread(sample_id, self.desk.image(sample_id), labels, strokes)
        return JSONResponse({"labels": pack_array(spread)})

    def correct(self, listed: Listed, message: Message) -> Response:
        """Write what is said of an image."""
        sample_id = listed.sample.id
        said = parse_said(message, self.desk.edit_size(sample_id))
        try:
            written = self._write(listed, said)
        except EditConflict as conflict:
            return JSONResponse({"error": str(conflict), "state": self._read_state(listed)}, 409)
        return JSONResponse({**_describe(written), "tags": self.desk.tags(sample_id, written)})

    def _write(self, listed: Listed, said: Said) -> Correction:
        store, sample_id = self.desk.store, listed.sample.id
        before = store.read(sample_id) or Correction(sample_id)
        own = self.desk.own_tags(sample_id)
        correction = replace(
            before,
            verdict=said.verdict,
            added_tags=tuple(tag for tag in said.tags if tag not in own),
            removed_tags=tuple(tag for tag in own if tag not in said.tags),
            has_mask=said.change != "none" and before.has_mask,
            source="review",
        )
        mask = None
        if said.mask is not None:
            if before.revision != said.revision:  # before the mask is merged into another than the page has seen
                return store.write(correction, expected_revision=said.revision)
            mask = self.desk.merge(sample_id, said.mask)
        return store.write(correction, mask, expected_revision=said.revision)

    def _about_image(self, work: Callable[[Listed, Message], Response], *, with_message: bool = False) -> Answer:
        """Return what finds the image of a request, by its id in the list alone, and answers."""

        async def answer(request: Request) -> Response:
            listed = self.desk.find(request.query_params.get("id", ""))
            if listed is None:
                return JSONResponse({"error": "there is no such image in this run"}, 404)

            async def run() -> Response:
                message: Message = {}
                if with_message:
                    size_hw = await run_in_threadpool(self.desk.edit_size, listed.sample.id)
                    message = parse_message(await read_body(request, max_bytes=bound_bytes(size_hw)))
                return await run_in_threadpool(work, listed, message)

            return await _tell_errors(run)

        return answer


def _describe(said: Correction | None) -> Message:
    if said is None:
        return {"revision": 0, "verdict": None, "hasMask": False, "changedAt": ""}
    return {
        "revision": said.revision,
        "verdict": said.verdict,
        "hasMask": said.has_mask,
        "changedAt": said.changed_at,
    }


def _answer(work: Callable[[], Response]) -> Answer:
    async def answer(request: Request) -> Response:
        return await _tell_errors(lambda: run_in_threadpool(work))

    return answer


async def _tell_errors(run: Callable[[], Awaitable[Response]]) -> Response:
    """Turn errors of the user's files into answers with one line, which the page shows."""
    try:
        return await run()
    except TooLarge as error:
        return JSONResponse({"error": str(error)}, 413)
    except WeaksegError as error:
        logger.warning("%s", error)
        return JSONResponse({"error": str(error)}, 500 if isinstance(error, ArtifactError) else 400)
    except OSError as error:
        logger.warning("%s", error)
        return JSONResponse({"error": str(error)}, 500)
