"""Features, colors and heat map of one checkpoint of a training run."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coralbay_core.errors import Cancelled, CoralBayError
from coralbay_core.spatial import Grid, Volume

from ..jobs import JobContext
from ..model.clicks import Clicks
from ..model.results import HeatResult, PcaResult
from .similarity import TOP_REGIONS

if TYPE_CHECKING:
    from coralbay_core.features import FeatureMaps
    from coralbay_core.pretrain.run_folder import RunFolder
from ..model.training import Box, CheckpointView


def view_of(
    folder: Path,
    step: int,
    volume: Volume,
    box_mm: Box | None,
    clicks: Clicks,
    grid: Grid,
    before: CheckpointView | None,
    known: "FeatureMaps | None",
    device: str,
    context: JobContext,
) -> CheckpointView | str:
    """Compute the view of a checkpoint on a scan; return an error message if the checkpoint cannot be read."""
    from coralbay_core.pretrain.run_folder import RunFolder

    if known is not None and before is not None:
        return CheckpointView(step, known, before.pca, before.coordinates, heat_of(known, clicks, grid, box_mm), clicks)
    try:
        features = _features(RunFolder(folder), step, volume, box_mm, device, context)
    except Cancelled:
        raise
    except (CoralBayError, OSError) as error:  # removed meanwhile, or not whole: a later look finds another
        return str(error)
    pca, coordinates = colors_of(features, grid, before)
    return CheckpointView(step, features, pca, coordinates, heat_of(features, clicks, grid, box_mm), clicks)


def _features(
    run: "RunFolder",
    step: int,
    volume: Volume,
    box_mm: Box | None,
    device: str,
    context: JobContext,
) -> "FeatureMaps":
    from coralbay_core.extraction.pipeline import features_for

    encoder = run.encoder(step, device=device)
    return features_for(
        volume, encoder, roi_mm=box_mm, store=False, progress=context.progress, cancelled=context.cancelled
    )


def colors_of(
    features: "FeatureMaps", grid: Grid, before: CheckpointView | None
) -> tuple[PcaResult, NDArray[np.float32]]:
    """Compute the first principal components, aligned with those of the previous checkpoint, and coordinates."""
    from coralbay_core.projection import aligned_basis, fit_basis

    basis = fit_basis(features, 3)
    if before is not None and before.coordinates.shape[1:] == features.finest.grid.shape:
        basis = aligned_basis(basis, features, before.coordinates)
    rgb = basis.rgb(features)
    return PcaResult(rgb, rgb.resample_to(grid), grid, basis), basis.coordinates(features)


def heat_of(features: "FeatureMaps", clicks: Clicks, grid: Grid, box_mm: Box | None) -> HeatResult | None:
    """Compute the heat map of the clicks inside the box."""
    from coralbay_core.matching import SimilarityRequest, answer

    near = clicks.inside(features.grid)
    if not near.positive:
        return None
    search = SimilarityRequest(target=features, positive_mm=near.positive, negative_mm=near.negative, top=TOP_REGIONS)
    return HeatResult.of(answer(search), grid, near, partial=box_mm is not None)
