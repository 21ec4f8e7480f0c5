"""A device that no machine has, for tests: it computes as the CPU does, and refuses what a GPU refuses.

"The device follows the input" cannot be tested where the CPU is the only device: code that forgets a device makes CPU
tensors, which there are right. `pretended_device` lends a second one. Its name is `meta`, the one device type of torch
that needs no backend; what torch itself makes on `meta` has no values, so tensors here are `PretendedTensor`s, which
hold theirs as CPU tensors. Every operation passes through `_run` below, which

- computes it on the values, so that results can be compared with those of the CPU and `item()`, `bool()` and branches
  on values work;
- raises `WrongDevice` where it mixes tensors of the two devices and CUDA would refuse that. CUDA takes, and so does
  this device: a CPU tensor without dimensions as one of two operands of elementwise arithmetic, as the value of
  `index_put_` and `masked_fill`, and in `where`; CPU tensors as indices; either device in `copy_`;
- raises `WrongDevice` for a generator of the CPU that is to draw numbers on the device, and for `numpy()` or
  `np.asarray()` without `cpu()` before.

Autograd, modules (`module.to` keeps the parameters' identity, as with CUDA), optimisers, views and operations in place
work, also in backward passes and custom functions. What is stricter than CUDA: of three or more operands none may be a
CPU tensor without dimensions but where said above, since not every such operation takes one. What is not represented:

- branches of torch and of the package that ask for the type `cuda`: optimisers' fused and `foreach` forms, cuDNN, fused
  attention, NCCL, `torch.cuda`, `pin_memory`; generators of the device (the CPU's global one draws the numbers);
- `torch.autocast` with `enabled=True`, sparse and quantised tensors, `tensor.data = ...`, operations that change
  the shape of a tensor in place: they raise `NotImplementedError`;
- asynchrony, rounding, speed, memory, what has no deterministic kernel;
- threads and processes begun inside: torch's modes belong to one thread, so that data loaders need `workers=0`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

PRETENDED = torch.device("meta")
CPU = torch.device("cpu")

_aten = torch.ops.aten
_COPIES = {_aten.copy_, _aten.copy}
_INDEXING = {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_, _aten._unsafe_index}
_SCALARS_WELCOME = {_aten.where, _aten.masked_fill, _aten.masked_fill_}
"""Take CPU tensors without dimensions though they have three operands or are no elementwise arithmetic to torch."""


class WrongDevice(RuntimeError):
    """An operation that CUDA would refuse, since what it is given is on different devices or on the wrong one."""


class PretendedTensor(Tensor):
    """A tensor whose device is `PRETENDED` and whose values lie on the CPU, in `values`."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> PretendedTensor:
        if values.layout != torch.strided:
            raise NotImplementedError(f"the pretended device has no tensors of layout {values.layout}")
        return Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=PRETENDED,
        )

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __repr__(self) -> str:
        return f"PretendedTensor({self.values!r})"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(
        cls, func: OpOverload, types: object, args: Sequence[object] = (), kwargs: Mapping[str, object] | None = None
    ) -> object:
        return _run(func, args, kwargs or {})


class PretendedDevice(TorchDispatchMode):
    """Sends every operation of a block through `_run`, those without a tensor (`zeros(2, device=...)`) among them.

    Attributes:
        operations: Number of operations so far that had a tensor of the device as argument or result.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: Sequence[object] = (), kwargs: Mapping[str, object] | None = None
    ) -> object:
        result = _run(func, args, kwargs or {})
        self.operations += any(isinstance(leaf, PretendedTensor) for leaf in _leaves_of((args, kwargs, result)))
        return result


@contextmanager
def pretended_device() -> Iterator[PretendedDevice]:
    """Make `PRETENDED` a device that computes, within a block; tensors that come from it stay usable afterwards."""
    swapped = torch.__future__.get_swap_module_params_on_conversion()
    mode = PretendedDevice()
    with patch.object(torch, "autocast", _make_autocast(torch.autocast)), warnings.catch_warnings(), _PythonArgs():
        # Of a module filled from a file: true of torch's own `meta`, whose tensors have no values.
        warnings.filterwarnings("ignore", message=".*to a meta parameter in the current model, which is a no-op")
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            with mode:
                yield mode
        finally:
            torch.__future__.set_swap_module_params_on_conversion(swapped)


def _run(func: OpOverload, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
    """Compute one operation on the values of its arguments and put the result where it belongs."""
    leaves = _leaves_of((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    here = [tensor for tensor in tensors if isinstance(tensor, PretendedTensor)]
    there = [tensor for tensor in tensors if not isinstance(tensor, PretendedTensor)]
    if any(tensor.is_meta for tensor in there):
        raise NotImplementedError(f"{func}: a tensor came onto the device on a way that loses its values")
    if here and there:
        _refuse_mixture(func, args, kwargs)
    device = kwargs.get("device")
    stays = bool(here) if device is None else torch.device(device).type == PRETENDED.type
    if stays and any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise WrongDevice(f"{func}: expected a generator of the device, got one of the CPU")
    if device is not None:
        kwargs = {**kwargs, "device": CPU}
    result = func(*_map_leaves(_values_of, tuple(args)), **_map_leaves(_values_of, dict(kwargs)))
    if not stays:
        return result
    written = _written(func, args, kwargs)
    for tensor in written:
        assert isinstance(tensor, PretendedTensor)
        if tensor.shape != tensor.values.shape:
            raise NotImplementedError(f"{func}: the pretended device changes no shape in place")
    if written and _returns_argument(func):
        return written[0] if len(written) == 1 else tuple(written)
    return _map_leaves(_wrap, result)


def _values_of(leaf: object) -> object:
    return leaf.values if isinstance(leaf, PretendedTensor) else leaf


def _wrap(leaf: object) -> object:
    return PretendedTensor(leaf) if isinstance(leaf, Tensor) else leaf


def _leaves_of(tree: object) -> list[object]:
    """Return what stands in nested arguments; torch's own walk takes longer than most operations."""
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in _leaves_of(part)]
    if isinstance(tree, dict):
        return [leaf for part in tree.values() for leaf in _leaves_of(part)]
    return [tree]


