"""Loss functions of tensors. Shapes: V views, G global views, B batch size, K prototypes, N points, C channels."""

import torch
from torch import Tensor
from torch.nn import functional as F

# Student and teacher meet across views, and the teacher's rows sum to one:
#   L = - mean over (g, v), v != g, of sum_k teacher[g, b, k] * log_softmax(student[v, b, :] / T)[k]


def cross_view_entropy(student: Tensor, teacher: Tensor, temperature: float = 0.1) -> Tensor:
    """Mean cross-entropy between every teacher view and every *other* student view (DINO, arXiv 2104.14294).

    Parameters
    ----------
    student : (V, B, K) Tensor
        Logits; the first views are the global ones.
    teacher : (G, B, K) Tensor
        Assignments of the global views, rows sum to 1.
    temperature : float
    """
    log_p = F.log_softmax(student / temperature, -1)
    pairwise = -torch.einsum("gbk,vbk->gv", teacher, log_p) / student.shape[1]
    other = ~torch.eye(len(teacher), len(student), dtype=torch.bool, device=student.device)
    return pairwise[other].mean()


def soft_cross_entropy(logits: Tensor, target: Tensor, temperature: float = 0.1) -> Tensor:
    """Cross-entropy (...) of rows of logits (..., K) against assignments (..., K)."""
    return -(target * F.log_softmax(logits / temperature, -1)).sum(-1)


def koleo(vectors: Tensor, others: Tensor | None = None, first: int = 0) -> Tensor:
    """Negative log distance to the nearest neighbor (arXiv 1806.03198), which spreads vectors over the sphere.

    Parameters
    ----------
    vectors : (B, C) Tensor
    others : (M, C) Tensor, optional
        Vectors among which neighbors are searched; `vectors` are its rows from `first` on. By default `vectors` alone.
    """
    unit = F.normalize(vectors, dim=-1)
    among = unit if others is None else F.normalize(others, dim=-1)
    own = torch.arange(first, first + len(unit), device=unit.device)
    scores = (unit @ among.T).scatter(1, own[:, None], -2.0)
    distance = (unit - among[scores.argmax(1)]).norm(dim=-1)
    return -(distance + 1e-6).log().mean()


def matched_tokens(
    queries: Tensor, keys: Tensor, positions: Tensor, valid: Tensor, exclusion: float, temperature: float = 0.1
) -> Tensor:
    """InfoNCE between tokens at the same anatomical position in two views of one patient.

    Parameters
    ----------
    queries, keys : (B, N, C) Tensor
        Unit vectors of one view (student) and of another one (teacher).
    positions : (B, N, 3) Tensor
        Positions of the points; other points nearer than `exclusion` are neither positive nor negative.
    valid : (B, N) bool Tensor
        Points that count.
    exclusion, temperature : float
    """
    scores = queries @ keys.transpose(1, 2) / temperature
    near = torch.cdist(positions, positions) < exclusion
    near &= ~torch.eye(near.shape[-1], dtype=torch.bool, device=near.device)
    target = torch.arange(scores.shape[-1], device=scores.device).expand(scores.shape[:2])
    loss = F.cross_entropy(scores.masked_fill(near, -1e4).flatten(0, 1), target.flatten(), reduction="none")
    # Divided by all points, so that the mean over processes is the mean over the whole batch.
    return (loss * valid.flatten()).sum() / valid.numel()


def entropy(p: Tensor) -> Tensor:
    """Mean entropy of the rows of `p`, nats."""
    return torch.special.entr(p).sum(-1).mean()
