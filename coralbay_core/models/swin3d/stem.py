"""The stride-1 residual block of a one-channel image, without its full-size intermediates (inference on a CPU).

Half of the encoder's arithmetic and most of its memory sit in this block. Two of its three norms need no pass over
their input: a 1x1x1 convolution of one channel is a multiple of the image, and the mean and variance of a 3x3x3
convolution follow from the mean and covariance of the image's 27-voxel patches. The first norm is then a scale and a
shift of the convolution's weights, and the block runs in slabs with one full-size buffer: its output.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-5
SLOPE = 0.01
# Of a slab: large enough for the fast kernels, small enough for the caches. With AMX a product costs less than the
# planes that neighboring slabs compute twice.
SLAB_VOXELS = {"float32": 40_000, "bfloat16": 10_000, "AMX": 80_000}
# oneDNN convolves slabs of fewer float32 planes five times as slowly on some processors.
LEAST_PLANES = 4


def folded_stem(image: Tensor, first: Tensor, second: Tensor, shortcut: Tensor) -> Tensor:
    """Output (B, C, Z, Y, X), channels last, of a residual block with these weights.

    Parameters
    ----------
    image : (B, 1, Z, Y, X) Tensor
    first, second, shortcut : Tensor
        Weights of ``conv1`` (C, 1, 3, 3, 3), ``conv2`` (C, C, 3, 3, 3) and ``conv3`` (C, 1, 1, 1, 1).
    """
    out = image.new_empty(len(image), *image.shape[2:], len(first))
    for sample, result in zip(image, out, strict=True):
        _one(sample[0], first, second, shortcut, result)
    return out.permute(0, 4, 1, 2, 3)


def _one(image: Tensor, first: Tensor, second: Tensor, shortcut: Tensor, out: Tensor) -> None:
    """`folded_stem` of an image (Z, Y, X) into `out` (Z, Y, X, C)."""
    slab = _slab_planes(image[0].numel(), out.dtype)
    padded = F.pad(image, (1, 1, 1, 1, 1, 1))
    kernels, bias = _normalized_first(padded, first, slab)
    second = second.to(memory_format=torch.channels_last_3d)
    total, square = (torch.zeros(out.shape[-1], dtype=torch.float64) for _ in range(2))
    for start in range(0, len(image), slab):
        hidden = _hidden(padded, kernels, bias, start - 1, min(start + slab, len(image)) + 1)
        part = F.conv3d(hidden, second, padding=(0, 1, 1))[0].permute(1, 2, 3, 0)
        out[start : start + slab] = part
        rows = part.reshape(-1, out.shape[-1])
        if rows.dtype == torch.float16:
            rows = rows.float()  # its squares could overflow
        total += _column_sums(rows)
        square += _column_sums(rows.square_())
    mean = total / image.numel()
    scale = (square / image.numel() - mean**2 + EPS).rsqrt()
    slope, offset = _shortcut(image, shortcut)
    lines = torch.stack([slope, offset - mean * scale]).to(out.dtype)
    scale = scale.to(out.dtype)
    for start in range(0, len(image), slab):
        rows = out[start : start + slab].view(-1, out.shape[-1])
        voxels = image[start : start + slab].reshape(-1, 1)
        # One product for slope and shift: operations that broadcast two ways are slow in bfloat16.
        rows.mul_(scale).addmm_(torch.cat([voxels, torch.ones_like(voxels)], 1), lines)
        F.leaky_relu_(rows, SLOPE)


def _slab_planes(plane_voxels: int, dtype: torch.dtype) -> int:
    if dtype == torch.bfloat16:
        has_amx = torch.cpu._is_amx_tile_supported()
        return max(1, SLAB_VOXELS["AMX" if has_amx else "bfloat16"] // plane_voxels)
    return max(LEAST_PLANES, SLAB_VOXELS["float32"] // plane_voxels)


def _column_sums(rows: Tensor) -> Tensor:
    return rows.sum(0, dtype=torch.float64 if rows.dtype == torch.float64 else torch.float32)


def _wide(x: Tensor) -> Tensor:
    """At least float32: sums over a million voxels need more than half precision."""
    return x if x.dtype == torch.float64 else x.float()


def _patches(padded: Tensor, start: int, stop: int) -> Tensor:
    """3x3x3 patches around the voxels of planes `start` to `stop`, (27, voxels)."""
    shifts = padded[start : stop + 2].unfold(0, 3, 1).unfold(1, 3, 1).unfold(2, 3, 1)
    return shifts.permute(3, 4, 5, 0, 1, 2).reshape(27, -1)


def _hidden(padded: Tensor, kernels: Tensor, bias: Tensor, start: int, stop: int) -> Tensor:
    """Planes `start` to `stop` after the first convolution, norm and activation; zero beyond the image."""
    depth, height, width = (n - 2 for n in padded.shape)
    low, high = max(start, 0), min(stop, depth)
    hidden = F.leaky_relu_(torch.addmm(bias, _patches(padded, low, high).T, kernels.T), SLOPE)
    hidden = hidden.view(1, high - low, height, width, -1)
    if low > start or high < stop:
        hidden = F.pad(hidden, (0, 0, 0, 0, 0, 0, low - start, stop - high))
    return hidden.permute(0, 4, 1, 2, 3)


def _normalized_first(padded: Tensor, first: Tensor, slab: int) -> tuple[Tensor, Tensor]:
    """Kernels (C, 27) and bias (C,) of the first convolution with its norm folded in."""
    mean, covariance = _patch_moments(_wide(padded), slab)
    kernels = first.reshape(len(first), 27).double()
    variance = torch.einsum("ci,ij,cj->c", kernels, covariance, kernels)
    scale = (variance + EPS).rsqrt()
    return (kernels * scale[:, None]).to(first.dtype), (-(kernels @ mean) * scale).to(first.dtype)


def _patch_moments(padded: Tensor, slab: int) -> tuple[Tensor, Tensor]:
    """Mean (27,) and covariance (27, 27) of the 3x3x3 patches of a zero-padded image, float64."""
    inner = padded[1:-1, 1:-1, 1:-1]
    center = inner.mean()
    # Centered before the products: the covariance would otherwise be a small difference of large sums.
    padded = padded - center
    total, product = torch.zeros(27, dtype=torch.float64), torch.zeros(27, 27, dtype=torch.float64)
    for start in range(0, len(inner), slab):
        patches = _patches(padded, start, min(start + slab, len(inner)))
        total += patches.sum(1)
        product += patches @ patches.T
    mean = total / inner.numel()
    return mean + center.double(), product / inner.numel() - torch.outer(mean, mean)


def _shortcut(image: Tensor, shortcut: Tensor) -> tuple[Tensor, Tensor]:
    """Slope and offset (C,) of the normalized shortcut, which is linear in the image."""
    variance, mean = torch.var_mean(image.double(), correction=0)
    weight = shortcut.reshape(-1).double()
    slope = weight * (weight**2 * variance + EPS).rsqrt()
    return slope, -slope * mean
