"""Monitor of collapse, which the loss alone does not show.

Collapse is of two kinds: the teacher gives all crops one prototype (its entropy, and that of the mean assignment, go to
0), or gives each crop all of them (its entropy goes to log K). Under Sinkhorn the mean of the *targets* is uniform by
construction, so the mean is taken of the teacher's probabilities before balancing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.swin3d import pooled
from . import distributed
from .config import MonitorConfig
from .loss_functions import entropy
from .trainer import StepOutput

_VECTORS = 256  # pooled vectors for standard deviations and ranks


@dataclass
class _Sums:
    """Sums over the steps since the last line."""

    steps: int
    values: dict[str, Tensor]
    soft: dict[str, Tensor]
    used: dict[str, Tensor]


class Monitor:
    """Statistics of steps, as lines of a log, and alarms.

    Parameters
    ----------
    config : MonitorConfig
    """

    def __init__(self, config: MonitorConfig):
        self.config = config
        self.sums = _Sums(0, {}, {}, {})
        self.vectors: dict[int, Tensor] = {}
        self.first_rank: dict[str, float] = {}
        self.bad: dict[str, int] = {}

    @torch.no_grad()
    def observe(self, output: StepOutput) -> None:
        """Add the results of a step, without transfers from the device."""
        self.sums.steps += 1
        self._add("gradient_norm", output.gradient_norm)
        for part in output.parts:
            share = 1 / len(output.parts)
            self._add("loss", part.loss.detach() * share)
            for name, term in part.terms.items():
                self._add(name, term.loss.detach() * share)
                for key, value in (term.scalars or {}).items():
                    self._add(f"{name}.{key}", value.detach() * share)
                if term.assigned is not None and term.soft is not None:
                    spread = entropy(term.assigned)
                    crossed = term.loss.detach() if term.cross_entropy is None else term.cross_entropy.detach()
                    self._add(f"{name}.teacher_entropy", spread * share)
                    self._add(f"{name}.kl", (crossed - spread) * share)
                    self._count(name, term.assigned, term.soft)
            for stride, maps in part.maps.items():
                rows = pooled({stride: maps}, [stride]).float()
                known = self.vectors.get(stride, rows[:0])
                self.vectors[stride] = torch.cat([rows, known])[:_VECTORS]

    def _add(self, key: str, value: Tensor) -> None:
        self.sums.values[key] = self.sums.values[key] + value if key in self.sums.values else value.clone()

    def _count(self, name: str, assigned: Tensor, soft: Tensor) -> None:
        used = torch.bincount(assigned.argmax(-1), minlength=assigned.shape[-1])
        self.sums.used[name] = self.sums.used.get(name, torch.zeros_like(used)) + used
        mean = soft.mean(0)
        self.sums.soft[name] = self.sums.soft.get(name, torch.zeros_like(mean)) + mean

    def line(self) -> dict[str, float]:
        """Return means since the last line, over all processes, and statistics of the features; reset the sums."""
        steps = max(self.sums.steps, 1)
        values = {key: float(distributed.mean_over(value.float())) / steps for key, value in self.sums.values.items()}
        for name, mean in self.sums.soft.items():
            mean = distributed.sum_over(mean)
            values[f"{name}.mean_entropy"] = float(entropy(mean / mean.sum()))
            values[f"{name}.used"] = float((distributed.sum_over(self.sums.used[name]) > 0).float().mean())
            values[f"{name}.log_k"] = math.log(len(mean))
        for stride, rows in sorted(self.vectors.items()):
            values[f"std.{stride}"], values[f"rank.{stride}"] = spread(rows), effective_rank(rows)
        self.sums = _Sums(0, {}, {}, {})
        return values

    def alarms(self, step: int, values: Mapping[str, float]) -> list[str]:
        """List problems that have persisted for `patience` lines, one line each; none in the first steps."""
        found = self._wrong(values) if step >= self.config.grace else {}
        self.bad = {key: self.bad.get(key, 0) + 1 for key in found}
        return [text for key, text in found.items() if self.bad[key] == self.config.patience]

    def _wrong(self, values: Mapping[str, float]) -> dict[str, str]:
        found = {}
        for name in (key.removesuffix(".log_k") for key in values if key.endswith(".log_k")):
            full = values[f"{name}.log_k"]
            teacher, mean = (values[f"{name}.{key}_entropy"] / full for key in ("teacher", "mean"))
            for what, share in (("teacher's entropy", teacher), ("entropy of the mean assignment", mean)):
                if share < self.config.one_hot:
                    found[f"{name} one-hot {what}"] = (
                        f"{name}: one-hot collapse, {what} is {share:.3f} log K: raise the teacher's temperature, "
                        "use Sinkhorn, or add KoLeo"
                    )
            if teacher > self.config.uniform:
                found[f"{name} uniform"] = (
                    f"{name}: uniform collapse, teacher's entropy is {teacher:.3f} log K: lower its temperature "
                    "or the learning rate"
                )
        return found | self._lost_ranks(values)

    def _lost_ranks(self, values: Mapping[str, float]) -> dict[str, str]:
        found = {}
        for key, value in values.items():
            if not key.startswith("rank."):
                continue
            start = self.first_rank.setdefault(key, value)
            if value < self.config.effective_rank * start:
                stride = key.removeprefix("rank.")
                found[key] = f"stride {stride}: dimensional collapse, effective rank {value:.1f}, was {start:.1f}"
        return found

    def state(self) -> dict[str, Any]:
        """State for a checkpoint."""
        sums = self.sums
        return {
            "steps": sums.steps, "values": sums.values, "soft": sums.soft, "used": sums.used,
            "vectors": self.vectors, "first_rank": self.first_rank, "bad": self.bad,
        }  # fmt: skip

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore a result of `state`."""
        self.sums = _Sums(state["steps"], *(dict(state[key]) for key in ("values", "soft", "used")))
        self.vectors, self.first_rank, self.bad = (dict(state[key]) for key in ("vectors", "first_rank", "bad"))


def spread(rows: Tensor) -> float:
    """Compute the standard deviation of unit vectors times the root of their dimension: 1 isotropic, 0 collapsed."""
    unit = F.normalize(rows, dim=-1)
    return float(unit.std(0, correction=0).mean() * unit.shape[1] ** 0.5)


def effective_rank(rows: Tensor) -> float:
    """Exponential of the entropy of the singular values of centered rows (RankMe, arXiv 2210.02885)."""
    values = torch.linalg.svdvals((rows - rows.mean(0)).double().cpu())
    share = values / values.sum().clamp(min=1e-12)
    return float(torch.exp(-(share * (share + 1e-12).log()).sum()))
