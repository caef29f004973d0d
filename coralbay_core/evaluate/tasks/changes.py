"""Task ``changes``: robustness of matches and heat maps to changes of the same scan."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...features import FeatureMaps
from ...features.descriptors import describe_points
from ...matching import SearchSpace
from ...spatial import Grid, Volume, geometry
from ...spatial.body_mask import body_mask
from ...spatial.geometry import Affine
from ...spatial.resampling import resample
from ...spatial.volume import AIR_HU
from ..cases import Case, interior, lattice_of
from ..metrics import rank_correlation
from ..records import Record
from .common import Setting, body_points

BLOCK_MM = 192.0
"""Side of the block of every other scan that is changed in many ways; whole scans are changed in one."""

POINTS = 30
HEAT_MAPS = 8
RANKED = 3000
DEEP_MM = 12.0
NEAR_MM = 12.0

Changed = tuple[Volume, Affine]
"""A volume, and where world mm of the original lie in it."""


@dataclass(frozen=True)
class Change:
    """A change of a scan, e.g. noise or rotation.

    Parameters
    ----------
    name, kind : str
        `kind` groups them: window, spacing, orientation, noise, geometry, all.
    apply : callable
        Volume and random numbers to the changed volume and the affine from the original's world mm to its own.
    """

    name: str
    kind: str
    apply: Callable[[Volume, np.random.Generator], Changed]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A changed scan and its test positions, the same for all methods.

    Parameters
    ----------
    copy : Volume
    there : (4, 4) array
        World mm of the original to those of the copy.
    lattice : Grid
    body : (z, y, x) bool array
        Body mask of the copy, on `lattice`.
    points : (N, 3) array
        Points to find, world mm of the original.
    anywhere : (M, 3) array
        Positions at which heat maps and descriptors are compared.
    """

    copy: Volume
    there: Affine
    lattice: Grid
    body: NDArray[np.bool_]
    points: NDArray[np.float64]
    anywhere: NDArray[np.float64]


def changed_copies(setting: Setting) -> Iterator[Record]:
    """Evaluate robustness, one record per case and change: errors in mm, rank correlations, cosines per stage."""
    for case in setting.cases:
        if case.domain == "real":
            values = _measured(setting, case, TOGETHER, case.volume, setting.features(case))
            yield setting.record("changes", case, values, change=TOGETHER.name, kind="all", extent="whole")
    for case in _every_other(setting.cases):
        block = case.keep("block", partial(_block, case))
        before = setting.method.describe(block)
        for change in CHANGES:
            values = _measured(setting, case, change, block, before)
            yield setting.record("changes", case, values, change=change.name, kind=change.kind, extent="block")


def _every_other(cases: list[Case]) -> list[Case]:
    """Select half of the cases of each domain, to limit the time of twelve changes of each."""
    domains = dict.fromkeys(case.domain for case in cases)
    return [case for domain in domains for case in [c for c in cases if c.domain == domain][::2]]


def _measured(setting: Setting, case: Case, change: Change, volume: Volume, before: FeatureMaps) -> dict:
    key = f"change {change.name} {setting.seed}"
    made: Prepared = case.keep(key, lambda: _prepare(case, change, volume, setting.seed))
    after = setting.method.describe(made.copy)
    elsewhere = geometry.apply(made.there, made.anywhere)
    errors, correlations = [], []
    for number, point in enumerate(made.points):
        heat = setting.method.heat(after, point, before)
        space = SearchSpace(made.lattice, made.body)
        _, found = space.best(space.scores(heat))
        errors.append(float(np.linalg.norm(found - geometry.apply(made.there, point))))
        if number < HEAT_MAPS:
            own = setting.method.heat(before, point).at(made.anywhere)
            correlations.append(rank_correlation(own, heat.at(elsewhere)))
    cosines = {
        f"cosine_{stride}": _mean_cosine(before, made.anywhere, after, elsewhere, stride) for stride in before.strides
    }
    return {"error_mm": errors, "near": [e <= NEAR_MM for e in errors], "rank_correlation": correlations, **cosines}


def _mean_cosine(before: FeatureMaps, here: NDArray, after: FeatureMaps, there: NDArray, stride: int) -> float:
    pair = describe_points(before, here, stride), describe_points(after, there, stride)
    return float(np.einsum("nc,nc->n", *pair).mean())


def _prepare(case: Case, change: Change, volume: Volume, seed: int) -> Prepared:
    copy, there = change.apply(volume, case.rng(f"change {change.name}", seed))
    lattice, taken = lattice_of(copy.grid)
    body = np.ascontiguousarray(body_mask(copy.data, copy.grid.spacing_mm)[taken])
    points, anywhere = _positions(case, volume, copy.grid, there, seed)
    return Prepared(copy, there, lattice, body, points, anywhere)


def _positions(case: Case, volume: Volume, grid: Grid, there: Affine, seed: int) -> tuple[NDArray, NDArray]:
    """Draw points to find, well inside the body, and positions to compare; all of them also lie in the copy."""
    lattice, taken = lattice_of(volume.grid)
    body = body_mask(volume.data, volume.grid.spacing_mm)[taken]
    index, depth = interior(body, lattice.spacing_mm)
    deep = np.zeros_like(body)
    deep[tuple(index[depth >= min(DEEP_MM, depth.max())].T)] = True
    rng = case.rng("positions", seed)
    drawn = []
    for mask, count in ((deep, POINTS), (body, RANKED)):
        found = body_points(mask, lattice, 4 * count, rng)
        drawn.append(rng.permutation(found[grid.contains(geometry.apply(there, found))])[:count])
    return drawn[0], drawn[1]


