"""The scorecard of the app, without a browser."""

import numpy as np
import pytest

from tests.support.notebook_app import settle

pytest.importorskip("anywidget")

from coralbay_core.io import save_map

pytestmark = pytest.mark.forward


def test_a_scorecard_fills_as_its_rows_come(ready, belly, phantom, tmp_path):
    from coralbay_core.spatial.resampling import resample

    data = resample(phantom.labels.data, phantom.labels.grid, belly.grid, order=0).astype(np.uint8)
    labels = save_map(tmp_path / "labels.nii.gz", data, belly)
    ready.session.click(phantom.landmarks["liver_right_lobe"])
    settle(ready)
    panel = ready.scorecard.panel
    panel.models.value = ("hu-patch", "random")
    panel.reference.value = str(labels)
    panel.compare.click()
    settle(ready)
    assert ready.session.scorecard.card.is_done
    assert "retrieval" in panel.table.value
    assert "random" in panel.table.value
    assert panel.table.value.count(" *<") == 1
    assert "Measured random, 2 of 2" in ready.status.panel.text.value
    assert "Average precision" in panel.table.value
    panel.reference.value = str(tmp_path / "absent.nii.gz")
    panel.compare.click()
    settle(ready)
    assert "no such label map" in ready.status.panel.text.value
    panel.reference.value = ""
    panel.compare.click()
    assert "no ground truth to measure against" in ready.status.panel.text.value
