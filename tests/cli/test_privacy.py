"""Names and paths of scans, which often contain those of patients, in files that may be handed on."""

import json
import os
import shutil

import numpy as np
import pytest
from pydicom.uid import PYDICOM_ROOT_UID

from coralbay_core.io import load_volume, save_map
from coralbay_core.io.dicom_series import series_key
from tests.support.dicom import write_series

pytestmark = pytest.mark.forward

MODEL = ["--model", "hu-patch"]
COARSE = [*MODEL, "--stages", "16"]
UIDS = {"StudyInstanceUID": "1.2.77.19510204.3", "FrameOfReferenceUID": "1.2.77.19510204.4"}
SERIES = "1.2.77.19510204.5"
# What files an object with its study and its images.
REFERENCES = (b"SECRET-ID", b"1.2.77.19510204", PYDICOM_ROOT_UID.encode())
SECRETS = (b"DOE_JANE", b"Secret^Person", b"19510203", *REFERENCES)


@pytest.fixture
def patient(scan, tmp_path):
    """A DICOM series and label maps in folders with a patient's name."""
    folder = tmp_path / "DOE_JANE-19510203"
    (folder / "maps").mkdir(parents=True)
    hu = load_volume(scan / "ct.nii.gz").data
    birth = {"PatientBirthDate": "19510203"}
    write_series(folder / "ct", hu, spacing=(3.0, 3.0), SeriesInstanceUID=SERIES, **birth, **UIDS)
    # Beside another series, so that the one that was read has to be told apart.
    (scout,) = write_series(folder / "scout", np.zeros((1, 8, 8), int), **birth, **UIDS)
    scout.rename(folder / "ct" / "scout.dcm")
    scout.parent.rmdir()
    for name in ("ct.nii.gz", "strokes.nii.gz", "strokes.json"):
        shutil.copy(scan / name, folder / "maps" / name)
    return folder


def center(path):
    return ",".join(f"{v:.1f}" for v in load_volume(path).grid.center_mm)


def leaks(folder):
    return [
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and any(secret in path.read_bytes() for secret in SECRETS)
    ]


