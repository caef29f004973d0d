"""Random views of CT volumes on the model grid, with the affines that say where each view lies."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class ViewSettings:
    """How views are drawn; lengths in voxels of the model grid.

    Parameters
    ----------
    global_side, local_side : int
        Side of a global and of a local crop.
    locals_per_place : int
    shift : float
        Largest offset of a global view from its place, per axis.
    rotation_degrees : float
        Largest rotation about each axis.
    log_scale : float
        Isotropic scale is ``exp(u)``, u within this bound: physical size is a signal in CT, so it stays small.
    wide_window_share : float
        Share of views under the wide HU window that inference uses; the others get a random one.
    window_hu : tuple of float
        That wide window.
    """

    global_side: int = 64
    local_side: int = 32
    locals_per_place: int = 2
    shift: float = 14.0
    rotation_degrees: float = 15.0
    log_scale: float = 0.2
    wide_window_share: float = 0.4
    window_hu: tuple[float, float] = (-1000.0, 1000.0)


@dataclass
class Views:
    """A batch of views.

    Attributes
    ----------
    images : (N, 1, side, side, side) Tensor in [0, 1]
    affines : (N, 3, 4) Tensor
        View index (z, y, x) to index of the volume.
    """

    images: Tensor
    affines: Tensor


def _rotation(angles: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("xyz", angles, degrees=True).as_matrix()


def random_affine(
    rng: np.random.Generator, center: np.ndarray, side: int, shift: float, settings: ViewSettings
) -> np.ndarray:
    """Affine (3, 4) of a view of `side` voxels around `center`."""
    linear = _rotation(rng.uniform(-1, 1, 3) * settings.rotation_degrees)
    linear = linear * np.exp(rng.uniform(-1, 1) * settings.log_scale)
    if rng.random() < 0.3:
        linear = linear * np.exp(rng.uniform(-0.1, 0.1, 3))
    middle = center + rng.uniform(-1, 1, 3) * shift
    return np.concatenate([linear, (middle - linear @ np.full(3, (side - 1) / 2))[:, None]], 1)


def cut(volume: Tensor, affine: np.ndarray, side: int) -> Tensor:
    """Sample a view, (side, side, side) HU float32, from an int16 `volume`; outside it is air."""
    corners = (
        np.stack(np.meshgrid(*[(0, side - 1)] * 3, indexing="ij"), -1).reshape(-1, 3) @ affine[:, :3].T + affine[:, 3]
    )
    low = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, np.array(volume.shape) - 2)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 2, low + 2, volume.shape)
    block = volume[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].float() + 1000.0
    # grid_sample wants (x, y, z) in [-1, 1] over voxel centres.
    extent = np.maximum(high - low - 1, 1)
    theta = np.concatenate(
        [affine[:, :3] * (side - 1) / 2, (affine @ np.append(np.full(3, (side - 1) / 2), 1) - low)[:, None]], 1
    )
    theta = theta * (2 / extent)[:, None]
    theta[:, 3] -= 1
    theta = theta[::-1][:, [2, 1, 0, 3]]
    grid = F.affine_grid(torch.from_numpy(theta.copy()).float()[None], [1, 1, side, side, side], align_corners=True)
    return F.grid_sample(block[None, None], grid, align_corners=True)[0, 0] - 1000.0


def random_window(rng: np.random.Generator, settings: ViewSettings) -> tuple[float, float]:
    """HU window of a view: features should not depend on the one that a reader happens to use."""
    if rng.random() < settings.wide_window_share:
        return settings.window_hu
    level, width = rng.uniform(-500, 250), np.exp(rng.uniform(np.log(350), np.log(2000)))
    return level - width / 2, level + width / 2


def augment(rng: np.random.Generator, view_hu: Tensor, settings: ViewSettings) -> Tensor:
    """Window, gamma, blur and noise; the result lies in [0, 1]."""
    low, high = random_window(rng, settings)
    image = ((view_hu - low) / (high - low)).clamp(0, 1)
    if rng.random() < 0.3:
        image = image ** float(rng.uniform(0.7, 1.4))
    if rng.random() < 0.3:
        kernel = torch.tensor([0.25, 0.5, 0.25]) if rng.random() < 0.5 else torch.full((3,), 1 / 3)
        for axis in range(3):
            shape = [1, 1, 1, 1, 1]
            shape[2 + axis] = 3
            pad = [int(axis == i // 2) for i in (4, 4, 2, 2, 0, 0)]
            image = F.conv3d(F.pad(image[None, None], pad, mode="replicate"), kernel.view(shape))[0, 0]
    if rng.random() < 0.5:
        noise = torch.from_numpy(rng.standard_normal(image.shape, np.float32))
        image = image + noise * float(rng.uniform(0, 0.08))
    return image.clamp(0, 1)


class ViewSampler:
    """Draws batches of views.

    Parameters
    ----------
    volumes : list of (z, y, x) int16 Tensor
        HU on the model grid.
    settings : ViewSettings
    seed : int
    """

    def __init__(self, volumes: list[Tensor], settings: ViewSettings, seed: int = 0):
        self.volumes = volumes
        self.settings = settings
        self.rng = np.random.default_rng(seed)
        # Larger scans are seen more often, but not in proportion: small ones hold limbs and heads.
        sizes = np.array([volume.numel() for volume in volumes], float) ** 0.5
        self.shares = sizes / sizes.sum()

    def place(self) -> tuple[Tensor, np.ndarray]:
        """A volume and a position in it with tissue around."""
        volume = self.volumes[self.rng.choice(len(self.volumes), p=self.shares)]
        margin = np.minimum(np.array(volume.shape) // 2 - 1, self.settings.global_side // 3)
        for _ in range(20):
            center = self.rng.uniform(margin, np.array(volume.shape) - margin)
            index = center.astype(int)
            around = volume[tuple(slice(max(i - 12, 0), i + 12, 4) for i in index)]
            if (around > -700).float().mean() > 0.4:
                break
        return volume, center

    def batch(self, places: int) -> tuple[Views, Views]:
        """Two global views a place, in the order (place 0 view 0, place 0 view 1, ...), and the local views."""
        settings = self.settings
        global_views, local_views = [], []
        for _ in range(places):
            volume, center = self.place()
            global_views += [self._view(volume, center, settings.global_side, settings.shift) for _ in range(2)]
            shift = settings.global_side / 3
            local_views += [
                self._view(volume, center, settings.local_side, shift) for _ in range(settings.locals_per_place)
            ]
        return self._stack(global_views), self._stack(local_views)

    def _view(self, volume: Tensor, center: np.ndarray, side: int, shift: float) -> tuple[Tensor, np.ndarray]:
        affine = random_affine(self.rng, center, side, shift, self.settings)
        return augment(self.rng, cut(volume, affine, side), self.settings), affine

    @staticmethod
    def _stack(views: list[tuple[Tensor, np.ndarray]]) -> Views:
        images = torch.stack([image for image, _ in views])[:, None]
        return Views(images, torch.from_numpy(np.stack([affine for _, affine in views])).float())


def matched_points(views: Views, side: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Corresponding positions in the two global views of each place.

    Returns
    -------
    points : (places, 2, count, 3) Tensor
        Index (z, y, x) in each of the two views; a margin of 4 voxels is kept.
    positions : (places, count, 3) Tensor
        The same in index coordinates of the volume, for distances.
    """
    affines = views.affines.view(-1, 2, 3, 4)
    points, positions = [], []
    for first, second in affines:
        candidates = torch.rand(32 * count, 3, generator=generator) * (side - 9) + 4
        world = candidates @ first[:, :3].T + first[:, 3]
        there = (world - second[:, 3]) @ torch.linalg.inv(second[:, :3]).T
        inside = ((there > 4) & (there < side - 5)).all(1).nonzero()[:, 0]
        chosen = (
            inside[torch.arange(count) % max(len(inside), 1)] if len(inside) else torch.zeros(count, dtype=torch.long)
        )
        points.append(torch.stack([candidates[chosen], there[chosen].clamp(0, side - 1)]))
        positions.append(world[chosen])
    return torch.stack(points), torch.stack(positions)
