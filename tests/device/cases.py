"""Cases of the law that the device follows the input: calls with everything on a given device, and their comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from tests.device.pretended import CPU, PRETENDED, pretended_device

Case = Callable[[torch.device], object]
"""Does something with everything on a device, and returns what comes of it.

Tensors it returns are to be on that device; what is documented to be on the CPU it returns as arrays.
"""


class CaseTable:
    """Cases by name, and the public functions they are about.

    Attributes:
        cases: The cases.
        covered: The functions.
    """

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self.covered: set[Callable[..., object]] = set()

    def about(self, *functions: Callable[..., object]) -> Callable[[Case], Case]:
        """Add a case that calls some public functions."""

        def add(case: Case) -> Case:
            assert case.__name__ not in self.cases
            self.cases[case.__name__] = case
            self.covered.update(functions)
            return case

        return add


@contextmanager
def as_in_a_run() -> Iterator[None]:
    """Ask for deterministic algorithms, as runs do: off the CPU some functions of torch then take other ways."""
    asked, only_warn = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(asked, warn_only=only_warn)


def assert_follows(case: Case, *, tolerance: float = 1e-6) -> None:
    """Raise an error unless a case, on the pretended device, mixes no devices, stays there, and gives the CPU's values.

    Args:
        case: The case; called twice.
        tolerance: See `assert_alike`.
    """
    with as_in_a_run():
        expected = case(CPU)
        with pretended_device() as device:
            found = case(PRETENDED)
    assert device.operations, "nothing was computed on the device"
    assert_alike(found, expected, device=PRETENDED, tolerance=tolerance)


def assert_alike(found: object, expected: object, *, device: torch.device, tolerance: float) -> None:
    """Raise an error unless what a case returned is on its device and equal to what it returned on the CPU.

    Args:
        found: What it returned on the device.
        expected: What it returned on the CPU.
        device: The device.
        tolerance: How far floats may differ, absolutely or relatively: off the CPU torch resizes in another order.
    """
    ours, theirs = list(leaves(found)), list(leaves(expected))
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    for (name, one), (_, other) in zip(ours, theirs, strict=True):
        if isinstance(one, Tensor):
            assert one.device.type == device.type, f"{name} is on {one.device}"
            one = one.cpu()
        if isinstance(one, (Tensor, np.ndarray, float)):
            torch.testing.assert_close(
                one,
                other,
                rtol=tolerance,
                atol=tolerance,
                equal_nan=True,
                msg=lambda told, name=name: f"{name}: {told}",
            )
        else:
            assert one == other, name


def leaves(tree: object, name: str = "result") -> Iterator[tuple[str, object]]:
    """Walk through what a case returns; yields tensors, arrays and plain values with where they are found."""
    if dataclasses.is_dataclass(tree):
        tree = {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree)}
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, f"{name}.{key}")
    elif isinstance(tree, (list, tuple)):
        for place, value in enumerate(tree):
            yield from leaves(value, f"{name}[{place}]")
    else:
        yield name, tree


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Draw normal numbers on the CPU."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def uniform(*shape: int, seed: int = 0) -> Tensor:
    """Draw numbers in 0..1 on the CPU."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def labels(below: int, *shape: int) -> Tensor:
    """Draw integers on the CPU; the last column is void."""
    drawn = torch.randint(below, shape, generator=torch.Generator().manual_seed(0))
    drawn[..., -1] = 255
    return drawn


def with_gradients(function: Callable[..., object], *inputs: Tensor) -> list[object]:
    """Return what a function makes of tensors, and the gradients that they get from all of it."""
    learning = [tensor.detach().requires_grad_() for tensor in inputs]
    result = function(*learning)
    parts = [leaf for _, leaf in leaves(result) if isinstance(leaf, Tensor)]
    # Weighted by themselves, so that the gradients are not those of a constant sum.
    torch.stack([(part * part.detach()).sum() for part in parts]).sum().backward()
    return [[part.detach() for part in parts], [tensor.grad for tensor in learning]]