def test_a_library_holds_no_names_by_default(succeed, patient, tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    monkeypatch.setenv("CORALBAY_STATE", str(tmp_path / "state"))
    library = tmp_path / "lib"
    told = succeed("library", "add", library, patient, *MODEL)["results"]
    assert len(told["added"]) == 3  # the label map, too
    assert leaks(library) == []
    listed = succeed("library", "list", library)["results"]["scans"]
    assert all(str(patient) in entry["path"] for entry in listed)  # on this machine they are known
    hits = tmp_path / "hits.csv"
    told = succeed(
        "library", "search", library, "--ct", patient / "ct", "--at", center(patient / "ct"), "--own", "-o", hits
    )
    assert any(hit["scan"] == "ct" for hit in told["results"]["hits"])
    assert not any(secret.decode() in hits.read_text() for secret in SECRETS)
    assert "scan-" in hits.read_text()

    # A copy on another machine is searched, and names no scan; the private file is the user's own.
    (private,) = (tmp_path / "state" / "libraries").iterdir()
    assert private.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("CORALBAY_STATE", str(tmp_path / "elsewhere"))
    moved = succeed("library", "list", library)["results"]["scans"]
    assert {entry["path"] for entry in moved} == {""}
    assert all(entry["name"] == f"scan-{entry['scan'][:8]}" for entry in moved)
    succeed("library", "remove", library, moved[0]["name"])


def test_a_library_with_names_where_the_user_chose_so(succeed, patient, tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    library = tmp_path / "lib"
    ct = patient / "maps" / "ct.nii.gz"
    succeed("library", "add", library, ct, *MODEL)
    assert leaks(library) == []
    succeed("library", "add", library, ct, "--names", *MODEL)  # also later
    assert str(ct) in (library / "library.json").read_text()
    monkeypatch.setenv("CORALBAY_STATE", str(tmp_path / "elsewhere"))
    assert succeed("library", "list", library)["results"]["scans"][0]["path"] == str(ct)


def test_a_library_of_an_earlier_version_keeps_its_names(succeed, patient, tmp_path):
    pytest.importorskip("lancedb")
    library = tmp_path / "lib"
    succeed("library", "add", library, patient / "maps" / "ct.nii.gz", "--names", *MODEL)
    content = json.loads((library / "library.json").read_text())
    for key in ("identifier", "names"):
        del content[key]
    (library / "library.json").write_text(json.dumps(content))
    assert succeed("library", "list", library)["results"]["scans"][0]["name"] == "ct"


def test_a_library_of_an_earlier_version_finds_its_series_by_uid(succeed, patient, tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    library = tmp_path / "lib"
    succeed("library", "add", library, patient / "ct", "--names", *MODEL)
    content = json.loads((library / "library.json").read_text())
    assert content["scans"][0]["series"] == series_key(SERIES)
    content["scans"][0]["series"] = SERIES
    (library / "library.json").write_text(json.dumps(content))
    monkeypatch.setenv("CORALBAY_CACHE", str(tmp_path / "empty"))  # so that the scan is read again
    succeed("library", "search", library, "--ct", patient / "ct", "--at", center(patient / "ct"), "--own")


def test_an_identifier_is_no_path(coralbay, tmp_path):
    (tmp_path / "lib").mkdir()
    content = {"version": 1, "model": "m", "fingerprint": "f", "strides": [4], "channels": {}, "scans": []}
    content |= {"names": False, "identifier": "../../x"}
    (tmp_path / "lib" / "library.json").write_text(json.dumps(content))
    code, _, err = coralbay("library", "list", tmp_path / "lib")
    assert code == 2
    assert "damaged library" in err


def test_results_hold_no_names_and_no_paths(succeed, patient, tmp_path, monkeypatch):
    monkeypatch.setenv("CORALBAY_CACHE", str(tmp_path / "cache"))
    out, ct = tmp_path / "out", patient / "ct"
    at = ["--at", center(ct)]
    volume = load_volume(ct)
    strokes = np.zeros(volume.shape, np.uint8)
    strokes[10:20, 10:20, 10:20], strokes[22:30, 10:20, 10:20] = 1, 2
    save_map(patient / "maps" / "drawn.nii.gz", strokes, volume)
    drawn = patient / "maps" / "drawn.nii.gz"
    heat = ["-o", out / "heat.nii.gz", "--table", out / "t.csv", "--save", out / "q.query"]
    succeed("query", ct, *at, "--region", drawn, *heat, *COARSE)
    succeed("probe", "fit", ct, "--labels", drawn, "-o", out / "p.safetensors", *COARSE)
    succeed("probe", "apply", out / "p.safetensors", ct, "-o", out / "seg.nii.gz", "--margin", out / "m.nii.gz")
    succeed("probe", "stats", out / "seg.nii.gz", "--ct", ct, "--csv", out / "s.csv")
    colors = ["-o", out / "rgb.nii.gz", "--png", out / "o.png", "--scatter", out / "p.csv"]
    succeed("project", ct, *colors, "--save-basis", out / "b.safetensors", *COARSE)
    succeed("symmetry", ct, *at, "-o", out / "other.nii.gz", *COARSE)
    succeed("match", ct, ct, *at, "-o", out / "match.csv", *COARSE)
    assert len(list(out.iterdir())) > 15
    assert leaks(out) == []
    assert leaks(tmp_path / "cache") == []
    succeed("export", out / "seg.nii.gz", "--dicom", ct, "-o", out / "seg.dcm")
    exported = (out / "seg.dcm").read_bytes()
    assert tuple(secret for secret in SECRETS if secret in exported) == REFERENCES
    home = os.path.expanduser("~").encode()
    for path in out.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path
        assert home + b"/" not in path.read_bytes(), path
