"""Transforms between scans as other programs store them: ITK transform files and NIfTI displacement fields.

ITK's convention holds for what is read and what is written: a transform that brings scan A to the grid of scan B maps
positions of B to those of A, and its world is LPS.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, MissingFileError
from ..spatial import Grid, SourceGrid, geometry
from ..spatial.resampling import resample
from ..util.atomic_file import atomic_path
from . import checks, itk, nifti

SUFFIXES = (".tfm", ".txt", ".h5", ".hdf5", ".xfm", ".mat")
_FIELDS = (".h5", ".hdf5")
_AFFINES = (".tfm", ".txt", ".mat")
WRITTEN = (*nifti.SUFFIXES, *_FIELDS, *_AFFINES)
"""Ends of the names that `save_transform` accepts."""

_LPS = np.array([-1.0, -1.0, 1.0])

PointMap = Callable[[ArrayLike], NDArray[np.float64]]
"""Maps world positions (..., 3), RAS+ mm."""


def save_displacement(path: str | Path, displacement_mm: NDArray, grid: Grid) -> Path:
    """Write displacements as NIfTI that ITK, ANTs and Slicer read as a displacement field.

    Parameters
    ----------
    path : str or Path
        Ends in ``.nii`` or ``.nii.gz``.
    displacement_mm : (3, z, y, x) array
        RAS+ mm, from each cell's position to that in the other scan; the file holds LPS, five dimensions and the
        intent *vector*.
    grid : Grid
    """
    import nibabel

    path = Path(path)
    nifti.require_name(path)
    source = SourceGrid.for_array(grid)
    parts = [source.to_file(part) * sign for part, sign in zip(displacement_mm, _LPS, strict=True)]
    data = np.stack(parts, -1).astype(np.float32)[:, :, :, None, :]
    image = nibabel.Nifti1Image(data, source.affine)
    image.header.set_xyzt_units("mm")
    image.header.set_intent("vector")
    image.set_sform(source.affine, code="scanner")
    image.set_qform(source.affine, code="scanner")
    with atomic_path(path, ".nii.gz" if path.suffix.lower() == ".gz" else ".nii") as temporary:
        image.to_filename(temporary)
    return path


def save_transform(path: str | Path, displacement_mm: NDArray, grid: Grid) -> Path:
    """Write a map between scans as a transform that ITK, ANTs and Slicer read.

    Parameters
    ----------
    path : str or Path
        ``.nii`` or ``.nii.gz``: a displacement field as an image. ``.h5``: the same as a transform. ``.tfm``, ``.txt``
        or ``.mat``: the affine transform that is nearest to the displacements, by least squares.
    displacement_mm : (3, z, y, x) array
        RAS+ mm, from each cell's position to that in the other scan.
    grid : Grid

    Raises
    ------
    InputError, MissingExtraError
        Other suffixes than ``.nii`` and ``.nii.gz`` need SimpleITK.
    """
    path = Path(path)
    require_transform_name(path)
    if path.name.lower().endswith(nifti.SUFFIXES):
        return save_displacement(path, displacement_mm, grid)
    sitk = itk.import_sitk()
    is_field = path.suffix.lower() in _FIELDS
    transform = _field(displacement_mm, grid) if is_field else _nearest_affine(displacement_mm, grid)
    with atomic_path(path, path.suffix.lower()) as temporary:
        sitk.WriteTransform(transform, str(temporary))
    return path


def require_transform_name(path: Path) -> None:
    """Raise unless a name is that of a file that `save_transform` writes."""
    if not path.name.lower().endswith(WRITTEN):
        raise InputError(
            "not the name of a transform", where=path, expected=f"a name that ends in {', '.join(WRITTEN)}"
        )


def _field(displacement_mm: NDArray, grid: Grid) -> Any:
    """Displacement field of ITK, whose grids have orthogonal axes: a sheared one is resampled to its straight box."""
    sitk = itk.import_sitk()
    if checks.shear_degrees(grid.affine) > 1e-3:
        displacement_mm, grid = _straight(displacement_mm, grid)
    source = SourceGrid.for_array(grid)
    parts = [source.to_file(part) * sign for part, sign in zip(displacement_mm, _LPS, strict=True)]
    image = sitk.GetImageFromArray(np.stack(parts, -1).astype(np.float64).transpose(2, 1, 0, 3), isVector=True)
    axes = source.affine[:3, :3] * _LPS[:, None]
    spacing = np.linalg.norm(axes, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((axes / spacing).ravel().tolist())
    image.SetOrigin((source.affine[:3, 3] * _LPS).tolist())
    return sitk.DisplacementFieldTransform(image)


def _straight(displacement_mm: NDArray, grid: Grid) -> tuple[NDArray, Grid]:
    low, high = grid.bounds_mm
    step_mm = float(grid.spacing_mm.min())
    z, y, x = (int(np.ceil(size / step_mm)) + 1 for size in (high - low)[::-1])
    zyx_to_xyz = np.eye(4)[[2, 1, 0, 3]]
    straight = Grid((z, y, x), geometry.translate(low) @ zyx_to_xyz @ geometry.scale(step_mm))
    return np.stack([resample(part, grid, straight) for part in displacement_mm]), straight


def _nearest_affine(displacement_mm: NDArray, grid: Grid) -> Any:
    position_mm = grid.cell_positions(np.ones(grid.shape, bool))
    affine = geometry.fit_affine(position_mm, position_mm + displacement_mm.reshape(3, -1).T)
    signs = np.diag([*_LPS, 1.0])
    matrix = signs @ affine @ signs
    transform = itk.import_sitk().AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def read_transform(path: str | Path) -> PointMap:
    """Read a transform that brings scan A to the grid of scan B; the result maps positions of A to those of B.

    Parameters
    ----------
    path : str or Path
        An ITK transform (``.tfm``, ``.txt``, ``.h5``, ``.mat``), as Slicer, ANTs and elastix write, or a displacement
        field in NIfTI.

    Raises
    ------
    MissingFileError, InputError
        Where there is no transform that can be inverted.
    MissingExtraError
        Without SimpleITK.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError("no such transform", where=path)
    transform, bounds_mm = _read(path)
    if transform.IsLinear():
        matrix = _matrix(transform)
        if not np.isfinite(matrix).all() or not geometry.is_invertible(matrix[:3, :3], 1e-6):
            raise InputError("transform cannot be inverted", where=path)
        inverse = np.linalg.inv(matrix)
        return lambda position_mm: np.asarray(position_mm, float) @ inverse[:3, :3].T + inverse[:3, 3]
    return lambda position_mm: _inverted(transform, np.asarray(position_mm, float), bounds_mm)


