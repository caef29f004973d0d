"""Two scans that are files, and a folder of one's own for autosaves."""

import numpy as np
import pytest

from coralbay_core.io import save_map
from tests.support.scans import cut

pytestmark = pytest.mark.forward


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    """Keep the user's autosaves out of the tests, and the tests' out of the user's."""
    monkeypatch.setenv("CORALBAY_STATE", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["L3"])


@pytest.fixture
def files(tmp_path, belly):
    """Two scans below the folder that sessions are saved in."""
    folder = tmp_path / "data"
    other = type(belly)((belly.data + 5).astype(np.int16), belly.grid, "other")
    return [save_map(folder / "scans" / f"{name}.nii.gz", v.data, v) for name, v in (("a", belly), ("b", other))]
