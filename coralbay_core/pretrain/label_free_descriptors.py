"""Label-free similarity of positions in CTs, from tissue, surrounding tissue by direction, and position.

Three descriptors of a cell, each a unit vector whose channels were standardized over the patient's body, as the
product does with an encoder's maps; an inner product is then a likeness.

- *Tissue*: a soft histogram of HU in boxes of one and of three cells. Two livers are similar at any position.
- *Surroundings*: shares of air, fat, soft tissue and dense matter in boxes at 26 offsets of 24 mm and of 48 mm. Mean
  HU in the same boxes is worse: fat and bone together have the mean of muscle (docs/measurements/pretraining.md).
- *Place*: waves over the box of the body, whose inner product falls with the distance. It means something within a
  patient; of two patients it compares how far along the scans a cell lies.

No single one of them tells organs apart as well as their mean does, and a network that sees crops learns to give it
without seeing the whole body (docs/measurements/pretraining.md).
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..features.feature_maps import cell_share
from ..spatial.body_mask import body_mask

STRIDE = 4
KINDS = ("tissue", "surroundings", "place")
# Closer together where tissues differ by little.
NODES_HU = (-1000, -850, -600, -300, -120, -80, -20, 10, 35, 60, 90, 130, 180, 250, 400, 700, 1200)
# Nodes that make up air and lung, fat, soft tissue, and what is denser.
CLASSES = ((0, 3), (3, 6), (6, 12), (12, 17))
OFFSETS_MM = (24.0, 48.0)
# Size of the box that a body is scaled to, mm (z, y, x), and widths of the kernels of nearness, mm.
BODY_MM = np.array([200.0, 250.0, 380.0])
KERNELS_MM = (20.0, 40.0, 80.0, 160.0)
WAVES_PER_KERNEL = 24


@dataclass(frozen=True, eq=False)
class Descriptions:
    """Descriptors of the cells of a volume that belong to the body.

    Attributes
    ----------
    centers : (N, 3) float32 array
        Voxel (z, y, x) of the volume.
    vectors : dict of str to (N, C) float16 array
        Unit vectors by kind.
    """

    centers: NDArray[np.float32]
    vectors: dict[str, NDArray[np.float16]]

    def some(self, rng: np.random.Generator, count: int) -> "Descriptions":
        """Draw a random subset of at most `count` cells."""
        if len(self.centers) <= count:
            return self
        chosen = np.sort(rng.choice(len(self.centers), count, replace=False))
        return Descriptions(self.centers[chosen], {kind: rows[chosen] for kind, rows in self.vectors.items()})


def describe_volume(hu: NDArray, spacing_mm: float) -> Descriptions:
    """Compute descriptors of all cells of 4 voxels that are at least half body.

    Parameters
    ----------
    hu : (z, y, x) array
        On an isotropic grid.
    spacing_mm : float
    """
    body = body_mask(hu, spacing_mm)
    share = cell_share(body, STRIDE)
    inside = share >= min(0.5, float(share.max()))
    pads = [(0, -n % STRIDE) for n in hu.shape]
    volume = torch.from_numpy(np.pad(hu, pads, mode="edge").astype(np.float32))[None, None]
    # Averaged over two voxels first: noise would spread any tissue over several nodes.
    fine = soft_histogram(F.avg_pool3d(volume, 2)[0, 0])
    cells = F.avg_pool3d(fine[None], STRIDE // 2)[0]
    centers = np.argwhere(inside) * STRIDE + (STRIDE - 1) / 2
    vectors = {
        "tissue": _tissue(cells, inside),
        "surroundings": _unit(_surroundings(cells, STRIDE * spacing_mm)[:, inside].T),
        "place": _unit(place_waves(_relative(centers, body))),
    }
    return Descriptions(centers.astype(np.float32), {k: v.astype(np.float16) for k, v in vectors.items()})


def soft_histogram(hu: Tensor) -> Tensor:
    """Share of each node of `NODES_HU` in each voxel, linear between adjacent nodes: (z, y, x) to (K, z, y, x)."""
    nodes = torch.tensor(NODES_HU, dtype=torch.float32)
    clamped = hu.clamp(float(nodes[0]), float(nodes[-1]))
    below = (torch.bucketize(clamped, nodes, right=True) - 1).clamp(0, len(nodes) - 2)
    share = (clamped - nodes[below]) / (nodes[below + 1] - nodes[below])
    out = torch.zeros(len(nodes), *hu.shape)
    out.scatter_(0, below[None], (1 - share)[None])
    return out.scatter_(0, below[None] + 1, share[None])


def _tissue(cells: Tensor, inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Tissue descriptors: unit vectors of both box sizes, with equal weights."""
    wide = F.avg_pool3d(cells[None], 3, 1, 1, count_include_pad=False)[0]
    # Square roots make inner products of histograms Bhattacharyya's, in which rare tissues count.
    parts = [_unit(boxes.clamp(min=1e-6).sqrt().numpy()[:, inside].T) for boxes in (cells, wide)]
    return np.concatenate(parts, 1) / np.float32(np.sqrt(2))


def _surroundings(cells: Tensor, cell_mm: float) -> NDArray[np.float32]:
    """Shares of the classes at 26 offsets per distance, (offsets * classes, z, y, x); edges are repeated."""
    classes = torch.stack([cells[a:b].sum(0) for a, b in CLASSES])[:, None]
    parts = []
    for offset_mm in OFFSETS_MM:
        away = max(1, round(offset_mm / cell_mm))
        # Boxes half as wide as they are far away; an odd number of cells keeps them centered.
        side = max(1, away // 2) // 2 * 2 + 1
        boxes = F.avg_pool3d(classes, side, 1, side // 2, count_include_pad=False)
        padded = F.pad(boxes, (away,) * 6, mode="replicate")
        z, y, x = classes.shape[2:]
        for a, b, c in product((0, away, 2 * away), repeat=3):
            if (a, b, c) != (away,) * 3:
                parts.append(padded[:, 0, a : a + z, b : b + y, c : c + x])
    return torch.cat(parts).numpy()


def _relative(centers: NDArray, body: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Position of voxels in the box of the body, 0 and 1 at its ends."""
    spans = []
    for axis, length in enumerate(body.shape):
        covered = np.flatnonzero(body.any(tuple(other for other in range(3) if other != axis)))
        spans.append((covered[0], covered[-1] + 1) if len(covered) else (0, length))
    low, high = np.array(spans, float).T
    return (centers + 0.5 - low) / (high - low)


def place_waves(relative: NDArray) -> NDArray[np.float32]:
    """Cosines and sines whose inner product is the mean of Gaussians of the distance (random Fourier features).

    Parameters
    ----------
    relative : (N, 3) array
        Place in the box of the body, which is scaled to `BODY_MM`.
    """
    waves = np.random.default_rng(0).normal(size=(len(KERNELS_MM), WAVES_PER_KERNEL, 3))
    phase = (relative * BODY_MM) @ (waves / np.array(KERNELS_MM)[:, None, None]).reshape(-1, 3).T
    return np.concatenate([np.cos(phase), np.sin(phase)], 1).astype(np.float32)


def _unit(rows: NDArray) -> NDArray[np.float32]:
    """Standardize channels over the rows, then normalize each row to unit length."""
    rows = (rows - rows.mean(0)) / (rows.std(0) + 1e-6)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), np.float32)
