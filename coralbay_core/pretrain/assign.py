"""Assignment of the teacher's logits to targets: centering (DINO) or Sinkhorn-Knopp (SwAV), over all processes."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from . import distributed

AssignmentMethod = Literal["sinkhorn", "centring"]


@torch.no_grad()
def sinkhorn(logits: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """Compute the balanced assignment of rows to prototypes (SwAV, arXiv 2006.09882).

    Parameters
    ----------
    logits : (N, K) Tensor
        Rows of this process; the balance is over the rows of all processes, which have equal numbers.
    temperature : float
    iterations : int

    Returns
    -------
    (N, K) float32 Tensor, rows sum to 1
    """
    highest = distributed.max_over(logits.max())
    # Apple's MPS has no float64.
    kind = torch.float32 if logits.device.type == "mps" else torch.float64
    assignment = ((logits - highest).to(kind) / temperature).exp()
    for _ in range(iterations):
        # A prototype without any row stays empty.
        used = distributed.sum_over(assignment.sum(0)).clamp(min=torch.finfo(kind).tiny)
        assignment = assignment / used
        assignment = assignment / assignment.sum(1, keepdim=True)
    return assignment.float()


class Assigner(nn.Module):
    """Targets of one head.

    Parameters
    ----------
    kind : str
        ``sinkhorn`` balances the use of prototypes over the batch and a queue; ``centring`` subtracts a moving mean.
    prototypes : int
    queue : int
        Rows of earlier steps, over all processes, that Sinkhorn also balances; 0 for none. Needed for small batches.
        Use multiples of the batch: otherwise the retained rows depend on the number of processes.
    momentum : float
        Momentum of the center.
    """

    def __init__(self, kind: AssignmentMethod, prototypes: int, queue: int = 0, momentum: float = 0.9):
        super().__init__()
        self.kind, self.length, self.momentum = kind, queue if kind == "sinkhorn" else 0, momentum
        self.register_buffer("center", torch.zeros(prototypes))
        self.register_buffer("queue", torch.zeros(0, prototypes))
        self.center: Tensor
        self.queue: Tensor

    @torch.no_grad()
    def forward(self, logits: Tensor, temperature: float) -> Tensor:
        """Assign the teacher's logits (N, K) of this process, and update the state."""
        logits = logits.detach().float()
        if self.kind == "centring":
            assigned = ((logits - self.center) / temperature).softmax(-1)
            self.center.lerp_(distributed.mean_over(logits.mean(0)), 1 - self.momentum)
            return assigned
        rows = torch.cat([logits, self.queue])
        self.queue = rows[: self.length // distributed.world()].clone()
        return sinkhorn(rows, temperature)[: len(logits)]

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        # The queue grows in the first steps; its saved length is restored.
        saved = state_dict.get(prefix + "queue")
        if saved is not None:
            self.queue = torch.zeros_like(saved, device=self.queue.device)
        super()._load_from_state_dict(state_dict, prefix, *args)
