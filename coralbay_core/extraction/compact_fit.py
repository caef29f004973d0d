"""Fitting the compact form of a model: principal directions of its descriptors over many scans."""

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..features import FeatureMaps
from ..features.descriptors import stage_descriptors
from ..models.compact import CompactBasis, StageBasis
from ..models.encoder import Encoder, check_strides
from ..spatial import Volume
from .cache import FeatureStore
from .pipeline import features_for
from .sliding_window import Progress

DIMENSIONS = 128
_TOKENS_A_SCAN = 20_000
_FEWEST = 8
"""Directions that every stage keeps."""


class _Moments:
    """Sums over tokens of one stage: raw features, and products of unit vectors."""

    def __init__(self, channels: int):
        self.count = self.scans = 0
        self.mean = np.zeros(channels)
        self.variance = np.zeros(channels)
        self.products = np.zeros((channels, channels))

    def add(self, features: FeatureMaps, stride: int, rng: np.random.Generator) -> None:
        known = stage_descriptors(features, stride)
        cells = np.flatnonzero(features.body_at(stride))
        cells = rng.choice(cells, min(len(cells), _TOKENS_A_SCAN), replace=False)
        unit = known.unit.reshape(len(self.mean), -1)[:, cells].astype(np.float64)
        # Every scan counts alike, large or small.
        self.scans += 1
        self.mean += known.mean
        self.variance += known.scale.astype(float) ** 2
        self.products += unit @ unit.T / len(cells)

    def directions(self) -> tuple[NDArray, NDArray]:
        """Compute variances and directions (rows), by falling variance."""
        values, vectors = np.linalg.eigh(self.products / self.scans)
        return values[::-1], vectors[:, ::-1].T


def fit_compact(
    encoder: Encoder,
    volumes: Iterable[Volume],
    *,
    dimensions: int = DIMENSIONS,
    strides: Collection[int] | None = None,
    store: FeatureStore | bool = True,
    progress: Progress | None = None,
    total: int = 0,
    seed: int = 0,
) -> CompactBasis:
    """Fit the compact form of a model on scans like those that it will be used for.

    Parameters
    ----------
    encoder : Encoder
    volumes : iterable of Volume
        Twenty or more give a basis that generalizes to other scans.
    dimensions : int
        Number for all stages together, divided so that the least variance of the unit vectors, which count alike in a
        similarity, is lost; each stage keeps at least eight.
    strides : collection of int, optional
        By default those of `default_strides`.
    store : FeatureStore or bool
        As of `features_for`.
    progress : callable, optional
        Called with the number of scans done and `total`.
    seed : int
        Seed for drawing tokens, at most 20,000 per scan.
    """
    strides = check_strides(encoder, strides)
    channels = encoder.channels
    if not _FEWEST * len(strides) <= dimensions <= sum(channels[s] for s in strides):
        raise InputError(
            "unusable number of dimensions",
            found=dimensions,
            expected=f"{_FEWEST * len(strides)} to {sum(channels[s] for s in strides)}",
        )
    rng = np.random.default_rng(seed)
    moments = {stride: _Moments(channels[stride]) for stride in strides}
    for done, volume in enumerate(volumes, 1):
        features = features_for(volume, encoder, strides=strides, store=store)
        for stride in strides:
            moments[stride].add(features, stride, rng)
        if progress:
            progress(done, total)
    if not moments[strides[0]].scans:
        raise InputError("no scan to fit on", expected="at least one")
    spectra = {stride: part.directions() for stride, part in moments.items()}
    kept = _share_out({stride: values for stride, (values, _) in spectra.items()}, dimensions)
    stages = {
        stride: StageBasis(
            (part.mean / part.scans).astype(np.float32),
            np.sqrt(part.variance / part.scans).astype(np.float32),
            np.ascontiguousarray(spectra[stride][1][: kept[stride]], np.float32),
        )
        for stride, part in moments.items()
    }
    explained = {stride: float(values[: kept[stride]].sum() / values.sum()) for stride, (values, _) in spectra.items()}
    return CompactBasis(stages, encoder.fingerprint, explained, moments[strides[0]].scans)


def _share_out(variances: dict[int, NDArray], dimensions: int) -> dict[int, int]:
    """Choose the number of leading directions per stage such that together they hold the most variance."""
    kept = {stride: min(_FEWEST, len(values)) for stride, values in variances.items()}
    rest = sorted(
        ((value, stride) for stride, values in variances.items() for value in values[kept[stride] :]), reverse=True
    )
    for _, stride in rest[: dimensions - sum(kept.values())]:
        kept[stride] += 1
    return kept
