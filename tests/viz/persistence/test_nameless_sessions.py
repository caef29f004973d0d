"""Sessions that leave this machine name no patient: scans are found by content."""

from dataclasses import replace

import numpy as np
import pytest

from coralbay_core.errors import MissingFileError
from coralbay_core.io import save_map
from coralbay_core.spatial import Grid, Volume
from coralbay_viz import Session
from coralbay_viz.persistence import session_file
from tests.support.dicom import write_series

AFFINE = np.array([[0, 0, -5.0, 10], [0, -5.0, 0, 10], [5.0, 0, 0, 0], [0, 0, 0, 1]])


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """A session with a file and a series whose names and folders are those of a patient."""
    monkeypatch.setenv("CORALBAY_STATE", str(tmp_path / "state"))
    folder = tmp_path / "work" / "Mustermann_Erika_1964"
    hu = np.random.default_rng(0).integers(-1000, 400, (5, 6, 7)).astype(np.int16)
    save_map(folder / "Mustermann.nii.gz", hu, Volume(hu, Grid(hu.shape, AFFINE)))
    save_map(folder / "other.nii.gz", hu + 1, Volume(hu, Grid(hu.shape, AFFINE)))
    write_series(folder / "Erika_CT", hu)
    session = Session(model="hu-patch")
    session.open(folder / "Mustermann.nii.gz")
    session.click(tuple(session.volume.grid.center_mm))
    session.open(folder / "Erika_CT")
    return session


def test_a_session_names_no_patient_unless_asked(opened, tmp_path):
    path = opened.save(tmp_path / "work" / "a.coralbay").result
    for word in (b"Mustermann", b"Erika", b"1964", str(tmp_path).encode()):
        assert word not in path.read_bytes()
    assert [scan.name for scan in session_file.read(path).scans] == ["scan 1", "scan 2"]
    named = opened.save(tmp_path / "work" / "b.coralbay", names=True).result
    assert b"Mustermann_Erika_1964/Mustermann.nii.gz" in named.read_bytes()


def test_a_session_of_an_earlier_version_finds_its_series_by_uid(opened, tmp_path):
    uids = ("1.2.3.19640229", "1.2.3.19640301")
    for number, uid in enumerate(uids):
        write_series(tmp_path / "two" / uid, np.full((4 + number, 6, 7), number), SeriesInstanceUID=uid)
    opened.open(tmp_path / "two", uids[1])
    path = opened.save(tmp_path / "a.coralbay").result
    assert not any(uid.encode() in path.read_bytes() for uid in uids)
    state = session_file.read(path)
    for text in (uids[1], "19640301"):  # a part of it, if the user gave no more
        scans = (*state.scans[:2], replace(state.scans[2], series=text))
        again = Session()
        again.load(session_file.write(tmp_path / "old.coralbay", replace(state, scans=scans)))
        assert again.volume.shape == (5, 6, 7)


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("there", ["here", "moved", "given"])
def test_scans_are_found_by_content(opened, tmp_path, monkeypatch, names, there):
    path = opened.save(tmp_path / "work" / "a.coralbay", names=names).result
    scans = []
    if there != "here":  # another machine knows no places
        monkeypatch.setenv("CORALBAY_STATE", str(tmp_path / "another"))
    if there == "moved":
        path = (tmp_path / "work").rename(tmp_path / "elsewhere") / "a.coralbay"
    if there == "given":
        path = path.rename(tmp_path / "state" / "a.coralbay")
        with pytest.raises(MissingFileError, match="scan of the session was not found"):
            Session().load(path)
        scans = [tmp_path / "work"] if not names else sorted((tmp_path / "work").glob("*/*"))
    again = Session()
    again.load(path, scans=scans)
    for new, old in zip(again.scans, opened.scans, strict=True):
        assert new.name == old.name
        np.testing.assert_array_equal(new.volume.data, old.volume.data)
        assert new.clicks.now == old.clicks.now
