"""Features that are known: three blocks of tissue in a background, each with a direction of its own."""

import numpy as np

from coralbay_core.features import FeatureMap, FeatureMaps
from coralbay_core.spatial import Grid, LabelVolume, geometry

SPL = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
GRID = Grid((96, 80, 64), geometry.translate((50, 60, -70)) @ SPL @ geometry.scale(1.5))
CT_GRID = Grid((72, 100, 50), geometry.translate((49, 59, -69)) @ SPL @ geometry.scale((1.9, 1.1, 1.8)))
TISSUES = {"left": (20, 40, 50), "right": (20, 40, 12), "top": (80, 40, 30)}


def made_features(
    seed: int = 0,
    noise: float = 0.3,
    fingerprint: str = "made",
    noise_of: dict[int, float] | None = None,
    strides: tuple[int, ...] = (4, 8),
) -> FeatureMaps:
    """Features of some stages; `noise_of` gives a stage a noise of its own."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(4, 24))
    kind = tissue_map()
    stages = {}
    for stride in strides:
        middle = (np.minimum(np.arange(-(-n // stride)) * stride + stride // 2, n - 1) for n in kind.shape)
        kinds = kind[np.ix_(*middle)]
        level = (noise_of or {}).get(stride, noise)
        data = directions[kinds] * 5 + 3 + level * rng.normal(size=(*kinds.shape, 24))
        stages[stride] = FeatureMap(stride, np.moveaxis(data, -1, 0).astype(np.float16), GRID.coarsen(stride))
    body = np.ones(GRID.shape, bool)
    body[:, :4] = False
    return FeatureMaps(stages, GRID, body, "made", fingerprint)


def tissue_map() -> np.ndarray:
    kind = np.zeros(GRID.shape, int)
    for value, center in enumerate(TISSUES.values(), 1):
        kind[tuple(slice(c - 10, c + 10) for c in center)] = value
    return kind


def world(name: str) -> np.ndarray:
    return GRID.to_world(TISSUES[name])


def strokes(values: tuple[int, int, int]) -> LabelVolume:
    """One stroke in the background, one in each of two tissues."""
    data = np.zeros(CT_GRID.shape, np.int16)
    for value, position in zip(values, (GRID.to_world((48, 60, 30)), world("left"), world("top")), strict=True):
        z, y, x = np.rint(CT_GRID.to_index(position)).astype(int)
        data[z, y - 4 : y + 4, x - 1 : x + 2] = value
    return LabelVolume(data, CT_GRID, names={values[1]: "left one"})
