"""DINO self-distillation on pooled multi-scale features, with matched tokens: the plain recipe for small compute.

::

    for batch in views:                              # 2 global views of 64^3, local views of 32^3 a place
        t = teacher(global); s = student(global), student(local)
        loss  = H(sinkhorn(head_t(pool(t))), head_s(pool(s)))          # across views, DINO on concatenated scales
        loss += sum over strides InfoNCE(tokens_s(view 1, p), tokens_t(view 2, p))
        loss += KoLeo(pool(s, global))
        step(student); teacher = EMA(student)

What is shipped is the teacher's backbone. Schedules run over the share of the time budget that is used up, so a run on
a busy machine ends its cosine all the same.
"""

import copy
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..swin3d import Swin3D, Swin3DConfig, pooled
from . import loss as losses
from .heads import DinoHead, TokenHead
from .views import Views, ViewSampler, ViewSettings, matched_points

TOKEN_STRIDES = (4, 8, 16)


@dataclass(frozen=True)
class TrainSettings:
    """A run; see `ViewSettings` for the views."""

    minutes: float = 60.0
    places: int = 6
    learning_rate: float = 5e-4
    weight_decay: float = 0.04
    warmup: float = 0.04
    clip: float = 3.0
    momentum: float = 0.98
    teacher_temperature: float = 0.02
    queue: int = 240
    points: int = 96
    token_weight: float = 1.0
    koleo_weight: float = 0.05
    seed: int = 0
    views: ViewSettings = field(default_factory=ViewSettings)


def cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


class Distiller(nn.Module):
    """Backbone and heads of a student, or of its teacher."""

    def __init__(self, config: Swin3DConfig):
        super().__init__()
        self.backbone = Swin3D(config)
        self.strides = tuple(self.backbone.channels)
        self.head = DinoHead(sum(self.backbone.channels.values()))
        self.token_heads = nn.ModuleDict({str(s): TokenHead(self.backbone.channels[s]) for s in TOKEN_STRIDES})

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """Pooled vector (B, C), prototype logits (B, K), maps."""
        maps = self.backbone(images)
        vector = pooled(maps, self.strides).float()
        return vector, self.head(vector), maps

    def tokens(self, maps: dict[int, Tensor], points: Tensor, side: int) -> dict[int, Tensor]:
        """Head outputs (B, N, 64) at view positions `points` (B, N, 3) of each token stride."""
        return {s: self.token_heads[str(s)](sample(maps[s].float(), points, s, side)) for s in TOKEN_STRIDES}


def sample(maps: Tensor, points: Tensor, stride: int, side: int) -> Tensor:
    """Trilinear samples (B, N, C) of a stage (B, C, z, y, x) at view voxel positions (B, N, 3).

    In normalised coordinates over outer edges a position is the same in the view and in every stage, which keeps the
    half-voxel offset of a stride right.
    """
    grid = ((points + 0.5) * 2 / side - 1).flip(-1)[:, :, None, None]
    return F.grid_sample(maps, grid, align_corners=False, padding_mode="border").flatten(2).transpose(1, 2)


