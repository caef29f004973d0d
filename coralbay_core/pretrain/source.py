"""Sources of training volumes, which are read in blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingFileError
from ..io import load_volume
from ..spatial import Volume
from ..spatial.body_mask import body_mask
from ..spatial.preprocessing import model_grid
from ..spatial.resampling import resample
from ..spatial.volume import AIR_HU
from .blocks import LabelBlock, coarse, label_block, read_block
from .distillation import DistilledVectors


class VolumeSource(Protocol):
    """Volumes on the training grid: isotropic, axes S, P, L. Safe to use from several processes."""

    spacing_mm: float
    names: Sequence[str]
    """Names of the volumes, in a fixed order."""

    def shape(self, volume: int) -> tuple[int, int, int]:
        """Shape of a volume, (z, y, x)."""
        ...

    def read(self, volume: int, low: NDArray, high: NDArray) -> NDArray[np.int16]:
        """Read the HU of the voxels from `low` to before `high`; -1000 outside of the volume."""
        ...

    def cells(self, volume: int) -> NDArray[np.bool_]:
        """Mask of the cells of 4 x 4 x 4 voxels that touch the body, (z, y, x)."""
        ...

    def labels(self, name: str, volume: int, low: NDArray, high: NDArray) -> LabelBlock:
        """Read the labels of the cells that contain the voxels from `low` to before `high`.

        Raises
        ------
        InputError
            If the volume has no labels of this name.
        """
        ...

    def has_labels(self, name: str, volume: int) -> bool:
        """Whether a volume has labels of this name."""
        ...

    def set_labels(self, name: str, volume: int, labels: NDArray, stride: int) -> None:
        """Attach a label volume whose cells are `stride` voxels wide, from the volume's first voxel on."""
        ...

    def distilled(self, name: str, volume: int) -> DistilledVectors:
        """Read a volume's features of another encoder.

        Raises
        ------
        InputError
            If the volume has none of this name.
        """
        ...


@dataclass(eq=False)
class ArraySource:
    """Volumes in memory.

    Parameters
    ----------
    names : list of str
    volumes : list of (z, y, x) int16 array
    spacing_mm : float
    masks : list of (z, y, x) bool array, optional
        Cells of the body, as by `coarse`; by default computed from the volumes.
    vectors : dict of (str, int) to DistilledVectors, optional
        Features of other encoders, by their name and the number of the volume.
    """

    names: Sequence[str]
    volumes: list[NDArray[np.int16]]
    spacing_mm: float = 1.5
    masks: list[NDArray[np.bool_]] = field(default_factory=list)
    vectors: dict[tuple[str, int], DistilledVectors] = field(default_factory=dict)
    _labels: dict[tuple[str, int], tuple[NDArray, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.masks:
            self.masks = [coarse(body_mask(volume, self.spacing_mm)) for volume in self.volumes]

    def shape(self, volume: int) -> tuple[int, int, int]:
        z, y, x = self.volumes[volume].shape
        return z, y, x

    def read(self, volume: int, low: NDArray, high: NDArray) -> NDArray[np.int16]:
        return read_block(self.volumes[volume], low, high, AIR_HU)

    def cells(self, volume: int) -> NDArray[np.bool_]:
        return self.masks[volume]

    def set_labels(self, name: str, volume: int, labels: NDArray, stride: int) -> None:
        self._labels[name, volume] = labels.astype(np.int32), stride

    def has_labels(self, name: str, volume: int) -> bool:
        return (name, volume) in self._labels

    def labels(self, name: str, volume: int, low: NDArray, high: NDArray) -> LabelBlock:
        if (name, volume) not in self._labels:
            raise InputError("no such labels", where=self.names[volume], expected=name)
        return label_block(*self._labels[name, volume], low, high)

    def distilled(self, name: str, volume: int) -> DistilledVectors:
        if (name, volume) not in self.vectors:
            raise InputError(
                "no features to distill", where=self.names[volume], expected=name,
                hint="make a store with coralbay prepare-data, then coralbay prepare-distillation",
            )  # fmt: skip
        return self.vectors[name, volume]


def on_training_grid(volume: Volume, spacing_mm: float) -> NDArray[np.int16]:
    """Resample a CT to the training grid, HU."""
    hu = resample(volume.data, volume.grid, model_grid(volume.grid, spacing_mm))
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)


def read_folder(folder: Path, spacing_mm: float) -> ArraySource:
    """Read all NIfTI files of a folder into memory, for a few tens of volumes."""
    if not folder.is_dir():
        raise MissingFileError("no such folder", where=folder)
    found = sorted(folder.glob("*.nii")) + sorted(folder.glob("*.nii.gz"))
    paths = [path for path in found if path.is_file() and not path.name.startswith(".")]
    if not paths:
        raise InputError(
            "no training data",
            where=folder,
            found="neither a store nor NIfTI files",
            hint="see `coralbay prepare-data --help`",
        )
    volumes = [on_training_grid(load_volume(path), spacing_mm) for path in paths]
    return ArraySource([path.name.split(".")[0] for path in paths], volumes, spacing_mm)