Bounds = tuple[NDArray[np.float64], NDArray[np.float64]]


def _read(path: Path) -> tuple[Any, Bounds | None]:
    """Transform of ITK, and the lowest and highest coordinates (RAS+ mm) at which it is known; None: everywhere."""
    sitk = itk.import_sitk()
    is_field = path.name.lower().endswith((".nii", ".nii.gz", *itk.SUFFIXES))
    if not is_field and not path.name.lower().endswith(SUFFIXES):
        raise InputError(
            "not the name of a transform",
            where=path,
            expected=f"a name that ends in {', '.join(SUFFIXES)}, or a displacement field in .nii.gz",
        )
    try:
        if not is_field:
            transform = sitk.ReadTransform(str(path))
            return transform, _bounds_of(transform)
        image = sitk.ReadImage(str(path))
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 3:
            raise InputError("not a displacement field", where=path, expected="three numbers per voxel")
        bounds_mm = _bounds(_corners(image))
        return sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64)), bounds_mm
    except RuntimeError as error:
        raise InputError("not a readable transform", where=path, found=itk._short(error)) from error


def _bounds_of(transform: Any) -> Bounds | None:
    """Bounds of the first displacement field in a transform of ITK, which is 0 beyond them; None without a field."""
    transform = transform.Downcast()
    parts = [transform]
    if transform.GetName() == "CompositeTransform":  # the last part is applied first
        parts = [transform.GetNthTransform(n).Downcast() for n in range(transform.GetNumberOfTransforms())][::-1]
    before = np.eye(4)
    for part in parts:
        if part.GetName() == "DisplacementFieldTransform":
            return _bounds(geometry.apply(geometry.inverse(before), _corners(part.GetDisplacementField())))
        if not part.IsLinear():
            return None
        before = _matrix(part) @ before
    return None


def _corners(image: Any) -> NDArray[np.float64]:
    """Corners of an image of ITK, RAS+ mm."""
    ends = [(0.0, size - 1.0) for size in image.GetSize()]
    corners = [image.TransformContinuousIndexToPhysicalPoint(tuple(map(float, c))) for c in geometry.box_corners(ends)]
    return np.array(corners) * _LPS


def _bounds(corners_mm: NDArray[np.float64]) -> Bounds:
    return corners_mm.min(0), corners_mm.max(0)


def _points(transform: Any, position_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map positions (N, 3), RAS+."""
    return np.array([transform.TransformPoint(tuple(map(float, p))) for p in position_mm * _LPS]) * _LPS


def _matrix(transform: Any) -> NDArray[np.float64]:
    corners = _points(transform, np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]))
    matrix = np.eye(4)
    matrix[:3, :3] = (corners[1:] - corners[0]).T
    matrix[:3, 3] = corners[0]
    return matrix


def _inverted(
    transform: Any, position_mm: NDArray[np.float64], bounds_mm: Bounds | None, rounds: int = 12
) -> NDArray[np.float64]:
    """Positions that a smooth transform maps to these, by fixed-point iteration from its nearest affine.

    Where they lie beyond the bounds of the transform, the affine alone counts.
    """
    wanted = position_mm.reshape(-1, 3)
    low, high = bounds_mm or (wanted.min(0) - 1, wanted.max(0) + 1)
    drawn = np.random.default_rng(0).uniform(low, high, (300, 3))
    nearest = geometry.fit_affine(_points(transform, drawn), drawn)
    found = geometry.apply(nearest, wanted)
    for _ in range(rounds):
        known = np.ones(len(found), bool) if bounds_mm is None else ((found >= low) & (found <= high)).all(1)
        if not known.any():
            break
        missing = wanted[known] - _points(transform, found[known])
        found[known] += missing @ nearest[:3, :3].T
        if np.abs(missing).max() < 0.1:
            break
    return found.reshape(position_mm.shape)
