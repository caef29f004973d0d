"""A small network of the published family, shared by the tests of this folder."""

import pytest
import torch

from tests.support.published_weights import reference_maps, unetr, without_index


@pytest.fixture(scope="module")
def small():
    """A small SwinUNETR, its state dict, an input, and the maps of that."""
    model = unetr()
    x = torch.rand(1, 1, 64, 64, 64)
    return model, without_index(model.state_dict()), x, reference_maps(model, x)
