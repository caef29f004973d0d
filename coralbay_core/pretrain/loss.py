"""Self-distillation losses. Shapes: V views, B places, K prototypes, N matched points."""

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def sinkhorn(logits: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """Balanced assignment of rows to prototypes (SwAV, arXiv 2006.09882): (N, K), rows sum to 1."""
    assignment = ((logits - logits.max()) / temperature).double().exp().T
    assignment /= assignment.sum()
    k, n = assignment.shape
    for _ in range(iterations):
        assignment /= assignment.sum(1, keepdim=True) * k
        assignment /= assignment.sum(0, keepdim=True) * n
    return (assignment * n).T.float()


def cross_view_entropy(student: Tensor, teacher: Tensor, temperature: float = 0.1) -> Tensor:
    """Mean cross-entropy between every teacher view and every *other* student view.

    Parameters
    ----------
    student : (V, B, K) Tensor
        Logits; the first views are the global ones.
    teacher : (G, B, K) Tensor
        Assignments of the global views, rows sum to 1.
    """
    log_p = F.log_softmax(student / temperature, -1)
    pairwise = -torch.einsum("gbk,vbk->gv", teacher, log_p) / student.shape[1]
    other = ~torch.eye(len(teacher), len(student), dtype=torch.bool, device=student.device)
    return pairwise[other].mean()


def koleo(vectors: Tensor) -> Tensor:
    """Negative log distance to the nearest neighbour (arXiv 1806.03198): spreads (B, C) vectors over the sphere."""
    unit = F.normalize(vectors, dim=-1)
    distance = torch.cdist(unit, unit) + 4 * torch.eye(len(unit), device=unit.device)
    return -(distance.min(1).values + 1e-6).log().mean()


def matched_tokens(
    queries: Tensor, keys: Tensor, positions: Tensor, exclusion: float, temperature: float = 0.1
) -> Tensor:
    """InfoNCE between tokens at the same anatomical position in two views of one patient.

    Parameters
    ----------
    queries, keys : (B, N, C) Tensor
        Unit vectors of view 1 (student) and view 2 (teacher).
    positions : (B, N, 3) Tensor
        Where they lie; other points nearer than `exclusion` are neither positive nor negative.
    """
    scores = queries @ keys.transpose(1, 2) / temperature
    near = torch.cdist(positions, positions) < exclusion
    near &= ~torch.eye(near.shape[-1], dtype=torch.bool, device=near.device)
    target = torch.arange(scores.shape[-1], device=scores.device).expand(scores.shape[:2])
    return F.cross_entropy(scores.masked_fill(near, -1e4).flatten(0, 1), target.flatten())


def entropy(p: Tensor) -> Tensor:
    """Mean entropy of the rows of `p`, nats."""
    return -(p * (p + 1e-9).log()).sum(-1).mean()
