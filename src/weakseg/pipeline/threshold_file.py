"""The file that keeps a chosen threshold: `threshold.json`, or `seed_threshold.json` of a refiner's labels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.files import write_json
from weakseg.refine.threshold.choice import ThresholdChoice


def write_choice(path: Path, choice: ThresholdChoice) -> None:
    """Write a choice, and in words how it was made."""
    if choice.corrected:
        statistic = "mean IoU with the corrected masks"
        how = f"chosen on {choice.corrected} corrected masks, colours and areas"
    else:
        statistic, how = "colour information, bits per pixel", "chosen without masks"
    write_json(path, {"statistic": statistic, "how": how, **asdict(choice)})


def load_choice(path: Path) -> ThresholdChoice:
    """Read the choice that `write_choice` wrote.

    Raises:
        ArtifactError: If the file is missing or damaged.
    """
    try:
        entry = decode_json(path.read_text(encoding="utf-8"))
        return ThresholdChoice(
            threshold=float(entry["threshold"]),
            best=float(entry["best"]),
            candidates=tuple(entry["candidates"]),
            curve=tuple(entry["curve"]),
            images=entry["images"],
            # Files of earlier versions have none.
            areas=tuple(entry.get("areas", (None,) * len(entry["candidates"]))),
            is_clear=entry["is_clear"],
            corrected=entry.get("corrected", 0),
        )
    except FileNotFoundError:
        raise ArtifactError(f"there is no {path}; run the stage 'refine' first") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); run the chain again with --redo refine") from None
