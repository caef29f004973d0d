"""Random fields: the grain of tissue and the noise of the scanner."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

Field = NDArray[np.float32]


def smooth_noise(shape: tuple[int, ...], sigma_voxels: float, rng: np.random.Generator) -> Field:
    """Gaussian noise of unit variance that is correlated over about `sigma_voxels`."""
    step = max(1, int(sigma_voxels / 1.5))
    coarse = rng.standard_normal(tuple(-(-n // step) + 3 for n in shape), dtype=np.float32)
    field = gaussian_filter(coarse, sigma_voxels / step, mode="wrap", truncate=3)
    if step > 1:
        field = zoom(field, step, order=1)
    field = field[tuple(slice(n) for n in shape)]
    return (field / field.std()).astype(np.float32)


def tissue_grain(shape: tuple[int, ...], spacing_mm: float, rng: np.random.Generator) -> Field:
    """Texture of tissue: fine and coarse parts, unit variance."""
    field = smooth_noise(shape, 1.3 / spacing_mm, rng)
    for sigma_mm, weight in ((3.2, 0.6), (9.0, 0.35)):
        field += weight * smooth_noise(shape, sigma_mm / spacing_mm, rng)
    return field / np.float32(np.sqrt(1 + 0.6**2 + 0.35**2))


def scanner_noise(depth: Field, spacing_mm: float, std_hu: float, rng: np.random.Generator) -> Field:
    """Noise of filtered back projection: its lowest frequencies are missing, and it grows with the depth in the body.

    Parameters
    ----------
    depth : array
        Distance below the skin, mm; negative outside.
    """
    white = rng.standard_normal(depth.shape, dtype=np.float32)
    sigma = 0.75 / spacing_mm
    band = gaussian_filter(white, (0.6 * sigma, sigma, sigma), truncate=3)
    band -= gaussian_filter(band, 2.2 * sigma, truncate=2.5)
    band /= band.std()
    return band * (std_hu * (0.35 + 0.65 * np.clip(depth / 70, 0, 1)))
