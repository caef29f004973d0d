"""Views from blocks of HU: one affine resampling per view size, then augmentation of the whole batch at once.

Random parameters are drawn per view in the reading processes (`draw`), and applied on the device (`sample_views`,
`augment`).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .config import ViewsConfig


def draw(rng: np.random.Generator, config: ViewsConfig, zoom: float, spacing_mm: float) -> NDArray[np.float32]:
    """Draw the parameters of one view: low HU, high HU, gamma, blur, slice thickness (both in its voxels), noise."""
    low, high = config.window_hu
    if rng.random() >= config.wide_window_share:
        level, width = rng.uniform(*config.level_hu), np.exp(rng.uniform(*np.log(config.width_hu)))
        low, high = level - width / 2, level + width / 2
    chosen = rng.random(4) < (config.gamma_share, config.blur_share, config.slice_share, config.noise_share)
    gamma, blur = rng.uniform(*config.gamma), rng.uniform(*config.blur_voxels)
    thickness, noise = rng.uniform(*config.slice_mm) / (spacing_mm * zoom), rng.uniform(0, config.noise)
    values = np.where(chosen, [gamma, blur, thickness, noise], [1, 0, 0, 0])
    return np.array([low, high, *values], np.float32)


def sample_views(blocks: Tensor, lows: Tensor, affines: Tensor, side: int) -> Tensor:
    """Sample all views of one size by trilinear interpolation, with one `grid_sample`.

    Parameters
    ----------
    blocks : (B, z, y, x) Tensor
        HU around each crop location.
    lows : (B, 3) Tensor
        Voxel of the volume that each block begins with.
    affines : (B, views, 3, 4) float64 Tensor
        View to volume.
    side : int

    Returns
    -------
    (B * views, 1, side, side, side) float32 Tensor, HU
    """
    count, views = affines.shape[:2]
    sizes = torch.tensor(blocks.shape[1:], device=blocks.device, dtype=affines.dtype)
    # From view coordinates in [-1, 1] over voxel centers to those of the block, axes in grid_sample's order x, y, z.
    half = (side - 1) / 2
    linear = affines[..., :3]
    middle = linear.sum(-1) * half + affines[..., 3] - lows[:, None]
    theta = torch.cat([linear * half, middle[..., None]], -1) * (2 / (sizes - 1))[:, None]
    theta[..., 3] -= 1
    theta = theta.flip(-2)[..., [2, 1, 0, 3]].float().flatten(0, 1)
    grid = F.affine_grid(theta, [count * views, 1, side, side, side], align_corners=True)
    grid = grid.view(count, views * side, side, side, 3)
    sampled = F.grid_sample(blocks.float()[:, None], grid, align_corners=True, padding_mode="border")
    return sampled.view(count * views, 1, side, side, side)


def augment(hu: Tensor, drawn: Tensor, seeds: list[int]) -> Tensor:
    """Apply slice thickness, blur, window, gamma and noise.

    Parameters
    ----------
    hu : (N, 1, side, side, side) Tensor
    drawn : (N, 6) Tensor
        Rows of `draw`.
    seeds : list of int
        Seeds of the noise, one per view.

    Returns
    -------
    (N, 1, side, side, side) Tensor in [0, 1]
    """
    low, high, gamma, blur, thickness, noise = drawn.to(hu.device)[:, :, None, None, None, None].unbind(1)
    hu = _blurred(hu, blur.flatten(), thickness.flatten())
    images = ((hu - low) / (high - low)).clamp_(0, 1)
    changed = (gamma != 1).flatten().nonzero()[:, 0]
    images[changed] = images[changed] ** gamma[changed]
    for index in (noise != 0).flatten().nonzero()[:, 0].tolist():
        generator = torch.Generator(hu.device).manual_seed(seeds[index])
        grain = torch.randn(images.shape[1:], device=hu.device, generator=generator)
        images[index] += grain * noise[index]
    return images.clamp_(0, 1)


def _blurred(hu: Tensor, blur: Tensor, thickness: Tensor) -> Tensor:
    """Blur along all axes and thick slices along z, each a product with one small matrix per view."""
    chosen = ((blur > 0) | (thickness > 0)).nonzero()[:, 0]
    if not len(chosen):
        return hu
    side = hu.shape[-1]
    plain = gaussian_matrices(blur[chosen], side)
    along_z = slice_matrices(thickness[chosen], side) @ plain
    part = hu[chosen, 0]
    part = (along_z @ part.flatten(2)).view_as(part)
    part = plain[:, None] @ part
    part = part @ plain[:, None].transpose(-1, -2)
    return hu.index_copy(0, chosen, part[:, None])


def gaussian_matrices(sigma: Tensor, side: int) -> Tensor:
    """(N, side, side): row i weighs the voxels around i; the identity where sigma is 0."""
    at = torch.arange(side, device=sigma.device, dtype=torch.float32)
    weights = torch.exp(-((at[:, None] - at) ** 2) / (2 * sigma[:, None, None].clamp(min=1e-3) ** 2))
    return weights / weights.sum(-1, keepdim=True)


def slice_matrices(thickness: Tensor, side: int) -> Tensor:
    """(N, side, side): means over slices of a thickness in voxels, interpolated back; the identity up to 1."""
    at = torch.arange(side, device=thickness.device, dtype=torch.float32)
    step = thickness.clamp(min=1)[:, None, None]
    center = at[:, None] * step  # of slice j, in voxels; those beyond the view have no weight
    covered = (step / 2 + 0.5 - (at - center).abs()).clamp(0, 1)
    averaging = covered / covered.sum(-1, keepdim=True).clamp(min=1e-6)
    count = (covered.sum(-1) > 1e-6).sum(-1)
    position = torch.minimum(at / step[:, 0], (count - 1)[:, None].float())
    interpolation = (1 - (position[:, :, None] - at).abs()).clamp(min=0)
    return interpolation @ averaging
