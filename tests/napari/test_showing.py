"""What is drawn over the scan: the switch, its keys, and a layer list without empty or foreign layers."""

from dataclasses import replace

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from coralbay_viz.napari_ui import plugin


def listed(viewer):
    return [layer.name for layer in viewer.layers]


def shown(viewer):
    return [layer.name for layer in viewer.layers if layer.visible]


def pressed(dock):
    return [what for what, made in dock.show_switch.buttons.items() if made.isChecked()]


def test_the_switch_shows_one_thing_at_a_time(explored, viewer, hand, liver, picture_of):
    buttons = explored.show_switch.buttons
    assert pressed(explored) == ["colors"]
    assert not buttons["similarity"].isEnabled()
    assert "click in the scan first" in buttons["similarity"].toolTip()
    hand.click(liver)
    hand.wait_for(lambda: pressed(explored) == ["similarity"])
    assert set(shown(viewer)) == {"belly", "belly - similarity", "belly - similar regions", "belly - prompts"}
    hand.press(buttons["nothing"])
    assert set(shown(viewer)) == {"belly", "belly - prompts"}
    assert pressed(explored) == ["nothing"]
    native = viewer.window._qt_viewer.canvas.native
    native.setFocus()
    QTest.keyClick(native, Qt.Key.Key_H, Qt.KeyboardModifier.ShiftModifier)
    hand.wait_for(lambda: pressed(explored) == ["similarity"])
    for before, after in (("similarity", "nothing"), ("nothing", "similarity")):
        assert pressed(explored) == [before]
        QTest.keyClick(native, Qt.Key.Key_H)
        assert pressed(explored) == [after]
    explored.binding.layer("pca").visible = True  # by hand, in the layer list
    assert pressed(explored) == []
    hand.press(buttons["colors"])
    assert set(shown(viewer)) == {"belly", "belly - PCA colors", "belly - prompts"}
    picture_of("switch")


def test_no_layer_is_listed_without_content(explored, viewer, hand, liver):
    hand.wait_for(lambda: listed(viewer) == ["belly", "belly - PCA colors"])  # one is laid out for the first click
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    assert len(listed(viewer)) == 5
    explored.session.clear_clicks()
    hand.wait_for(lambda: listed(viewer) == ["belly", "belly - PCA colors"])
    hand.click(liver)
    hand.wait_for(lambda: explored.session.heat is not None)
    assert len(listed(viewer)) == 5


def test_other_scans_are_out_of_the_list_and_of_the_sliders(explored, viewer, hand, belly):
    first, grid = explored.session.scan, belly.grid
    reach = viewer.dims.range
    opacity = explored.binding.layer("pca").opacity = 0.31
    away = replace(belly, name="a scan with quite a long name 17", grid=replace(grid, affine=grid.affine + _moved(500)))
    ((data, attributes, _),) = [plugin.layer_data(plugin.ct_spec(away))]
    viewer.add_image(data, **attributes)  # as napari's reader does
    hand.wait_for(lambda: listed(viewer) == ["a scan with quite a long name 17"])
    assert viewer.dims.range != reach
    assert explored.session.scan.volume.grid.contains(explored.session.cursor_mm)
    explored.session.activate(first)
    hand.wait_for(lambda: listed(viewer) == ["belly", "belly - PCA colors"])
    assert viewer.dims.range == reach
    assert explored.binding.layer("pca").opacity == opacity
    viewer.layers.remove(explored.binding.layer("ct"))
    hand.wait_for(lambda: listed(viewer) == ["a scan with quite a long name 17"])
    assert explored.session.scans == [explored.session.scan]
    explored.session.add(belly)
    viewer.window.remove_dock_widget(explored)  # what was opened stays
    assert set(listed(viewer)) == {"a scan with quite a long name 17", "belly"}
    assert shown(viewer) == ["belly"]
    explored.close()
    explored.deleteLater()
    hand.settle()


def _moved(mm):
    affine = [[0.0] * 4 for _ in range(4)]
    affine[2][3] = float(mm)
    return affine
