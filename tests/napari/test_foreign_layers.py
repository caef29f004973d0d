"""Layers of scripts and other readers: images become scans, labels become strokes and references."""

import nibabel as nib
import numpy as np
import pytest

from coralbay_core.io import save_map
from coralbay_core.spatial import geometry
from coralbay_viz.display import layer_specs
from coralbay_viz.display.napari_world import world_from_napari
from coralbay_viz.napari_ui import context, views

_ANSWERS = {"R": "Right", "A": "Anterior (front)", "S": "Superior (head)"}


@pytest.fixture
def foreign(viewer, belly):
    """The scan as a script adds it: an array in R, A, S with scale and translation, in pixels."""
    source = belly.source_grid
    scale, start = geometry.spacing(source.affine), source.affine[:3, 3]
    array = np.ascontiguousarray(source.to_file(belly.data))
    return viewer.add_image(array, name="script", scale=scale, translate=start)


def answer(dock, hand, directions, values="Hounsfield units (air is -1000)"):
    """Press Use as scan and answer the question."""
    hand.press(dock.image_layers.use)
    question = dock.image_layers.question
    assert not question.use.isEnabled()
    for chooser, text in zip(question.directions, directions, strict=True):
        chooser.setCurrentText(text)
    question.values.setCurrentText(values)
    hand.settle()
    return question


def test_an_image_of_a_script_is_a_scan_once_its_sides_are_told(
    dock, viewer, hand, belly, liver, foreign, tmp_path, monkeypatch, picture_of
):
    session = dock.session
    hand.settle()
    assert dock.image_layers.isVisible()
    question = answer(dock, hand, _ANSWERS.values())
    assert [spacing.value() for spacing in question.spacings] == pytest.approx(list(foreign.scale), abs=1e-3)
    picture_of("question")
    hand.press(question.use)
    scan = session.scan
    np.testing.assert_array_equal(scan.volume.data, belly.data)
    np.testing.assert_allclose(scan.volume.affine, belly.affine, atol=1e-3)
    assert not dock.image_layers.isVisible()
    assert foreign not in viewer.layers
    assert dock.letters._texts["middle_left"].visible
    # Features, a click, strokes and a file, as with any scan.
    hand.press(dock.feature_panel.compute)
    hand.wait_for(lambda: session.pca is not None)
    dock.binding.go_to(liver)
    hand.settle()
    hand.click(liver)
    hand.wait_for(lambda: session.heat is not None)
    assert np.linalg.norm(np.array(session.clicks.positive[0]) - liver) < 2
    labels = np.zeros(foreign.data.shape, np.uint8)
    at = np.rint(geometry.apply(np.linalg.inv(belly.source_grid.affine), liver)).astype(int)
    labels[tuple(slice(n - 2, n + 3) for n in at)] = 2
    labels[:4, :4, :4] = 1
    drawn = viewer.add_labels(labels, name="drawn", scale=foreign.scale, translate=foreign.translate)
    hand.settle()
    dock.show_tab("Segment")
    hand.settle()
    hand.press(dock.segment_panel.take)
    strokes = scan.strokes.now
    assert strokes.classes == (1, 2)
    assert np.linalg.norm(strokes.position_mm[strokes.values == 2].mean(0) - liver) < 2
    assert not drawn.visible
    hand.press(dock.segment_panel.segment)
    hand.wait_for(lambda: session.segmentation is not None)
    monkeypatch.setattr(context.QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "seg.nii.gz"), ""))
    hand.press(dock.segment_panel.save)
    hand.wait_for(lambda: (tmp_path / "seg.nii.gz").is_file())
    saved = nib.load(tmp_path / "seg.nii.gz")
    assert saved.shape == foreign.data.shape  # on the layer's own array
    assert saved.dataobj[tuple(at)] == 2
    np.testing.assert_allclose(geometry.apply(saved.affine, at), liver, atol=2)


def test_sides_that_are_not_known_are_named_nowhere(dock, viewer, hand, belly, liver):
    layer = viewer.add_image(
        np.asarray(belly.data)[:, ::-1], name="micro", scale=belly.grid.spacing_mm * 1000, units=("um",) * 3
    )
    hand.settle()
    question = answer(dock, hand, ("Superior (head)", "Anterior (front)", "not known"), "no Hounsfield units")
    hand.press(question.use)
    volume = dock.session.volume
    assert volume.known_axes == "AS"
    np.testing.assert_allclose(volume.grid.spacing_mm, belly.grid.spacing_mm, atol=1e-3)
    np.testing.assert_array_equal(volume.data, belly.data)  # turned to S, P
    texts = dock.letters._texts
    assert [texts[side].visible for side in ("top_center", "middle_left")] == [True, False]
    views.show_view(viewer, views.CORONAL)
    assert texts["top_center"].text == "S"
    assert not texts["middle_right"].visible
    hand.move(volume.grid.center_mm)
    text = viewer.canvas.overlays["coralbay_readout"].text
    assert "HU" not in text
    assert " R" not in text
    assert " L" not in text
    assert layer not in viewer.layers


def test_a_layer_that_states_everything_is_taken_without_a_question(dock, viewer, hand, belly):
    data = belly.data.copy()
    data[0, 0] = -1000  # air: these are HU
    stated = {"affine": layer_specs.ct_spec(belly).affine, "units": ("mm",) * 3, "axis_labels": ("S", "P", "L")}
    layer = viewer.add_image(data, name="stated", **stated)
    hand.settle()
    hand.press(dock.image_layers.use)
    assert dock.session.volume.grid == belly.grid
    assert dock.session.volume.known_axes == "RAS"
    assert layer not in viewer.layers


def test_the_file_of_a_layer_is_read_instead(dock, viewer, hand, belly, tmp_path):
    path = save_map(tmp_path / "scan.nii.gz", belly.data, belly)
    layer = viewer.add_image(np.asarray(belly.data), name="other reader")
    layer._source = layer.source.model_copy(update={"path": str(path)})
    hand.settle()
    question = answer(dock, hand, ("choose…",) * 3)
    hand.press(question.read)
    hand.wait_for(lambda: dock.session.volume is not None)
    assert dock.session.volume.path == path
    assert dock.session.volume.grid == belly.grid


def test_turned_layers_lie_where_their_transform_puts_them(dock, viewer, hand, belly):
    """Rotation and affine of a layer are those of the scan, for the image and for labels on it."""
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    layer = viewer.add_image(
        np.asarray(belly.data), name="turned", scale=belly.grid.spacing_mm, rotate=(0, 0, 12), affine=turn
    )
    hand.settle()
    hand.press(answer(dock, hand, ("Superior (head)", "Posterior (back)", "Left")).use)
    grid = dock.session.volume.grid
    for index in ((0, 0, 0), (3, 20, 9)):
        world = np.asarray(layer.data_to_world(index), float)
        np.testing.assert_allclose(world_from_napari(world), grid.to_world(index), atol=1e-6)
    labels = np.zeros(belly.data.shape, np.uint8)
    labels[5, 6, 7] = 3
    drawn = viewer.add_labels(labels, name="drawn", scale=layer.scale, rotate=layer.rotate, affine=turn)
    dock.context.foreign.take_strokes(drawn)
    strokes = dock.session.scan.strokes.now
    assert strokes.classes == (3,)
    assert np.linalg.norm(strokes.position_mm[0] - grid.to_world((5, 6, 7))) <= np.linalg.norm(strokes.grid.spacing_mm)
    viewer.layers.remove(dock.binding.layer("ct"))
    hand.wait_for(lambda: layer in viewer.layers)  # the script's own, as it was
    assert dock.image_layers.isVisible()