def _block(case: Case) -> Volume:
    """Cut a cube around the middle of the body, smaller at the edges of the volume."""
    volume = case.volume
    middle = volume.grid.to_index(case.lattice.cell_positions(case.body).mean(0))
    reach = BLOCK_MM / 2 / volume.grid.spacing_mm
    low = np.clip(np.rint(middle - reach), 0, np.maximum(0, np.array(volume.shape) - np.rint(2 * reach))).astype(int)
    high = np.minimum(low + np.rint(2 * reach).astype(int), volume.shape)
    return _cut(volume, low, high)


def _cut(volume: Volume, low: NDArray, high: NDArray) -> Volume:
    part = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    data = np.ascontiguousarray(volume.data[part])
    return Volume(data, Grid(data.shape, volume.affine @ geometry.translate(low)), volume.name)


# --- changes ------------------------------------------------------------------------------------------------------


def _in_hu(data: NDArray, grid: Grid, name: str) -> Volume:
    """Round a volume to whole HU within the range of CTs, like a file."""
    return Volume(np.rint(np.clip(data, -1024, 3071)).astype(np.int16), grid, name)


def _noise(hu: float) -> Callable[[Volume, np.random.Generator], Changed]:
    def apply(volume: Volume, rng: np.random.Generator) -> Changed:
        noise = rng.normal(0, hu, volume.shape).astype(np.float32)
        return _in_hu(volume.data + noise, volume.grid, volume.name), np.eye(4)

    return apply


def _window(low_hu: float, high_hu: float) -> Callable[[Volume, np.random.Generator], Changed]:
    def apply(volume: Volume, rng: np.random.Generator) -> Changed:
        """Simulate a CT that was saved as an image with this window."""
        return _in_hu(np.clip(volume.data, low_hu, high_hu), volume.grid, volume.name), np.eye(4)

    return apply


def _spacing(spacing_mm: tuple[float, float, float]) -> Callable[[Volume, np.random.Generator], Changed]:
    def apply(volume: Volume, rng: np.random.Generator) -> Changed:
        ratio = np.asarray(spacing_mm) / volume.grid.spacing_mm
        shape = tuple(int(n) for n in np.maximum(1, np.asarray(volume.shape) // ratio))
        grid = Grid(shape, geometry.coarsen(volume.affine, ratio))  # type: ignore[arg-type]
        return _in_hu(resample(volume.data, volume.grid, grid), grid, volume.name), np.eye(4)

    return apply


def _moved(linear: NDArray, noise_hu: float = 0.0) -> Callable[[Volume, np.random.Generator], Changed]:
    """Scale, rotate or mirror the patient about the middle of the volume by a (3, 3) matrix in world mm."""

    def apply(volume: Volume, rng: np.random.Generator) -> Changed:
        from scipy import ndimage

        middle = volume.grid.center_mm
        turn = np.eye(4)
        turn[:3, :3] = linear
        there = geometry.translate(middle) @ turn @ geometry.translate(-middle)
        back = volume.grid.index_from_world @ np.linalg.inv(there) @ volume.affine
        data = ndimage.affine_transform(
            volume.data.astype(np.float32), back[:3, :3], back[:3, 3], order=1, mode="constant", cval=AIR_HU
        )
        if noise_hu:
            data += rng.normal(0, noise_hu, data.shape).astype(np.float32)
        return _in_hu(data, volume.grid, volume.name), there

    return apply


def _cropped(volume: Volume, rng: np.random.Generator) -> Changed:
    """Remove the lower quarter, and an eighth at one side."""
    nz, ny, nx = volume.shape
    return _cut(volume, np.array([nz // 4, 0, nx // 8]), np.array([nz, ny, nx])), np.eye(4)


def _rotation(degrees: tuple[float, float, float]) -> NDArray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


CHANGES = (
    Change("lung window", "window", _window(-1350, 150)),
    Change("soft-tissue window", "window", _window(-160, 240)),
    Change("bone window", "window", _window(-500, 1300)),
    Change("4.5 mm slices", "spacing", _spacing((4.5, 1.5, 1.5))),
    Change("3 mm voxels", "spacing", _spacing((3.0, 3.0, 3.0))),
    Change("left and right swapped", "orientation", _moved(np.diag([-1.0, 1, 1]))),
    Change("lying on the side", "orientation", _moved(_rotation((0, 0, 90)))),
    Change("noise 40 HU", "noise", _noise(40)),
    Change("noise 100 HU", "noise", _noise(100)),
    Change("scaled 0.9", "geometry", _moved(0.9 * np.eye(3))),
    Change("turned 8 degrees", "geometry", _moved(_rotation((8, -8, 8)))),
    Change("cropped", "geometry", _cropped),
)

TOGETHER = Change("scaled 0.9, turned 8 degrees, noise 40 HU", "all", _moved(0.9 * _rotation((8, -8, 8)), 40.0))
