"""A scorecard as a user would make it."""

import numpy as np
from qtpy.QtCore import Qt

from coralbay_core.spatial import LabelVolume
from coralbay_viz.display import napari_world
from tests.support.eva_files import write_run


def test_a_scorecard_against_a_labels_layer(explored, viewer, hand, phantom, liver, tmp_path):
    from coralbay_core.spatial.resampling import resample

    grid = explored.session.volume.grid
    data = resample(phantom.labels.data, phantom.labels.grid, grid, order=0).astype(np.uint8)
    labels = LabelVolume(data, grid, names=phantom.labels.names)
    viewer.add_labels(data, affine=napari_world.napari_affine(grid), name="truth")
    explored.session.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    panel = explored.scorecard_panel
    explored.show_tab("Score")
    hand.settle()
    panel.reference.native.setCurrentText("truth")
    assert (panel.reference.labels().data == labels.data).all()
    np.testing.assert_allclose(panel.reference.labels().grid.affine, grid.affine, atol=1e-6)
    for number in range(panel.models.count()):
        item = panel.models.item(number)
        wanted = item.text() in ("coralbay-mini", "hu-patch")
        item.setCheckState(Qt.CheckState.Checked if wanted else Qt.CheckState.Unchecked)
    hand.press(panel.compare)
    hand.wait_for(lambda: explored.session.scorecard.card is not None and explored.session.scorecard.card.is_done)
    rows = {panel.table.topLevelItem(n).text(0): panel.table.topLevelItem(n) for n in range(2)}
    assert set(rows) == {"coralbay-mini", "hu-patch"}
    assert all(0 < float(row.text(1)) <= 1 for row in rows.values())
    assert sum(row.font(1).bold() for row in rows.values()) == 1
    results = write_run(tmp_path / "run")
    explored.session.scorecard.eva_results = results
    (shipped,) = panel.table.findItems("coralbay-mini", Qt.MatchFlag.MatchExactly)
    assert shipped.text(2) == "btcv 0.600"
    assert str(results) in shipped.toolTip(2)
