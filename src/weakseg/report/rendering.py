"""Laying out a page: templates, one style sheet, one script, and a policy that allows nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

SCRIPT = "page.js"
STYLE = "page.css"


def lay_out(template: str, values: Mapping[str, object]) -> str:
    """Fill a template of this package; every text is escaped but for charts, style sheet and script.

    The page needs no other file. Its policy lets the browser load nothing and run this one script alone, which it knows
    by its digest; without scripts pictures do not enlarge, and all else stays.

    Args:
        template: File name below `templates/`.
        values: What it shows.
    """
    environment = Environment(
        loader=PackageLoader("weakseg.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    assert environment.loader is not None
    script, style = (environment.loader.get_source(environment, name)[0] for name in (SCRIPT, STYLE))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    shell = {"policy": policy, "script": Markup(script), "style": Markup(style)}
    return environment.get_template(template).render({**values, **shell})
