"""Free memory on the host and on the device."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from ..errors import InputError

_KEEP_FREE = 0.2
"""Share of the free memory that is left to other programs."""

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Budget:
    """Memory that extraction may use beside the volume itself.

    Parameters
    ----------
    host_bytes, device_bytes : int
        On the CPU the two are the same memory.
    """

    host_bytes: int
    device_bytes: int


def budget(device: torch.device, limit_bytes: int | None = None) -> Budget:
    """Compute the budget: free memory less a fifth, or `limit_bytes` if that is less.

    Raises
    ------
    InputError
        If the limit is not above 0.
    """
    if limit_bytes is not None and limit_bytes <= 0:
        raise InputError("unusable memory budget", where="--memory", found=limit_bytes, expected="more than 0")
    host = int(_free_host_bytes() * (1 - _KEEP_FREE))
    on_device = int(_free_device_bytes(device) * (1 - _KEEP_FREE)) if device.type == "cuda" else host
    if limit_bytes is None:
        return Budget(host, on_device)
    return Budget(min(host, limit_bytes), min(on_device, limit_bytes))


def _free_host_bytes() -> int:
    """Available memory of the machine, or of the container if that is less."""
    available = psutil.virtual_memory().available
    used = psutil.Process(os.getpid()).memory_info().rss
    for path in map(Path, _CGROUP_LIMITS):
        try:
            limit = path.read_text().strip()
        except OSError:
            continue
        if limit.isdigit():
            available = min(available, max(int(limit) - used, 0))
    return available


def _free_device_bytes(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch is a failed allocation; only CUDA has a class for it."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
