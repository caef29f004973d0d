"""All that a session can write about a DICOM series, searched for what header and folder tell of the patient."""

import logging

import numpy as np
import pytest
from pydicom.uid import PYDICOM_ROOT_UID, generate_uid

from coralbay_core.matching import Landmark, write_landmarks
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from tests.support.dicom import write_series
from tests.support.scans import cut

pytest.importorskip("highdicom", reason="pip install 'coralbay[dicom]'")
pytestmark = pytest.mark.forward

FOLDER = "Mustermann_Erika"
ID = "PID-7741"
HEADER = {
    "PatientName": "Musterfrau^Ernestine",
    "PatientID": ID,
    "PatientBirthDate": "19640229",
    "PatientAddress": "Heidestrasse 17",
    "OtherPatientIDs": "INSURANCE-42",
    "StudyDate": "20190311",
    "AcquisitionDate": "20190312",
    "AccessionNumber": "ACC-9917",
    "StudyID": "STU-551",
    "StudyDescription": "Thorax Musterfrau",
    "SeriesDescription": "Venous Musterfrau",
    "InstitutionName": "Klinikum Muster",
    "ReferringPhysicianName": "Doktor^Whittaker",
    "PatientComments": "fell off a horse",
}
UIDS = {
    "StudyInstanceUID": "1.2.840.113619.2.55.1.20190410",
    "FrameOfReferenceUID": "1.2.840.113619.2.55.2.20190410",
    "SeriesInstanceUID": "1.2.840.113619.2.55.3.20190410",
}
# Of the images, made by pydicom.
IMAGES = PYDICOM_ROOT_UID.rstrip(".")
RESULTS = ("segmentation", "clusters", "heat")
WORDS = {part for value in HEADER.values() for part in value.split("^")} | {"Musterfrau"}


def leaks(folder, words):
    """Files that hold a word as text of one or two bytes per character, and the word."""
    found = []
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        found += [(path.name, w) for w in words if w.encode() in content or w.encode("utf-16-le") in content]
    return found


@pytest.fixture
def written(phantom, tmp_path, monkeypatch, caplog):
    """Folders of results, of the cache and of the state after everything was done on a telling series."""
    caplog.set_level(logging.DEBUG)
    cache, state, out = (tmp_path / name for name in ("cache", "state", "out"))
    monkeypatch.setenv("CORALBAY_CACHE", str(cache))
    monkeypatch.setenv("CORALBAY_STATE", str(state))
    out.mkdir()
    belly = cut(phantom.volume, phantom.landmarks["L3"], 40)
    folder = tmp_path / FOLDER
    write_series(folder, belly.data.astype(int), spacing=(3.0, 3.0), step=(0, 0, 3.0), **UIDS, **HEADER)
    # Beside another series, so that the one that was read has to be told apart.
    write_series(folder / "scout", np.zeros((1, 8, 8), int), **{**UIDS, "SeriesInstanceUID": generate_uid()}, **HEADER)
    session = Session(model="hu-patch", autosave=True)
    session.open(folder)
    session.compute()
    center = tuple(session.volume.grid.center_mm)
    session.click(center)
    session.keep_query("kept")
    strokes = np.zeros(session.scan.label_grid.shape, np.uint8)
    strokes[4:8, 4:8, 4:8], strokes[14:18, 14:18, 14:18] = 1, 2
    session.segment(LabelVolume(strokes, session.scan.label_grid, names={1: "one"}))
    session.compute_pca()
    session.compute_clusters(3)
    session.compute_statistics()
    session.mirror(center)
    session.save_heat(out / "heat.nii.gz")
    session.save_pca(out / "rgb.nii.gz")
    session.save_segmentation(out / "seg.nii.gz")
    session.save_probability(out / "probability.nii.gz", 1)
    session.save_statistics(out / "statistics.csv")
    session.save_query("kept", out / "kept.query")
    session.save_basis(out / "basis.safetensors")
    session.save_probe(out / "probe.safetensors")
    for what in RESULTS:
        for kind in ("seg", "rtstruct"):
            session.export_dicom(out / f"{what}-{kind}.dcm", what=what, as_=kind)
    picture = session.plot()
    for suffix in ("png", "svg", "pdf"):
        picture.savefig(out / f"picture.{suffix}")
    session.open(folder)
    session.compute()
    session.propagate([Landmark("place", center)], session.scan, source=session.scans[0])
    write_landmarks(out / "follow_up.csv", session.scan.follow_up_rows)
    session.library.open(out / "library")
    session.library.add()
    session.save(out / "work.coralbay")
    (out / "log.txt").write_text(caplog.text)
    return out, cache, state


@pytest.mark.slow
def test_nothing_that_is_written_tells_of_the_patient(written):
    out, cache, state = written
    assert len([path for path in out.rglob("*") if path.is_file()]) > 25
    assert any(state.rglob("*.coralbay"))
    found = leaks(out, WORDS) + leaks(cache, WORDS) + leaks(state, WORDS)
    # References that file an object with its patient and its images.
    exports = {f"{what}-{kind}.dcm" for what in RESULTS for kind in ("seg", "rtstruct")}
    assert set(found) == {(name, ID) for name in exports}
    uids = [*UIDS.values(), IMAGES]
    found = leaks(out, uids) + leaks(cache, uids) + leaks(state, uids)
    # In the log highdicom names, at level INFO, the image that it copies from.
    assert set(found) - {("log.txt", IMAGES)} == {(name, uid) for name in exports for uid in uids}
    # The name of a folder stays in the state, on this machine.
    assert leaks(out, [FOLDER]) + leaks(cache, [FOLDER]) == []
    # But for the log, in which filelock names the locks of the cache.
    assert [name for name, _ in leaks(out, [str(out.parent)]) if name != "log.txt"] == []


def test_what_is_searched_for_would_be_found(tmp_path):
    (tmp_path / "a").write_text("of Musterfrau")
    (tmp_path / "b").write_bytes("of Musterfrau".encode("utf-16-le"))
    assert leaks(tmp_path, WORDS) == [("a", "Musterfrau"), ("b", "Musterfrau")]
