"""A volume without a body: each command says so in a line, and nothing is stored."""

import numpy as np
import pytest

from coralbay_core.io import save_map
from coralbay_core.spatial import Grid, Volume


@pytest.fixture
def air(tmp_path):
    grid = Grid((20, 20, 20), np.diag([5.0, 5.0, 5.0, 1.0]))
    volume = Volume(np.full(grid.shape, -1000, np.int16), grid)
    return save_map(tmp_path / "air.nii.gz", volume.data, volume)


@pytest.mark.parametrize(
    "command",
    [
        "embed {air}",
        "embed {air} -o {out}",
        "query {air} --at 0,0,0",
        "symmetry {air} --at 0,0,0",
        "project {air} -o {out}.nii.gz",
        "match {air} {air} --at 0,0,0",
        "library add {out} {air}",
    ],
)
def test_a_volume_of_air_is_refused(coralbay, air, tmp_path, monkeypatch, command):
    monkeypatch.setenv("CORALBAY_CACHE", str(tmp_path / "cache"))
    arguments = command.format(air=air, out=tmp_path / "out").split()
    code, out, err = coralbay(*arguments, "--model", "hu-patch")
    assert (code, out) == (2, "")
    assert "no body" in err.splitlines()[-1]
    assert not list(tmp_path.rglob("zarr.json"))
