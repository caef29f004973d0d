"""A library that is made and searched as a user would."""

import numpy as np
import pytest

from coralbay_core.io import save_map
from coralbay_viz.model import library_hit
from coralbay_viz.napari_ui import context
from tests.support.dicom import write_series


def test_a_library_is_made_and_searched(dock, hand, belly, liver, tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    for name, change in (("one", 0), ("two", 6)):
        save_map(tmp_path / f"{name}.nii.gz", belly.data + np.int16(change), belly)
    monkeypatch.setattr(context.QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "lib"))
    panel = dock.library_panel
    dock.show_tab("Library")
    dock.open(tmp_path / "one.nii.gz")
    hand.wait_for(lambda: dock.session.scan is not None)
    hand.press(panel.open)
    hand.press(panel.add)
    hand.wait_for(lambda: "1 scan" in panel.about.text())
    dock.open(tmp_path / "two.nii.gz")
    hand.wait_for(lambda: len(dock.session.scans) == 2)
    hand.press(dock.feature_panel.compute)
    hand.wait_for(lambda: dock.session.features is not None)
    dock.session.click(liver)
    hand.settle()
    hand.press(panel.search)
    hand.wait_for(lambda: bool(dock.session.library.hits) and dock.session.library.hits[0].thumbnail is not None)
    assert panel.found.topLevelItemCount() == len(dock.session.library.hits)
    assert not panel.found.topLevelItem(0).icon(0).isNull()
    panel.found.setCurrentItem(panel.found.topLevelItem(0))
    panel.found.itemActivated.emit(panel.found.topLevelItem(0), 0)
    assert dock.session.scan.name == "one"
    np.testing.assert_allclose(dock.session.cursor_mm, dock.session.library.hits[0].position_mm, atol=2)
    (tmp_path / "other").mkdir()
    monkeypatch.setattr(context.QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "other"))
    hand.press(panel.open)
    hand.press(panel.add)
    hand.wait_for(lambda: "1 scan" in panel.about.text())
    dock.session.compute()
    hand.wait_for(lambda: dock.session.features is not None)
    dock.session.click(liver)
    hand.settle()
    hand.press(panel.search)  # this scan is all that the library has
    hand.wait_for(lambda: "No similar place was found" in panel.about.text())


def test_a_place_in_another_series_of_the_same_folder(dock, hand, tmp_path):
    rng = np.random.default_rng(0)
    for uid, slices in (("1.2.3", 6), ("1.2.4", 9)):
        write_series(tmp_path / "ct" / uid, rng.integers(-100, 100, (slices, 24, 24)), SeriesInstanceUID=uid)
    session, panel = dock.session, dock.library_panel
    session.open(tmp_path / "ct", "1.2.3")
    hand.wait_for(lambda: session.scan is not None)
    first, low = session.scan, session.volume.grid.bounds_mm[0]
    session.cursor_mm = low + 5
    hand.settle()
    before, place = first.cursor_mm, tuple(low + [9.0, 10, 14])
    session.library._set_hits((library_hit.LibraryHit("thick", str(tmp_path / "ct"), place, 1.0, 1.0, series="1.2.4"),))
    panel.found.setCurrentItem(panel.found.topLevelItem(0))
    panel.found.itemActivated.emit(panel.found.topLevelItem(0), 0)
    hand.wait_for(lambda: session.scan is not first)
    hand.settle()
    assert session.volume.shape[0] == 9
    np.testing.assert_allclose(session.cursor_mm, place, atol=1.6)
    assert first.cursor_mm == before  # where the other scan was left
    session.activate(first)
    panel.found.itemActivated.emit(panel.found.topLevelItem(0), 0)
    assert len(session.scans) == 2  # it is open already
