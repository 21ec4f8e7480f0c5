"""Telling arrays from tensors: the two look alike, and a mix-up otherwise ends in an `AttributeError` from within."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from weakseg.errors import ShapeError


def require_array(value: object, what: str) -> None:
    """Raise a `ShapeError` that says how to get one unless `value` is a NumPy array.

    Args:
        value: The argument.
        what: Its name in the message.
    """
    if not isinstance(value, np.ndarray):
        hint = "; hand over value.detach().cpu().numpy()" if isinstance(value, Tensor) else ""
        raise ShapeError(f"{what}: expected a NumPy array, got {_name_kind(value)}{hint}")


def require_tensor(value: object, what: str) -> None:
    """Raise a `ShapeError` that says how to get one unless `value` is a torch tensor.

    Args:
        value: The argument.
        what: Its name in the message.
    """
    if not isinstance(value, Tensor):
        hint = "; hand over torch.from_numpy(value)" if isinstance(value, np.ndarray) else ""
        raise ShapeError(f"{what}: expected a torch tensor, got {_name_kind(value)}{hint}")


def _name_kind(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.split('.')[0]}.{kind.__name__}"
