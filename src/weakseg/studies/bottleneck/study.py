"""Study `bottleneck`: the toy experiment by which RIB argues that a classifier's last layer is a bottleneck.

After Lee et al., "Reducing Information Bottleneck for Weakly Supervised Semantic Segmentation" (NeurIPS 2021), section
3. Images show a digit, which tells the class, and one in ten a marker, which tells it as well. Gradients with respect
to the image say on which pixels each layer depends. The paper finds that the marker's share falls at the last layer,
and rises again while RIB adapts the classifier. `docs/study_bottleneck.md` tells which of it this shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from weakseg.data.digits import Digits, open_digits
from weakseg.data.marked_digits import MARKED_DIGITS
from weakseg.errors import UsageError
from weakseg.files import JsonValue
from weakseg.pipeline.records import DIGEST_BYTES
from weakseg.pipeline.runtime import launched_processes, make_deterministic
from weakseg.studies.bottleneck.figure import SIZE_IN, draw_bottleneck
from weakseg.studies.bottleneck.seed import SeedFiles, run_seed
from weakseg.studies.bottleneck.settings import BottleneckSettings
from weakseg.studies.bottleneck.table import make_details, make_table
from weakseg.studies.folder import Study, StudyPlan, StudyRequest, begin_study, find_study_folder, finish_study

NAME = "bottleneck"

VERSION = 1
"""Raised when the results change for the same settings."""


def study_bottleneck(settings: BottleneckSettings, request: StudyRequest) -> Study:
    """Train twins, measure on what their layers depend, and again while they are adapted.

    Seeds that an interrupted study, or one of fewer seeds, has computed are used again. Everything runs on the CPU.

    Args:
        settings: What to do.
        request: Where and how; the study's name is `bottleneck` unless it has another.

    Returns:
        Files and table.

    Raises:
        UsageError: If a setting or the name cannot be, or several processes were launched.
        ConfigError: If the study was made with other settings.
        DataError: If the digits cannot be read.
        MissingExtra: If they need a package that is not installed.
        WeaksegError: If a training or an adaptation diverges.
    """
    settings.check()
    if launched_processes() > 1:
        raise UsageError("study bottleneck runs in one process; start it without torchrun")
    folder = find_study_folder(request, default_name=NAME)
    digits = open_digits(settings.digits, digits=MARKED_DIGITS)
    make_deterministic()
    plan = StudyPlan(NAME, VERSION, request.command, settings.seeds[0], _list_settings(settings, digits))
    begin_study(folder, plan, redo=request.redo)
    files = {seed: SeedFiles(folder.results, seed) for seed in settings.seeds}
    with _one_thread():
        for own in files.values():
            if not own.record.is_file():
                run_seed(own, digits, settings)
    results = {seed: own.load() for seed, own in files.items()}
    pictures = files[settings.seeds[0]].load_pictures()
    return finish_study(
        folder,
        plan,
        make_table(results, settings, source=digits.source),
        draw=lambda figure: draw_bottleneck(figure, results, pictures),
        size_in=SIZE_IN,
        details=make_details(results),
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: layers this small lose by more, and numbers do not depend on how many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _list_settings(settings: BottleneckSettings, digits: Digits) -> dict[str, JsonValue]:
    """List what one seed's results depend on; the digits by what they are, wherever they lie."""
    digest = hashlib.blake2b(digits.pictures.tobytes() + digits.digits.tobytes(), digest_size=DIGEST_BYTES)
    return {**settings.to_json(), "digits": digits.source, "images and tags of the digits": digest.hexdigest()}
