"""What weakseg stands on, with licences: a bill of materials (CycloneDX 1.6, JSON) of this environment.

    python tools/make_sbom.py [FILE]     dist/weakseg-VERSION.cdx.json when not given; `make sbom`

It lists weakseg and what its extra `all` brings, as far as that is installed, and what those bring. Packages that only
testing needs are left out. Licences are those that packages state of themselves.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT_PACKAGE, ROOT_EXTRA = "weakseg", "all"

MAX_NAME_CHARACTERS = 100
"""A field `License` that is longer holds the licence's text, not its name."""

_CLASSIFIER = "License :: OSI Approved :: "

_SPDX: Mapping[str, str] = {
    "MIT": "MIT", "MIT License": "MIT", "Apache 2.0": "Apache-2.0", "Apache-2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0", "BSD-3-Clause": "BSD-3-Clause", "BSD-2-Clause": "BSD-2-Clause",
    "BSD 3-Clause License": "BSD-3-Clause", "3-Clause BSD License": "BSD-3-Clause", "PSF-2.0": "PSF-2.0",
    "MPL-2.0": "MPL-2.0", "ISC": "ISC", "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}  # fmt: skip
"""Names that stand for one licence of SPDX's list; others are told as they are."""


def make_sbom() -> dict[str, object]:
    """Return the document.

    Raises:
        PackageNotFoundError: If weakseg itself is not installed.
    """
    found = {ROOT_PACKAGE: distribution(ROOT_PACKAGE)}
    needs: dict[str, list[str]] = {}
    waiting = [(ROOT_PACKAGE, frozenset({ROOT_EXTRA}))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        name, extras = place
        for requirement in _needed(found[name], extras):
            other = canonicalize_name(requirement.name)
            try:
                found.setdefault(other, distribution(requirement.name))
            except PackageNotFoundError:  # an extra that is not installed here
                continue
            if other != name:
                needs.setdefault(name, []).append(other)
            waiting.append((other, frozenset(requirement.extras)))
    parts = {name: _describe(name, found[name]) for name in sorted(found)}
    content = json.dumps(parts, sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # The same parts have the same number, so that the same release has the same file.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {"component": {**parts.pop(ROOT_PACKAGE), "type": "application"}},
        "components": list(parts.values()),
        "dependencies": [
            {
                "ref": _address(found[name]),
                "dependsOn": sorted({_address(found[other]) for other in needs.get(name, ())}),
            }
            for name in sorted(found)
        ],
    }


def _needed(package: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    """Yield what a package needs here with these extras."""
    for line in package.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            yield requirement


def _describe(name: str, package: Distribution) -> dict[str, object]:
    return {
        "type": "library",
        "bom-ref": _address(package),
        "name": name,
        "version": package.version,
        "purl": _address(package),
        "licenses": _licences(package),
    }


def _address(package: Distribution) -> str:
    return f"pkg:pypi/{canonicalize_name(package.metadata['Name'])}@{package.version}"


def _licences(package: Distribution) -> list[dict[str, object]]:
    """Return what a package says of its licence: an expression, a name, or its classifiers; nothing if it is silent."""
    expression = package.metadata.get("License-Expression")
    if expression:
        return [{"expression": expression}]
    stated = (package.metadata.get("License") or "").strip()
    is_name = 0 < len(stated) <= MAX_NAME_CHARACTERS and "\n" not in stated and stated != "UNKNOWN"
    names = [stated] if is_name else []
    classifiers = package.metadata.get_all("Classifier") or []
    names = names or [line.removeprefix(_CLASSIFIER) for line in classifiers if line.startswith(_CLASSIFIER)]
    return [{"license": {"id": _SPDX[name]} if name in _SPDX else {"name": name}} for name in names]


def main() -> None:
    """Write the document, and name the packages that state no licence."""
    document = make_sbom()
    version = distribution(ROOT_PACKAGE).version
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("dist") / f"{ROOT_PACKAGE}-{version}.cdx.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    components = document["components"]
    assert isinstance(components, list)
    silent = [part["name"] for part in components if not part["licenses"]]
    print(f"{len(components)} packages -> {target}" + (f"; no licence stated by {', '.join(silent)}" if silent else ""))


if __name__ == "__main__":
    main()
