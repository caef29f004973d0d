"""Names and colors of classes: chosen, shared by scans, saved and exchanged."""

import json

import numpy as np
import pytest

from coralbay_core.errors import InputError
from coralbay_core.io import save_map
from coralbay_core.io.structure_names import structure_names
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from coralbay_viz.display.scan_layers import layer_of
from coralbay_viz.display.view_state import ViewState
from coralbay_viz.model.palette import class_color
from tests.support.scans import cut


@pytest.fixture
def session(phantom, tmp_path, monkeypatch):
    """A scan with a file and two painted classes."""
    monkeypatch.setenv("CORALBAY_STATE", str(tmp_path / "state"))
    belly = cut(phantom.volume, phantom.landmarks["liver_right_lobe"])
    session = Session()
    session.open(save_map(tmp_path / "scan.nii.gz", belly.data, belly))
    data = np.zeros(session.scan.label_grid.shape, np.uint8)
    data[2:5], data[8:11] = 1, 2
    session.paint(LabelVolume(data, session.scan.label_grid, names={1: "background", 2: "liver"}))
    return session


def drawn(session, role="strokes"):
    return layer_of(role, session.scan, ViewState(0.03)).colors


def test_a_chosen_color_is_drawn_saved_and_shared_with_other_scans(session, phantom, tmp_path):
    told = []
    session.class_colors_changed.connect(told.append)
    session.set_class_color(2, "#FF00FF")
    assert drawn(session)[2] == "#ff00ff"
    assert drawn(session)[3] == class_color(3)
    assert told == [session.scan]
    other = session.add(cut(phantom.volume, phantom.landmarks["L3"]))
    assert other.class_colors == {2: "#ff00ff"}
    session.remove(other)  # it has no file to save
    again = Session()
    again.load(session.save(tmp_path / "work.coralbay").result)
    assert again.class_colors == {2: "#ff00ff"}
    assert drawn(again)[2] == "#ff00ff"
    again.set_class_color(2, None)
    assert drawn(again)[2] == class_color(2)


def test_a_picture_has_the_chosen_color(session):
    place = session.scan.label_grid.to_world((9, 15, 15))
    before = session.plot(place, ["strokes"])._repr_png_()
    session.class_colors = {2: "#ff00ff"}
    assert session.plot(place, ["strokes"])._repr_png_() != before


def test_names_and_colors_go_to_another_session_and_can_be_taken_back(session, phantom, tmp_path):
    session.set_class_color(2, "#ff00ff")
    path = session.export_classes(tmp_path / "labels.json")
    assert json.loads(path.read_text()) == {
        "1": {"name": "background", "color": class_color(1)},
        "2": {"name": "liver", "color": "#ff00ff"},
    }
    other = Session()
    other.add(cut(phantom.volume, phantom.landmarks["L3"]))
    other.import_classes(path)
    assert other.scan.strokes.now.names == {1: "background", 2: "liver"}
    assert drawn(other)[2] == "#ff00ff"
    other.undo_strokes()
    assert other.scan.strokes.now is None


def test_a_file_of_names_alone_leaves_colors(session, tmp_path):
    session.set_class_color(2, "#ff00ff")
    (tmp_path / "labels.json").write_text('{"2": "left lobe", "7": "spleen"}')
    session.import_classes(tmp_path / "labels.json")
    assert session.scan.strokes.now.names == {1: "background", 2: "left lobe", 7: "spleen"}
    assert session.class_colors == {2: "#ff00ff"}


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"liver": 1}', '{"0": "liver"}', '{"2": {"name": "liver", "color": "blue"}}']
)
def test_a_file_that_holds_no_classes_changes_nothing(session, tmp_path, text):
    path = tmp_path / "labels.json"
    path.write_text(text)
    before = session.scan.strokes.now
    with pytest.raises(InputError, match=r"labels\.json"):
        session.import_classes(path)
    assert session.scan.strokes.now is before


def test_the_names_of_structures_are_those_of_totalsegmentator():
    names = structure_names()
    assert len(names) == len(set(names)) == 117
    assert {"liver", "vertebrae_L1", "rib_right_12", "costal_cartilages"} <= set(names)
