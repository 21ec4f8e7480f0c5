"""The memory of this process: now, and the most since it was last asked to forget."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"
"""What Linux wants to read there to begin the peak anew (proc_pid_clear_refs(5))."""

_KB = 1024


def start_peak(device: torch.device) -> int:
    """Forget the peaks so far, where the system can, and return the memory of this process in bytes."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        _FORGET.write_text(_FORGET_PEAK)
    except OSError:  # no Linux, or not allowed: peaks then hold those of earlier stages
        return read_peak()
    return _read_status("VmRSS") or read_peak()


def read_peak() -> int:
    """Return the most memory in bytes that this process had since `start_peak`, or ever where that cannot be told."""
    found = _read_status("VmHWM")
    if found is not None:
        return found
    if sys.platform == "win32":
        return 0  # which does not tell; zero leaves the trial's own growth out
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * _KB


def read_gpu_peak(device: torch.device) -> int | None:
    """Return the most memory in bytes that tensors had on the GPU since `start_peak`; None without one."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def _read_status(name: str) -> int | None:
    """Read a size of this process, in bytes; None where the system does not tell."""
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    values = [line.split() for line in lines if line.startswith(f"{name}:")]
    return int(values[0][1]) * _KB if values else None