def _map_leaves(function: Callable[[object], object], tree: Any) -> Any:
    """Return nested arguments with a function applied to each."""
    kind = type(tree)
    if kind is tuple or kind is list:
        return kind([_map_leaves(function, part) for part in tree])
    if kind is dict:
        return {name: _map_leaves(function, part) for name, part in tree.items()}
    return tree_map(function, tree) if isinstance(tree, tuple) else function(tree)  # a named tuple


@cache
def _written_places(func: OpOverload) -> tuple[tuple[int, str], ...]:
    """Return place and name of the arguments that an operation writes to; torch makes its schema anew at each look."""
    aliases = [(argument.name, argument.alias_info) for argument in func._schema.arguments]
    return tuple((place, name) for place, (name, alias) in enumerate(aliases) if alias is not None and alias.is_write)


@cache
def _returns_argument(func: OpOverload) -> bool:
    return any(value.alias_info is not None for value in func._schema.returns)


def _written(func: OpOverload, args: Sequence[object], kwargs: Mapping[str, object]) -> list[Tensor]:
    """Return the arguments that an operation writes to, in order."""
    written = []
    for place, name in _written_places(func):
        given = args[place] if place < len(args) else kwargs.get(name)
        written += [leaf for leaf in _leaves_of(given) if isinstance(leaf, Tensor)]
    return written


def _refuse_mixture(func: OpOverload, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    """Raise `WrongDevice` unless CUDA would take this mixture of tensors of both devices."""
    kind = func.overloadpacket
    if kind in _COPIES:
        return
    tensors = [leaf for leaf in _leaves_of((args, kwargs)) if isinstance(leaf, Tensor)]
    if kind in _INDEXING and isinstance(args[0], PretendedTensor):
        if all(isinstance(value, PretendedTensor) or value.ndim == 0 for value in args[2:3]):
            return
    elif kind in _SCALARS_WELCOME or (torch.Tag.pointwise in func.tags and len(tensors) <= 2):
        scalars = [tensor for tensor in tensors if not isinstance(tensor, PretendedTensor)]
        written = {id(tensor) for tensor in _written(func, args, kwargs)}
        if all(tensor.ndim == 0 and id(tensor) not in written for tensor in scalars):
            return
    found = ", ".join(f"{tensor.device.type} {tuple(tensor.shape)}" for tensor in tensors)
    raise WrongDevice(f"{func}: expected all tensors to be on the same device, got {found}")


class _PythonArgs(TorchFunctionMode):
    """Handles the calls in which Python values become tensors, or tensors Python values, outside of all dispatch."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and _is_pretended(kwargs.get("device")):
            return _take_over(func(*args, **{**kwargs, "device": CPU}))
        if not args or not isinstance(args[0], PretendedTensor):
            return func(*args, **kwargs)
        this = args[0]
        if func is Tensor.new_tensor and kwargs.get("device", PRETENDED) == PRETENDED:
            return _take_over(torch.tensor(*args[1:], **{"dtype": this.dtype, **kwargs, "device": CPU}))
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            return func(this, _index_by_tensors(args[1]), *args[2:])
        if func is Tensor.tolist:
            return this.values.tolist()
        if func is Tensor.__format__ and this.ndim == 0:
            return format(this.item(), *args[1:])
        if func in (Tensor.numpy, Tensor.__array__):
            raise WrongDevice("cannot make a NumPy array of a tensor on the device; use cpu() first")
        if func == Tensor.data.__set__:
            raise NotImplementedError("the pretended device does not replace the data of a tensor")
        return func(*args, **kwargs)


def _is_pretended(device: object) -> bool:
    return device is not None and torch.device(device).type == PRETENDED.type


def _take_over(tensor: Tensor) -> Tensor:
    """Move a fresh CPU tensor to the device; unlike `to` it leaves a leaf a leaf."""
    return tensor.detach().to(PRETENDED).requires_grad_(tensor.requires_grad)


def _index_by_tensors(index: object) -> object:
    """Turn lists of numbers in an index into tensors, which keep their values."""
    if isinstance(index, tuple):
        return tuple(_index_by_tensors(part) for part in index)
    return torch.tensor(index, dtype=None if index else torch.int64) if isinstance(index, list) else index


def _make_autocast(
    real: Callable[..., AbstractContextManager[object]],
) -> Callable[..., AbstractContextManager[object]]:
    """Return `torch.autocast` that knows the device, as long as it is to do nothing there."""

    def autocast(device_type: str, *args: object, enabled: bool = True, **kwargs: object) -> object:
        if device_type != PRETENDED.type:
            return real(device_type, *args, enabled=enabled, **kwargs)
        if enabled:
            raise NotImplementedError("the pretended device has no autocast")
        return nullcontext()

    return autocast
