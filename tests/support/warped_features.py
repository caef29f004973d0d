"""Two scans of one made-up body whose true correspondence is known: features are smooth functions of the place."""

from collections.abc import Callable

import numpy as np

from coralbay_core.features import FeatureMap, FeatureMaps
from coralbay_core.spatial import Grid, geometry

SPL = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
GRID = Grid((128, 96, 112), geometry.translate((80, 70, -100)) @ SPL @ geometry.scale(2.0))
WAVES = 40


def ripple(position_mm: np.ndarray) -> np.ndarray:
    """Displace every place of the target by up to 9 mm to where the source shows it."""
    x, y, z = np.moveaxis(np.asarray(position_mm, float), -1, 0)
    shift = np.stack([6 * np.sin(z / 35 + 1), 5 * np.sin(x / 40), 7 * np.cos(y / 38 + z / 60)], -1)
    return position_mm + shift


def features_at(place: Callable[[np.ndarray], np.ndarray], seed: int, grid: Grid = GRID) -> FeatureMaps:
    """Features of a scan that shows at each position what the made-up body has at `place(position)`."""
    rng, waves = np.random.default_rng(seed), np.random.default_rng(7)
    stages = {}
    for stride, length_mm in ((4, 30.0), (8, 60.0)):
        numbers, phases = waves.normal(size=(WAVES, 3)) / length_mm, waves.uniform(0, 2 * np.pi, WAVES)
        cells = grid.coarsen(stride)
        position_mm = cells.cell_positions(np.ones(cells.shape, bool))
        data = np.cos(2 * np.pi * 0.3 * place(position_mm) @ numbers.T + phases) + 0.1 * rng.normal(
            size=(len(position_mm), WAVES)
        )
        stages[stride] = FeatureMap(stride, data.T.reshape(WAVES, *cells.shape).astype(np.float16), cells)
    body = np.ones(grid.shape, bool)
    body[:, :6] = body[:, -6:] = False
    return FeatureMaps(stages, grid, body, "made", "made")


def shown_twice() -> tuple[FeatureMaps, FeatureMaps]:
    """A scan, and another one that is displaced by `ripple`."""
    return features_at(lambda p: p, 1), features_at(ripple, 2)
