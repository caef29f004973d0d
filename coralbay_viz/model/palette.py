"""CT windows, the heat colormap, and the colors of clicks and classes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coralbay_core.spatial import LabelVolume
from coralbay_core.spatial.label_colors import CLASS_COLORS as CLASS_COLORS
from coralbay_core.spatial.label_colors import class_color as class_color
from coralbay_core.spatial.label_colors import rgb_of


@dataclass(frozen=True)
class Window:
    """A CT window.

    Parameters
    ----------
    name : str
    level_hu, width_hu : float
        Center and full width of the gray scale.
    """

    name: str
    level_hu: float
    width_hu: float

    @property
    def limits_hu(self) -> tuple[float, float]:
        """Lower and upper limit, HU."""
        return self.level_hu - self.width_hu / 2, self.level_hu + self.width_hu / 2


WINDOWS = {
    window.name: window
    for window in (
        Window("Soft tissue", 40, 400),
        Window("Lung", -600, 1500),
        Window("Bone", 400, 1800),
        Window("Brain", 40, 80),
        Window("Liver", 70, 180),
        Window("Mediastinum", 50, 350),
    )
}
DEFAULT_WINDOW = "Soft tissue"


def adjust_window(limits_hu: tuple[float, float], level: float, width: float) -> tuple[float, float]:
    """Return the limits of a CT window after a drag over the canvas.

    Parameters
    ----------
    limits_hu : pair of float
    level, width : float
        Fractions of the canvas: a drag over all of it moves the level by twice the width and changes the width
        fourfold, so that narrow windows are adjusted finely.
    """
    low, high = limits_hu
    new_width = float(np.clip((high - low) * 4.0**width, 1, 2 * (RANGE_HU[1] - RANGE_HU[0])))
    new_level = float(np.clip((low + high) / 2 + 2 * (high - low) * level, *RANGE_HU))
    return new_level - new_width / 2, new_level + new_width / 2


def window_name(limits_hu: tuple[float, float]) -> str | None:
    """Return the name of the preset with these limits, or None."""
    return next((w.name for w in WINDOWS.values() if np.allclose(w.limits_hu, limits_hu, atol=0.5)), None)


# A projection through a body shows bone at best: in a slice's window all of it would be one white blob.
_PROJECTION_LOW_HU = -50.0
_PROJECTION_HIGH_HU = (1000.0, 2200.0)

# What a scan can hold; the contrast slider of a viewer runs over this.
RANGE_HU = (-1024.0, 3071.0)

POSITIVE = "#3ddc84"
NEGATIVE = "#ff4d6d"
REGION = "#ffffff"
MARKED = "#ffd54f"
FOUND = "#4dd0e1"
SUGGESTION = "#ff9ff3"
UNDECIDED = "#9e9e9e"

# (position, red, green, blue, alpha): clear below the threshold, then at once visible and from violet to pale yellow,
# so that brightness alone already orders the values and the CT stays readable underneath.
_HEAT_STOPS = (
    (0.0, 0.40, 0.05, 0.55, 0.00),
    (0.004, 0.40, 0.05, 0.55, 0.50),
    (0.3, 0.78, 0.11, 0.42, 0.62),
    (0.6, 0.97, 0.42, 0.16, 0.75),
    (0.85, 1.00, 0.78, 0.20, 0.88),
    (1.0, 1.00, 0.98, 0.75, 0.95),
)


def projection_limits_hu(data: NDArray) -> tuple[float, float]:
    """Return the gray scale of a projection of a scan, wide enough for its dense bone."""
    sample = data[::3, ::3, ::3]
    tissue = sample[sample > -300]
    high = 1.25 * float(np.percentile(tissue, 99.5)) if tissue.size else 0.0
    return _PROJECTION_LOW_HU, float(np.clip(high, *_PROJECTION_HIGH_HU))


def heat_colors(steps: int = 256) -> NDArray[np.float32]:
    """Return RGBA in [0, 1] of the heat colormap, shape (steps, 4); the first entry is transparent."""
    stops = np.array(_HEAT_STOPS)
    at = np.linspace(0, 1, steps)
    colors = np.stack([np.interp(at, stops[:, 0], channel) for channel in stops[:, 1:].T], axis=1)
    colors[0, 3] = 0
    return colors.astype(np.float32)


def hover_colors(steps: int = 256) -> NDArray[np.float32]:
    """Return RGBA of the hover preview, shape (steps, 4): transparent to light blue."""
    at = np.linspace(0, 1, steps)
    return np.stack([0.3 * at, 0.7 + 0.3 * at, np.ones(steps), 0.55 * (at > 0)], 1).astype(np.float32)


def fraction_colors(steps: int = 256) -> NDArray[np.float32]:
    """Return RGBA for values in [0, 1], shape (steps, 4): viridis; 0 is transparent."""
    from matplotlib import colormaps

    made = colormaps["viridis"](np.linspace(0, 1, steps)).astype(np.float32)
    made[0, 3] = 0
    return made


def colored(labels: LabelVolume, chosen: Mapping[int, str]) -> LabelVolume:
    """Return labels with the colors in which they are shown, for files that hold colors.

    Parameters
    ----------
    labels : LabelVolume
    chosen : mapping of int to str
        Colors in place of those of the palette.
    """
    values = (int(value) for value in np.unique(labels.data) if value > 0)
    return replace(labels, colors={value: rgb_of(class_color(value, chosen)) for value in values})
