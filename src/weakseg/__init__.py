"""weakseg: from image-level tags to pixel masks and a trained segmentation network.

`Photos`, `Run` and `Model` are the way in from Python (docs/api.md); every module is there as an attribute.
"""

from types import MappingProxyType

from weakseg.lazy import open_modules

TYPE_CHECKING = False  # importing `typing` would take longer than all the rest
if TYPE_CHECKING:
    from weakseg.api import Model, Photos, Run

__all__ = ["Model", "Photos", "Run", "__version__"]

__version__ = "0.1.0"
__getattr__ = open_modules(__name__, names=MappingProxyType(dict.fromkeys(("Model", "Photos", "Run"), "weakseg.api")))


def __dir__() -> list[str]:
    """Name what a shell completes; modules are found without being named here."""
    return sorted({*globals(), *__all__})