class Trainer:
    """One training run on one device.

    Parameters
    ----------
    volumes : list of (z, y, x) int16 Tensor
        HU on the model grid.
    config : Swin3DConfig
    settings : TrainSettings
    folder : Path
        Receives ``log.jsonl`` and ``teacher.pt``.
    """

    def __init__(self, volumes: list[Tensor], config: Swin3DConfig, settings: TrainSettings, folder: Path):
        torch.manual_seed(settings.seed)
        self.settings, self.folder, self.config = settings, folder, config
        self.sampler = ViewSampler(volumes, settings.views, settings.seed)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.student = Distiller(config)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self._groups(), lr=0.0, betas=(0.9, 0.98))
        self.queue = torch.zeros(0, self.student.head.prototypes.out_features)

    def _groups(self) -> list[dict]:
        named = [(n, p) for n, p in self.student.named_parameters() if p.requires_grad]
        decayed = [p for n, p in named if p.ndim > 1 and "bias_table" not in n]
        plain = [p for n, p in named if not (p.ndim > 1 and "bias_table" not in n)]
        return [{"params": decayed, "weight_decay": self.settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]

    def step(self, progress: float) -> dict[str, float]:
        """One update; returns what the monitor logs."""
        settings = self.settings
        rate = (
            settings.learning_rate * min(progress / settings.warmup, 1.0)
            if progress < settings.warmup
            else cosine(settings.learning_rate, 1e-6, (progress - settings.warmup) / (1 - settings.warmup))
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        global_views, local_views = self.sampler.batch(settings.places)
        terms, log = self.losses(global_views, local_views)
        total = terms["dino"] + settings.token_weight * terms["tokens"] + settings.koleo_weight * terms["koleo"]
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.student.parameters(), settings.clip)
        self.optimizer.step()
        self.update_teacher(cosine(settings.momentum, 0.999, progress))
        return {name: float(value.detach()) for name, value in (terms | log).items()} | {
            "gradient_norm": float(norm),
            "lr": rate,
        }

    def losses(self, global_views: Views, local_views: Views) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Terms of the loss, and the quantities in which a collapse shows."""
        settings, places = self.settings, self.settings.places
        side = settings.views.global_side
        points, positions = matched_points(global_views, side, settings.points, self.generator)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                _, teacher_logits, teacher_maps = self.teacher(global_views.images)
            vector, logits, maps = self.student(global_views.images)
            _, local_logits, _ = self.student(local_views.images)
        teacher_logits = teacher_logits.float()
        assigned = losses.sinkhorn(torch.cat([teacher_logits, self.queue]), settings.teacher_temperature)[
            : len(teacher_logits)
        ]
        self.queue = torch.cat([teacher_logits, self.queue])[: settings.queue]
        by_view = torch.cat(
            [group.float().view(places, -1, group.shape[-1]).transpose(0, 1) for group in (logits, local_logits)]
        )
        targets = assigned.view(places, 2, -1).transpose(0, 1)
        terms = {
            "dino": losses.cross_view_entropy(by_view, targets),
            "koleo": losses.koleo(vector.float()),
            "tokens": self.token_loss(maps, teacher_maps, points, positions, side),
        }
        with torch.no_grad():
            log = {
                "teacher_entropy": losses.entropy(assigned),
                "mean_entropy": losses.entropy(self.queue.div(0.1).softmax(-1).mean(0)),
            }
        return terms, log

    def token_loss(self, maps: dict, teacher_maps: dict, points: Tensor, positions: Tensor, side: int) -> Tensor:
        flat = points.flatten(0, 1)
        queries = self.student.tokens(maps, flat, side)
        with torch.no_grad():
            keys = self.teacher.tokens(teacher_maps, flat, side)
        total = torch.zeros(())
        for stride in TOKEN_STRIDES:
            query = queries[stride].view(*points.shape[:3], -1)
            key = keys[stride].view(*points.shape[:3], -1)
            for a, b in ((0, 1), (1, 0)):
                total = total + losses.matched_tokens(query[:, a], key[:, b], positions, exclusion=4 + 1.25 * stride)
        return total / (2 * len(TOKEN_STRIDES))

    @torch.no_grad()
    def update_teacher(self, momentum: float) -> None:
        for slow, fast in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            slow.lerp_(fast, 1 - momentum)

    def run(self) -> None:
        """Train until the time is used up, logging each 10 steps and saving each 5 minutes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "settings.json").write_text(
            json.dumps({"train": asdict(self.settings), "model": asdict(self.config)}, indent=1)
        )
        start = saved = time.monotonic()
        budget = self.settings.minutes * 60
        step, elapsed = 0, 0.0
        with open(self.folder / "log.jsonl", "a") as log:
            while elapsed < budget:
                values = self.step(elapsed / budget)
                step += 1
                elapsed = time.monotonic() - start
                if step % 10 == 1:
                    record = {"step": step, "seconds": round(elapsed, 1)} | {k: round(v, 5) for k, v in values.items()}
                    log.write(json.dumps(record) + "\n")
                    log.flush()
                if time.monotonic() - saved > 300:
                    self.save()
                    saved = time.monotonic()
        self.save()

    def save(self) -> None:
        """Write the teacher's backbone, whole or not at all."""
        temporary = self.folder / "teacher.pt.part"
        torch.save(self.teacher.backbone.state_dict(), temporary)
        temporary.replace(self.folder / "teacher.pt")
