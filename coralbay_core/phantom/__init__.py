"""A procedural torso CT: subjects that share one anatomy, with labels and corresponding landmarks.

``make_phantom(seed)`` paints signed distances, structure over structure, in the coordinates of a canonical body that a
smooth invertible map takes to the subject. So labels never overlap, and a point means the same place in all subjects.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from ..errors import InputError
from ..spatial import Grid, LabelVolume, Volume
from ..spatial.geometry import translate
from ..util.arguments import checked
from .abdomen import paint_abdomen
from .anatomy import LABELS, landmarks
from .canvas import Canvas
from .chest import paint_chest
from .frame import make_frame, outline
from .skeleton import paint_skeleton
from .subject import FIELD_MM, Subject, make_subject
from .texture import scanner_noise, tissue_grain
from .wall import paint_table, paint_wall

__all__ = ["LABELS", "Phantom", "make_phantom"]


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic patient.

    Parameters
    ----------
    volume : Volume
        CT in HU, int16.
    labels : LabelVolume
        uint8 on the same grid, 0 outside the body, with names.
    landmarks : dict of str to (3,) array
        RAS+ mm; the same name is the corresponding point in every subject.
    landmark_structures : dict of str to str
        Name of the structure that each landmark lies in.
    subject : Subject
        Parameters drawn from the seed.
    """

    volume: Volume
    labels: LabelVolume
    landmarks: dict[str, NDArray[np.float64]]
    landmark_structures: dict[str, str]
    subject: Subject

    def to_canonical(self, position_mm: ArrayLike) -> NDArray[np.float64]:
        """Canonical coordinates of positions in RAS+ mm, shape (..., 3)."""
        return self.subject.warp.to_canonical(position_mm)

    def from_canonical(self, points: ArrayLike) -> NDArray[np.float64]:
        """RAS+ mm of canonical coordinates, shape (..., 3).

        ``b.from_canonical(a.to_canonical(p))`` is the point of b that corresponds to p in a.
        """
        return self.subject.warp.from_canonical(points)

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Voxels of a structure."""
        return self.labels.data == LABELS[name]


@checked
def make_phantom(
    seed: int = 0, spacing_mm: ArrayLike = 2.0, *, noise_hu: float | None = None, table: bool = True
) -> Phantom:
    """Draw a subject and paint its CT; equal arguments give equal results.

    Parameters
    ----------
    seed : int
        The subject, 0 or greater.
    spacing_mm : float or (z, y, x)
        Between voxels. At 2 mm the array has about 5 million voxels and takes some ten seconds; time grows with their
        number.
    noise_hu : float, optional
        Standard deviation of the noise in the middle of the body; drawn from the seed unless given.
    table : bool
        Whether the patient lies on a table.
    """
    spacing = _checked(seed, spacing_mm)
    subject = make_subject(seed)
    grid = _make_grid(subject, spacing)
    grain = tissue_grain(grid.shape, float(spacing.mean()), subject.rng("grain"))
    canvas = Canvas(grid, subject.warp, subject.tissues, LABELS, grain)
    depth = _paint(canvas, subject, table)
    hu = gaussian_filter(canvas.hu, 0.5, truncate=3)
    level = subject.noise_hu if noise_hu is None else noise_hu
    hu += scanner_noise(depth, float(spacing.mean()), level, subject.rng("noise"))
    name = f"phantom-{seed}"
    volume = Volume(np.rint(np.clip(hu, -1024, 3071)).astype(np.int16), grid, name)
    labels = LabelVolume(canvas.labels, grid, name, names={value: key for key, value in LABELS.items()})
    named = landmarks()
    points = {key: subject.warp.from_canonical(point) for key, (_, point) in named.items()}
    return Phantom(volume, labels, points, {key: structure for key, (structure, _) in named.items()}, subject)


def _paint(canvas: Canvas, subject: Subject, table: bool) -> NDArray[np.float32]:
    """Paint everything and return the depth under the skin, mm."""
    frame = make_frame(canvas, subject)
    if table:
        paint_table(canvas, frame)
    paint_wall(canvas, frame)
    paint_abdomen(canvas, frame, subject)
    paint_chest(canvas, frame, subject)
    paint_skeleton(canvas, frame)
    return -frame.skin


def _checked(seed: int, spacing_mm: ArrayLike) -> NDArray[np.float64]:
    if int(seed) != seed or seed < 0:
        raise InputError("seed of a phantom", found=seed, expected="an integer, 0 or greater")
    try:
        spacing = np.broadcast_to(np.asarray(spacing_mm, float), 3)
    except (TypeError, ValueError):
        spacing = np.full(3, np.nan)
    if not np.all((spacing >= 0.5) & (spacing <= 10)):
        raise InputError("spacing of a phantom", found=spacing_mm, expected="0.5 to 10 mm")
    return spacing


def _make_grid(subject: Subject, spacing_mm: NDArray[np.float64]) -> Grid:
    """Axes S P L around the subject's skin, with room for the table behind."""
    skin = subject.warp.from_canonical(outline(subject.fat, subject.female))
    low, high = skin.min(0) - np.array((8, 24, 0)), skin.max(0) + np.array((8, 8, 0))
    low[2], high[2] = subject.warp.from_canonical([(0, 0, z) for z in FIELD_MM])[:, 2]
    shape = np.ceil((high - low)[::-1] / spacing_mm).astype(int)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = (*(spacing_mm * (1, -1, -1)), 1)
    affine[:3, 3] = high[0], high[1], low[2]
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine @ translate(0.5))
