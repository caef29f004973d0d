"""Communication between the processes of a run. Without a process group all functions work as for one process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from ..errors import InputError

# Others wait while the first process evaluates.
_PATIENCE = timedelta(hours=2)


def active() -> bool:
    """Whether there is a process group."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if active() else 0


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if active() else 1


def is_first() -> bool:
    """Whether this is the first process, which prints and writes files."""
    return rank() == 0


def environment_number(name: str, default: int) -> int:
    """Read a whole number of 0 or more from an environment variable of torchrun."""
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise InputError("not a number of processes", where=f"environment variable {name}", found=text)
    return number


def is_first_to_start() -> bool:
    """Whether this is the first process; also valid before the group is initialized."""
    return environment_number("RANK", 0) == 0


@contextmanager
def group(device: torch.device) -> Iterator[torch.device]:
    """Join the group of torchrun, if any; yield the device of this process."""
    if environment_number("WORLD_SIZE", 1) == 1:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", environment_number("LOCAL_RANK", 0))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield device
    finally:
        dist.destroy_process_group()


def sum_over(tensor: Tensor) -> Tensor:
    """Sum of all processes' tensors."""
    if active():
        tensor = tensor.clone()
        dist.all_reduce(tensor)
    return tensor


def mean_over(tensor: Tensor) -> Tensor:
    """Mean of all processes' tensors."""
    return sum_over(tensor) / world()


def max_over(tensor: Tensor) -> Tensor:
    """Largest of all processes' tensors, element by element."""
    if active():
        tensor = tensor.clone()
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor


def gather_rows(tensor: Tensor) -> Tensor:
    """Rows of all processes, in the order of their ranks; without gradients."""
    if not active():
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(world())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def gather_with_gradient(tensor: Tensor) -> Tensor:
    """Rows of all processes as of `gather_rows`, with gradients to the process of each row."""
    if not active():
        return tensor
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(tensor.contiguous()))


def own_rows(tensor: Tensor) -> Tensor:
    """Select the rows of this process from a result of `gather_rows`."""
    return tensor.chunk(world())[rank()] if active() else tensor


def from_first(value: int) -> int:
    """Return the value of the first process in all processes."""
    if not active():
        return value
    content = [value]
    dist.broadcast_object_list(content, src=0)
    return content[0]


def wait() -> None:
    """Wait until all processes have called this function."""
    if active():
        dist.barrier()
