"""The example of docs/how-to/encoders.md is a complete encoder."""

import re
from pathlib import Path

import pytest

from coralbay_core.io import save_map
from coralbay_core.spatial import Volume, geometry
from tests.support.scans import ramp_volume

pytestmark = pytest.mark.forward

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "encoders.md"


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ramp = ramp_volume((40, 48, 44))
    grid = type(ramp.grid)(ramp.shape, geometry.translate((-12, -30, 5) - ramp.grid.center_mm) @ ramp.grid.affine)
    save_map("ct.nii.gz", ramp.data, Volume(ramp.data, grid))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict = {}
    exec(code, names)
    features, heat = names["features"], names["heat"]
    assert features.model == "edges"
    assert features.channels == {4: 4}
    assert heat.data.shape == features.stage(4).shape[1:]
