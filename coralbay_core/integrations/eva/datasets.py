"""eva's volume classification datasets, completed for its command ``predict_fit``.

Release 0.4.5 has the four classes, but ``predict_fit`` needs tensors, item names and disjoint splits. Each class here
describes and adds what the class of the release lacks.
"""

import os
from typing import Any, Literal

import torch
from eva.vision import datasets as eva_datasets
from torch import Tensor


class _NamedMedMNIST:
    """Named items of a MedMNIST volume dataset: (1, 64, 64, 64) float32 in [0, 1], class, no metadata.

    The release gives arrays and has no names. MedMNIST refuses any file but its own, by the number of its items; a
    file of any length is read here.
    """

    imgs: Any
    labels: Any
    split: str

    def __len__(self) -> int:
        return len(self.imgs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, dict[str, Any]]:
        volume = torch.from_numpy(self.imgs[index][None] / 255.0).float()
        return volume, torch.tensor(int(self.labels[index].item())), {}

    def filename(self, index: int) -> str:
        """File name under which eva saves the embeddings of an item."""
        return f"{self.split}/{index:05d}.npy"


class OrganMNIST3D(_NamedMedMNIST, eva_datasets.OrganMNIST3D):
    """Eleven abdominal organs, 64 voxels per side."""


class NoduleMNIST3D(_NamedMedMNIST, eva_datasets.NoduleMNIST3D):
    """Benign and malignant nodules of the lung, 64 voxels per side."""


class LUNA25(eva_datasets.LUNA25):
    """Nodules of the lung with their malignancy, 64 voxels over 50 mm, HU -1000 to 400 as [0, 1].

    The release computes a split and then gives all items whatever the split, so that it would be measured on what it
    was trained on; and it has no names.
    """

    def configure(self) -> None:
        """Prepare the data, then compute the split once."""
        super().configure()
        self._indices = self._get_split_indices()

    def filename(self, index: int) -> str:
        """File name under which eva saves the embeddings of an item."""
        return f"{self._candidates.loc[self._indices[index]]['AnnotationID']}.npy"


class CCCCII(eva_datasets.CC_CCII):
    """Chest CTs with COVID-19, with another pneumonia, and without pneumonia.

    The release names items by absolute paths, under which eva would write embeddings into the data.

    Parameters
    ----------
    root : str
    split : str
        ``train`` or ``val``.
    download : bool
    input_range : tuple of float
        Values of the arrays that become 0 and 1.
    size : tuple of int
        Slices, rows and columns to which a scan is brought, because items of a batch have one shape.
    """

    def __init__(
        self,
        root: str,
        split: Literal["train", "val"] | None = None,
        download: bool = False,
        input_range: tuple[float, float] = (0.0, 255.0),
        size: tuple[int, int, int] = (64, 128, 128),
    ) -> None:
        super().__init__(root, split, download, transforms=None)
        self._range, self._size = input_range, tuple(size)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, dict[str, Any]]:
        low, high = self._range
        volume = self.load_data(index).as_subclass(Tensor).float().transpose(0, 1)  # to (1, T, H, W)
        unit = ((volume - low) / (high - low)).clamp(0, 1)
        resized = torch.nn.functional.interpolate(unit[None], self._size, mode="trilinear", align_corners=False)
        return resized[0], self.load_target(index), {}

    def filename(self, index: int) -> str:
        """File name under which eva saves the embeddings of an item."""
        return os.path.basename(super().filename(index))
