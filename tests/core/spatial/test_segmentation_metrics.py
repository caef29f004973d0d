"""Agreement of masks, compared with MONAI's metrics."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from coralbay_core.spatial.segmentation_metrics import dice, surface_distance


@pytest.mark.parametrize("seed", range(4))
def test_metrics_are_those_of_monai(seed):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.metrics import compute_average_surface_distance, compute_dice
    rng = np.random.default_rng(seed)
    found, wanted = (ndimage.gaussian_filter(rng.normal(size=(18, 23, 20)), 2) > level for level in (0.05, 0.1))
    found[0, :9, :9] = True  # at the edge of the array
    spacing = (2.0, 0.7, 1.1)
    pair = [torch.from_numpy(np.pad(mask, 1))[None, None].float() for mask in (found, wanted)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        distance = compute_average_surface_distance(*pair, include_background=True, symmetric=True, spacing=spacing)
    assert surface_distance(found, wanted, np.array(spacing)) == pytest.approx(float(distance[0, 0]), rel=1e-5)
    overlap = compute_dice(*pair, include_background=True, ignore_empty=False)
    assert dice(found, wanted) == pytest.approx(float(overlap[0, 0]), rel=1e-6)
    assert surface_distance(found, found, np.array(spacing)) == 0


def test_empty_masks():
    nothing = np.zeros((3, 3, 3), bool)
    assert dice(nothing, nothing) == 1
    assert dice(nothing, ~nothing) == 0
