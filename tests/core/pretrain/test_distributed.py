"""Reductions over processes, with a real gloo group of two, against the same on one process."""

import os

import numpy as np
import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing

from coralbay_core.pretrain import distributed
from coralbay_core.pretrain.assign import Assigner, sinkhorn
from coralbay_core.pretrain.loss_functions import koleo

ROWS, PROTOTYPES = 12, 7


def logits(step):
    return torch.rand(ROWS, PROTOTYPES, generator=torch.Generator().manual_seed(step)) * 2 - 1


def assigned(kind, queue):
    """Three steps of an assigner; of the rows that are this process's."""
    assigner = Assigner(kind, PROTOTYPES, queue)
    made = [assigner(distributed.own_rows(logits(step)), 0.1) for step in range(3)]
    return torch.stack([distributed.gather_rows(part) for part in made])


def spread_gradient():
    """Gradient of KoLeo over all rows, as DistributedDataParallel would average it."""
    rows = distributed.own_rows(logits(9)).clone().requires_grad_()
    weight = torch.ones(PROTOTYPES, requires_grad=True)
    vectors = rows * weight
    everyone = distributed.gather_with_gradient(vectors)
    koleo(vectors, everyone, first=distributed.rank() * len(vectors)).backward()
    return distributed.mean_over(weight.grad)


def everything():
    return {
        "sinkhorn": assigned("sinkhorn", 0),
        "sinkhorn with a queue": assigned("sinkhorn", 24),
        "centring": assigned("centring", 0),
        "koleo": spread_gradient(),
        "sum": distributed.sum_over(distributed.own_rows(logits(0)).sum()),
        "mean": distributed.mean_over(distributed.own_rows(logits(0)).mean()),
        "max": distributed.max_over(distributed.own_rows(logits(0)).max()),
    }


def _process(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    results = everything() | {"from first": torch.tensor(distributed.from_first(rank + 5))}
    if rank == 0:
        torch.save(results, f"{folder}/results.pt")
    # gloo aborts a process whose peer leaves first, now and then; what is compared is written by then.
    distributed.wait()
    os._exit(0)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("group")
    multiprocessing.spawn(_process, (str(folder),), nprocs=2)
    return torch.load(folder / "results.pt")


@pytest.fixture(scope="module")
def alone():
    return everything()


@pytest.mark.parametrize("what", ["sinkhorn", "sinkhorn with a queue", "centring", "koleo", "sum", "mean", "max"])
def test_two_processes_compute_what_one_does(together, alone, what):
    torch.testing.assert_close(together[what], alone[what], rtol=1e-5, atol=1e-6)


def test_the_first_process_decides(together):
    assert together["from first"] == 5
    assert distributed.from_first(3) == 3


def test_a_queue_changes_assignments(alone):
    assert not np.allclose(alone["sinkhorn"][2], alone["sinkhorn with a queue"][2])
    torch.testing.assert_close(alone["sinkhorn"][0], sinkhorn(logits(0), 0.1))
