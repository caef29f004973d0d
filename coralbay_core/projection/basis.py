"""Principal components of descriptors, fitted once and applied to any number of scans.

The descriptors are z-scored over each patient's own body, so a basis applies to all scans: similar tissue has
the same color in every scan.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..features.descriptors import joint_descriptors, joint_stages, split_by_stage
from ..features.linear_maps import linear_maps
from ..util.arguments import checked
from ..util.tensor_file import read_tensors, write_tensors
from .colors import RgbMap, color_range, scaled
from .selection import cells_inside, sample_cells

VERSION = 1
FIT_CELLS = 10_000
COMPONENTS = 16
HINT = "write one with `coralbay project --save-basis`"


@dataclass(frozen=True, eq=False)
class Basis:
    """Axes in descriptor space.

    Parameters
    ----------
    weights : dict of int to (C, K) float32 array
        Axes by stride: orthonormal columns once stacked, the largest loading of each positive.
    mean : (K,) float32 array
        Coordinates of the mean descriptor.
    low, high : (K,) float32 arrays
        Coordinates that colors run between: the 1st and 99th percentile where it was fitted.
    explained : tuple of float
        Share of the variance of each component, falling.
    model, fingerprint : str
        Name and fingerprint of the encoder of the fitted features.
    scans : int
        Number of scans that it was fitted on.
    notice : str
        License notice of the weights to show to users; empty for unrestricted weights.
    """

    weights: dict[int, NDArray[np.float32]]
    mean: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    explained: tuple[float, ...]
    model: str
    fingerprint: str
    scans: int = 1
    notice: str = ""

    @property
    def size(self) -> int:
        """Number of components."""
        return len(self.mean)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the stages, sorted."""
        return tuple(sorted(self.weights))

    def coordinates(self, features: FeatureMaps) -> NDArray[np.float32]:
        """Centered components of a scan on its finest grid, (K, z, y, x)."""
        self.require_fits(features)
        maps = linear_maps(features, self.weights).numpy()
        maps -= self.mean[:, None, None, None]
        return maps

    def rgb(
        self,
        features: FeatureMaps,
        components: tuple[int, int, int] = (0, 1, 2),
        selected: NDArray[np.bool_] | None = None,
    ) -> RgbMap:
        """Three components of a scan as colors.

        Parameters
        ----------
        features : FeatureMaps
        components : tuple of int
            Components shown as red, green and blue, from 0.
        selected : (z, y, x) bool array, optional
            Cells of the finest stage to show.
        """
        chosen = list(components)
        if len(chosen) != 3 or not all(0 <= c < self.size for c in chosen):
            raise InputError(
                "no such components", found=[c + 1 for c in chosen], expected=f"three numbers from 1 to {self.size}"
            )
        self.require_fits(features)
        maps = linear_maps(features, {stride: rows[:, chosen] for stride, rows in self.weights.items()}).numpy()
        maps -= self.mean[chosen, None, None, None]
        explained = tuple(self.explained[c] for c in chosen)
        colors = scaled(maps, self.low[chosen], self.high[chosen])
        return RgbMap(colors, features.finest.grid, explained, features, selected)

    def require_fits(self, features: FeatureMaps) -> None:
        """Raise unless the features come from the weights that the basis was fitted on and have its stages."""
        if features.fingerprint != self.fingerprint:
            raise InputError("basis was fitted on another model", found=features.model, expected=self.model)
        if not set(self.weights) <= set(features.strides):
            raise InputError("features lack stages of the basis", found=features.strides, expected=self.strides)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file with a JSON description, atomically."""
        about, arrays = self.content()
        return write_tensors(path, "basis", VERSION, arrays, about)

    def content(self) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Contents for a file: a JSON description, and arrays; `basis_from` is the inverse."""
        arrays = {f"weights.{stride}": rows for stride, rows in self.weights.items()}
        arrays |= {name: getattr(self, name) for name in ("mean", "low", "high")}
        arrays["explained"] = np.array(self.explained)
        return {name: getattr(self, name) for name in ("model", "fingerprint", "scans", "notice")}, arrays


@checked
def load_basis(path: str | Path) -> Basis:
    """Load a basis written by `Basis.save`."""
    arrays, about = read_tensors(path, "basis", VERSION, hint=HINT)
    try:
        return basis_from(arrays, about)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise InputError("damaged basis", where=path, found=error, hint=HINT) from error


def basis_from(arrays: Mapping[str, NDArray], about: Mapping[str, Any]) -> Basis:
    """Make a basis from the arrays and the description of a file.

    Raises
    ------
    KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError
        If they are not the contents of a file of a basis.
    """
    weights = {int(n.removeprefix("weights.")): rows for n, rows in arrays.items() if n.startswith("weights.")}
    basis = Basis(
        {stride: rows.astype(np.float32) for stride, rows in sorted(weights.items())},
        arrays["mean"].astype(np.float32),
        arrays["low"].astype(np.float32),
        arrays["high"].astype(np.float32),
        tuple(float(share) for share in arrays["explained"]),
        str(about["model"]),
        str(about["fingerprint"]),
        int(about["scans"]),
        str(about["notice"]),
    )
    sizes = {rows.shape[1:] for rows in basis.weights.values()}
    sizes |= {basis.mean.shape, basis.low.shape, basis.high.shape, (len(basis.explained),)}
    if sizes != {(basis.size,)} or not (basis.low < basis.high).all():
        raise ValueError("shapes do not match")
    return basis


