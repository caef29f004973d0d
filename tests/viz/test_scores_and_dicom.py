"""Scores of probes and DICOM objects, from a session."""

import json

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.io import load_volume, save_map
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from tests.support.dicom import write_series
from tests.support.scans import cut

pytestmark = pytest.mark.forward

MODEL = "hu-context"


@pytest.fixture(scope="module")
def belly(phantom):
    return cut(phantom.volume, phantom.landmarks["liver_right_lobe"])


def painted(volume, *, values=(1, 2)):
    """Dense voxels as the second class."""
    data = np.zeros(volume.shape, np.uint8)
    data[::3, ::3, ::3] = np.where(volume.data > 20, values[1], values[0])[::3, ::3, ::3]
    return LabelVolume(data, volume.grid, names={values[1]: "dense"})


@pytest.fixture
def session(belly, tmp_path):
    session = Session(model=MODEL)
    session.open(save_map(tmp_path / "ct.nii.gz", belly.data, belly))
    session.compute()
    return session


def test_scores_follow_the_probe(session, belly, tmp_path):
    told, scan = [], session.scan
    session.scores_changed.connect(lambda s: told.append(s.scores))
    with pytest.raises(CoralBayError, match="no probe"):
        session.show_scores(2)
    session.segment(painted(belly))
    session.show_scores(2)
    first = scan.scores
    assert (first.value, first.grid) == (2, scan.overlay_grid)
    assert first.probability.shape == first.margin.shape == first.grid.shape
    assert 0 <= first.probability.min() < 0.2
    assert 0.8 < first.probability.max() <= 1
    session.show_scores()
    anyone = scan.scores
    np.testing.assert_array_equal(anyone.margin, first.margin)
    assert (anyone.probability >= first.probability - 1e-6).all()
    session.fit("ridge")
    assert scan.scores.probe is scan.probe
    assert scan.scores.value is None
    session.show_scores(2)
    session.segment(painted(belly, values=(1, 7)))
    assert scan.scores is None  # nobody knows a label 2 any more
    with pytest.raises(InputError, match="no such label"):
        session.show_scores(2)
    session.show_scores(7)
    session.hide_scores()
    assert [scores is None for scores in told] == [False, False, False, False, True, False, True]


def test_a_probability_is_saved_on_the_grid_of_the_file(session, belly, tmp_path):
    session.segment(painted(belly))
    session.save_probability(tmp_path / "p.nii.gz", 2)
    saved = load_volume(tmp_path / "p.nii.gz")
    assert saved.grid == belly.grid
    assert (saved.data.min() >= 0) & (saved.data.max() <= 1)
    shown = session.segmentation.data == 2
    assert saved.data[shown].min() > 0.49
    about = json.loads((tmp_path / "p.provenance.json").read_text())
    assert about["parameters"]["probability_of"] == 2
    with pytest.raises(InputError, match="no such label"):
        session.save_probability(tmp_path / "q.nii.gz", 9)
    assert not list(tmp_path.glob("q*"))


# --- DICOM --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def series(tmp_path_factory, belly):
    pytest.importorskip("highdicom", reason="pip install 'coralbay[dicom]'")
    folder = tmp_path_factory.mktemp("series")
    identity = {"StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1", "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.2"}
    write_series(folder, belly.data.astype(int), spacing=(3.0, 3.0), step=(0, 0, 3.0), **identity)
    return folder


def test_results_are_exported_as_dicom(series, tmp_path):
    import pydicom

    session = Session(model=MODEL)
    session.open(series)
    session.compute()
    scan = session.scan
    session.click(scan.volume.grid.to_world(np.array(scan.volume.shape) / 2))
    session.segment(painted(scan.volume))
    session.compute_clusters(3)
    written = {}
    for what in ("segmentation", "clusters", "heat"):
        for kind in ("seg", "rtstruct"):
            path = tmp_path / f"{what}-{kind}.dcm"
            session.exports.dicom(path, what=what, as_=kind)
            written[what, kind] = pydicom.dcmread(path)
            assert (tmp_path / f"{what}-{kind}.provenance.json").is_file()
    names = [item.SegmentLabel for item in written["segmentation", "seg"].SegmentSequence]
    assert names == ["label 1", "dense"]
    lit = written["heat", "seg"]
    share = lit.pixel_array.sum() / (session.heat.heat.features.body.sum() * 1.5**3 / 27)
    assert share == pytest.approx(session.body_fraction, abs=0.02)
    assert [roi.ROIName for roi in written["heat", "rtstruct"].StructureSetROISequence] == ["similar"]


def test_a_series_may_lie_elsewhere(series, tmp_path):
    volume = load_volume(series)
    session = Session(model=MODEL)
    session.open(save_map(tmp_path / "ct.nii.gz", volume.data, volume))
    session.compute()
    session.segment(painted(volume))
    session.exports.dicom(tmp_path / "seg.dcm", series)
    assert (tmp_path / "seg.dcm").is_file()


def test_what_cannot_be_exported_is_refused(session, series, tmp_path):
    with pytest.raises(CoralBayError, match="no segmentation to export"):
        session.exports.dicom(tmp_path / "seg.dcm")
    session.segment(painted(session.volume))
    with pytest.raises(InputError):  # a NIfTI file
        session.exports.dicom(tmp_path / "seg.dcm")
    with pytest.raises(InputError, match="grid"):  # rounding of the series' origin apart, another place
        session.exports.dicom(tmp_path / "seg.dcm", series)
    with pytest.raises(InputError, match="not a DICOM name"):
        session.exports.dicom(tmp_path / "seg.nii")
    with pytest.raises(InputError, match="unknown kind"):
        session.exports.dicom(tmp_path / "seg.dcm", as_="pdf")
    with pytest.raises(InputError, match="unknown result"):
        session.exports.dicom(tmp_path / "seg.dcm", what="mood")
    with pytest.raises(CoralBayError, match="no clusters"):
        session.exports.dicom(tmp_path / "seg.dcm", what="clusters")
    assert not list(tmp_path.glob("*.dcm"))


def test_results_are_exported_for_slicer(session, tmp_path):
    """Labels with names and colors, and points."""
    pytest.importorskip("SimpleITK")
    from coralbay_core.io import load_labels
    from coralbay_core.matching import read_landmarks
    from coralbay_viz.model.palette import class_color

    scan = session.scan
    session.segment(painted(scan.volume))
    session.set_class_color(1, "#010203")
    session.save_segmentation(tmp_path / "seg.seg.nrrd")
    found = load_labels(tmp_path / "seg.seg.nrrd", like=scan.volume)
    assert found.names[2] == "dense"
    assert found.colors[1] == (1, 2, 3)
    assert "#{:02x}{:02x}{:02x}".format(*found.colors[2]) == class_color(2)
    session.exports.labels(tmp_path / "seg.ome.zarr")
    assert np.array_equal(load_labels(tmp_path / "seg.ome.zarr").data, found.data)
    with pytest.raises(InputError, match="no clicks to export"):
        session.exports.points(tmp_path / "clicks.mrk.json")
    click = scan.volume.grid.center_mm
    session.click(click)
    session.exports.points(tmp_path / "clicks.mrk.json")
    (place,) = read_landmarks(tmp_path / "clicks.mrk.json")
    assert place.name == "click 1"
    np.testing.assert_allclose(place.position_mm, click)
    session.exports.points(tmp_path / "regions.csv", "regions")
    assert len(read_landmarks(tmp_path / "regions.csv")) == len(session.heat.regions)
    session.set_class_color(1, None)
