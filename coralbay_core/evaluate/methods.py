"""Evaluated methods: encoders, and two baselines that use the position in the body.

All tasks work on `FeatureMaps`, so a method only defines how they are computed. The position baseline is not an
`Encoder`: an encoder gets tiles without their position in the patient.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..extraction.cache import FeatureStore
from ..extraction.extraction_input import on_model_grid
from ..extraction.sliding_window import extract
from ..features import FeatureMaps
from ..features.feature_maps import EncoderFacts
from ..models.encoder import Encoder, default_strides
from ..similarity import HeatMap, heat_map
from ..spatial import Volume
from ..spatial.body_mask import body_mask
from ..spatial.preprocessing import model_grid

POSITION_STRIDE = 6
# Size of the box that a body is scaled to, mm (z, y, x): that of a torso, so that distances stay distances.
BODY_MM = np.array([400.0, 250.0, 380.0])
# Widths of the position kernels, mm; the widest still distinguishes the ends of a body.
KERNELS_MM = (20.0, 40.0, 80.0, 160.0)
WAVES_PER_KERNEL = 24


@dataclass(frozen=True)
class Method:
    """Method that computes features of scans.

    Parameters
    ----------
    name : str
    compute : callable
        Volume, and whether its features are worth keeping on disk, to FeatureMaps.
    weights : mapping of int to float, optional
        Weights of the strides in a heat map; equal by default.
    is_baseline : bool
    fingerprint : str
    about : dict
        Description of the method, for the record.
    notice : str
        License notice to show to users; empty for unrestricted weights.
    """

    name: str
    compute: Callable[[Volume, bool], FeatureMaps]
    weights: Mapping[int, float] | None = None
    is_baseline: bool = True
    fingerprint: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    notice: str = ""

    def describe(self, volume: Volume, *, keep: bool = False) -> FeatureMaps:
        """Features of a scan; those of changed copies are not cached."""
        return self.compute(volume, keep)

    def heat(self, features: FeatureMaps, position_mm: NDArray, query: FeatureMaps | None = None) -> HeatMap:
        """Compute the heat map of a click, in the scan itself or in another one."""
        return heat_map(features, position_mm, weights=self.weights, query_features=query)


def encoder_method(
    encoder: Encoder, *, name: str = "", is_baseline: bool = False, store: FeatureStore | bool = False
) -> Method:
    """Features of an encoder at the default strides of the commands, as far as it has them."""
    from ..extraction.pipeline import features_for

    strides = list(default_strides(encoder))

    def compute(volume: Volume, keep: bool) -> FeatureMaps:
        return features_for(volume, encoder, strides=strides, store=store if keep else False)

    about = {
        "fingerprint": encoder.fingerprint,
        "precision": str(encoder.precision).removeprefix("torch."),
        "device": str(encoder.device),
        "strides": strides,
        "tile": encoder.tiling.tile,
        "step": encoder.tiling.step,
    }
    return Method(name or encoder.name, compute, None, is_baseline, encoder.fingerprint, about, encoder.notice)


def position_method() -> Method:
    """Baseline: position of a voxel in the box of the body; cosines decrease with the distance."""
    about = {"fingerprint": "position-1"}
    return Method("position", lambda volume, keep: position_features(volume), fingerprint="position-1", about=about)


def patch_and_position_method(patch: Encoder) -> Method:
    """Baseline: HU statistics and position, with equal weights in the heat map."""
    name = f"{patch.name} + position"

    def compute(volume: Volume, keep: bool) -> FeatureMaps:
        return _joined(name, extract(volume, patch), position_features(volume))

    strides = default_strides(patch)
    weights = dict.fromkeys(strides, 1.0) | {POSITION_STRIDE: float(len(strides))}
    about = {"fingerprint": f"{patch.fingerprint}+position-1"}
    return Method(name, compute, weights, fingerprint=about["fingerprint"], about=about)


def _joined(name: str, first: FeatureMaps, second: FeatureMaps) -> FeatureMaps:
    stages = dict(sorted((first.stages | second.stages).items()))
    return replace(first, stages=stages, model=name, fingerprint=f"{first.fingerprint}+{second.fingerprint}")


def position_features(volume: Volume) -> FeatureMaps:
    """Waves of many lengths over the box of the body: the cosine of two positions decreases with their distance.

    The waves are drawn from the spectra of Gaussians of several widths, so their inner product approaches the mean of
    these Gaussians of the distance; distances are those in a body of standard size.
    """
    grid = model_grid(volume.grid)
    body = body_mask(on_model_grid(volume, grid), grid.spacing_mm)
    cells = grid.coarsen(POSITION_STRIDE)
    relative = [_relative(body, axis, n) for axis, n in enumerate(cells.shape)]
    waves = np.random.default_rng(0).normal(size=(len(KERNELS_MM), WAVES_PER_KERNEL, 3))
    waves = (waves / np.array(KERNELS_MM)[:, None, None]).reshape(-1, 3)
    phase = [np.multiply.outer(waves[:, axis], relative[axis] * BODY_MM[axis]) for axis in range(3)]
    total = phase[0][:, :, None, None] + phase[1][:, None, :, None] + phase[2][:, None, None, :]
    data = np.concatenate([np.cos(total), np.sin(total)]).astype(np.float16)
    return FeatureMaps.of(EncoderFacts("position", "position-1"), {POSITION_STRIDE: data}, grid, body)


def _relative(body: NDArray[np.bool_], axis: int, cells: int) -> NDArray[np.float64]:
    """Centers of the cells along an axis, 0 and 1 at the ends of the body."""
    covered = np.flatnonzero(body.any(tuple(a for a in range(3) if a != axis)))
    low, high = (covered[0], covered[-1] + 1) if len(covered) else (0, body.shape[axis])
    centers = (np.arange(cells) + 0.5) * POSITION_STRIDE
    return (centers - low) / (high - low)