@checked
def fit_basis(
    features: FeatureMaps | Sequence[FeatureMaps],
    components: int = COMPONENTS,
    *,
    inside: NDArray[np.bool_] | None = None,
    strides: Collection[int] | None = None,
    seed: int = 0,
) -> Basis:
    """Fit principal components to the descriptors inside the body, of one or several scans.

    Fitted on a seeded sample of cells, equally many of each scan. Each component's sign makes its largest loading
    positive, so that the same features always give the same colors.

    Parameters
    ----------
    features : FeatureMaps or sequence of FeatureMaps
        Features of one encoder, with the same stages.
    components : int
        Number of components to retain; fewer if there are fewer cells or channels.
    inside : (z, y, x) bool array, optional
        Cells of the finest stage to fit on, for a single scan: see `cells_inside`.
    strides : collection of int, optional
        Stages to use; by default those of `joint_stages`.
    seed : int
    """
    given = [features] if isinstance(features, FeatureMaps) else list(features)
    scans = [joint_stages(maps, strides) for maps in given]
    _require_alike(scans, inside)
    masks = [cells_inside(maps) if inside is None else inside for maps in scans]
    sample = np.concatenate(
        [_sample(m, mask, FIT_CELLS // len(scans), seed) for m, mask in zip(scans, masks, strict=True)]
    )
    mean = sample.mean(0)
    variance, axes, total = _principal_axes(sample - mean, max(3, min(components, len(sample) - 1)))
    axes = (axes * np.sign(axes[np.abs(axes).argmax(0), range(axes.shape[1])])).astype(np.float32)
    low, high = color_range(((sample - mean) @ axes).T)
    explained = tuple(float(share) for share in np.maximum(variance, 0) / max(total, 1e-12))
    first = scans[0]
    return Basis(
        split_by_stage(first, axes),
        mean @ axes,
        low,
        high,
        explained,
        first.model,
        first.fingerprint,
        len(scans),
        first.notice,
    )


def _principal_axes(centered: NDArray[np.float32], count: int) -> tuple[NDArray, NDArray, float]:
    """Leading variances, their axes as columns, and the total variance; the product runs in torch, which is faster."""
    import torch
    from scipy import linalg

    rows = torch.from_numpy(np.ascontiguousarray(centered))
    covariance = (rows.T @ rows).double().numpy() / max(len(rows) - 1, 1)
    size = len(covariance)
    variance, axes = linalg.eigh(covariance, subset_by_index=(size - min(count, size), size - 1))
    return variance[::-1], axes[:, ::-1], float(np.trace(covariance))


_samples: "WeakKeyDictionary[FeatureMaps, dict[tuple[int, int], NDArray[np.float32]]]" = WeakKeyDictionary()


def _sample(features: FeatureMaps, inside: NDArray[np.bool_], count: int, seed: int) -> NDArray[np.float32]:
    """Descriptors of some cells; those of the whole body are kept as long as the features."""
    if inside is not features.body_at(features.strides[0]):
        return _described(features, inside, count, seed)
    known = _samples.setdefault(features, {})
    if (count, seed) not in known:
        known[count, seed] = _described(features, inside, count, seed)
    return known[count, seed]


def _described(features: FeatureMaps, inside: NDArray[np.bool_], count: int, seed: int) -> NDArray[np.float32]:
    return joint_descriptors(features, features.finest.grid.cell_positions(sample_cells(inside, count, seed)))


def _require_alike(scans: list[FeatureMaps], inside: NDArray | None) -> None:
    if not scans:
        raise InputError("nothing to fit on", expected="features of at least one scan")
    for other in scans[1:]:
        scans[0].require_same_encoder(other)
        if other.strides != scans[0].strides:
            raise InputError("scans have features of different stages", found=other.strides, expected=scans[0].strides)
    if inside is not None and len(scans) > 1:
        raise InputError("a selection applies to one scan only", found=f"{len(scans)} scans")
    if inside is not None and inside.sum() < 4:
        raise InputError("selection too small", found=f"{int(inside.sum())} cells", expected="4 or more")


@checked
def pca_rgb(
    features: FeatureMaps,
    *,
    components: tuple[int, int, int] = (0, 1, 2),
    seed: int = 0,
    basis: Basis | None = None,
    inside: NDArray[np.bool_] | None = None,
) -> RgbMap:
    """Principal components of the descriptors inside the body as colors.

    Parameters
    ----------
    features : FeatureMaps
    components : tuple of int
        Components shown as red, green and blue, from 0.
    seed : int
        Seed of the sample for the fit.
    basis : Basis, optional
        Use this one instead of fitting: colors are then those of every other scan under it.
    inside : (z, y, x) bool array, optional
        Fit on these cells of the finest stage and show only them: see `cells_inside`.
    """
    if basis is None:
        basis = fit_basis(features, max(*components, 2) + 1, inside=inside, seed=seed)
    return basis.rgb(features, components, inside)
