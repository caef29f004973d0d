"""Commands and sessions on a disk that is full: one line that names the place, and success once there is space."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError
from coralbay_core.extraction import pipeline
from coralbay_core.io import load_volume
from coralbay_core.pretrain.store import StoreSource
from coralbay_viz import Session
from tests.support.disks import small_disk
from tests.support.kills import leftovers
from tests.support.pretraining import TINY

pytestmark = pytest.mark.forward

MODEL = "hu-patch"


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", 48_000_000) as made:
        yield made


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CORALBAY_CACHE", str(tmp_path / "cache"))


def assert_one_line(err: str, where: Path) -> None:
    (line,) = [text for text in err.splitlines() if not text.startswith(("note:", "features of", "preparing", "auto:"))]
    assert line.startswith("error: ")
    assert str(where) in line
    assert "No space left" in line or "not enough space" in line


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and path.name != "ballast"}


@pytest.mark.parametrize("foreseen", [True, False])
@pytest.mark.parametrize("into", ["cache", "out"])
def test_embed(coralbay, scan, disk, monkeypatch, foreseen, into):
    if not foreseen:  # another program takes the space meanwhile
        monkeypatch.setattr(pipeline, "_require_space", lambda *args: None)
    monkeypatch.setenv("CORALBAY_CACHE", str(disk.root / "cache"))
    arguments = ["embed", scan / "ct.nii.gz", "--model", "hu-context"]
    arguments += ["-o", disk.root / "out"] if into == "out" else []
    disk.fill(100_000)
    code, _, err = coralbay(*arguments)
    assert code == 1
    assert_one_line(err, disk.root)
    disk.empty()
    code, _, err = coralbay(*arguments)
    assert code == 0, err


def written_by(command: str, scan: Path, click: str, made: Path) -> list[str | Path]:
    ct = scan / "ct.nii.gz"
    model = ["--model", MODEL]
    return {
        "query -o": ["query", ct, "--at", click, *model, "-o"],
        "query --save": ["query", ct, "--at", click, *model, "--save"],
        "query --table": ["query", ct, "--at", click, *model, "--table"],
        "probe fit": ["probe", "fit", ct, "--labels", scan / "strokes.nii.gz", *model, "-o"],
        "probe apply": ["probe", "apply", made, ct, "-o"],
        "project": ["project", ct, *model, "-o"],
    }[command]


@pytest.fixture
def probe(coralbay, scan, tmp_path, own_cache):
    path = tmp_path / "made.safetensors"
    options = ["--labels", scan / "strokes.nii.gz", "--model", MODEL]
    code, _, err = coralbay("probe", "fit", scan / "ct.nii.gz", *options, "-o", path)
    assert code == 0, err
    return path


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("query -o", "heat.nii.gz"),
        ("query --save", "q.query"),
        ("query --table", "top.csv"),
        ("probe fit", "p.safetensors"),
        ("probe apply", "seg.nii.gz"),
        ("project", "rgb.nii.gz"),
    ],
)
def test_results(coralbay, scan, click, probe, disk, command, name):
    arguments = written_by(command, scan, click, probe)
    out = disk.root / name
    disk.fill(0)
    code, _, err = coralbay(*arguments, out)
    assert code == 1
    assert_one_line(err, disk.root)
    assert files_of(disk.root) == set()
    disk.empty()
    code, _, err = coralbay(*arguments, out)
    assert code == 0, err
    assert name in files_of(disk.root)


def test_an_older_result_stays(coralbay, scan, click, disk, own_cache):
    out = disk.root / "heat.nii.gz"
    arguments = ["query", scan / "ct.nii.gz", "--at", click, "--model", MODEL, "-o", out]
    assert coralbay(*arguments)[0] == 0
    before = load_volume(out).data
    disk.fill(0)
    assert coralbay(*arguments, "--stage-weights", "4=1")[0] == 1
    np.testing.assert_array_equal(load_volume(out).data, before)
    assert not leftovers(disk.root)


def test_prepare_data(coralbay, torsos, disk):
    arguments = ["prepare-data", torsos[0] / "a.nii.gz", torsos[0] / "b.nii.gz", "-o", disk.root / "store"]
    arguments += ["--spacing", "3", "--workers", "1"]
    disk.fill(100_000)
    code, _, err = coralbay(*arguments)
    assert code == 1
    assert_one_line(err, disk.root)
    disk.empty()
    code, _, err = coralbay(*arguments)
    assert code == 0, err
    assert len(StoreSource(disk.root / "store").names) == 2
    assert not leftovers(disk.root)


@pytest.mark.parametrize("free", [0, 300_000])
def test_pretrain(coralbay, torsos, disk, tmp_path, free):
    (tmp_path / "data").mkdir()
    shutil.copy(torsos[0] / "a.nii.gz", tmp_path / "data")
    sizes = ["spacing_mm=3", "views.shift_mm=18", "steps=1"]
    arguments = ["pretrain", *TINY, *sizes, f"data={tmp_path / 'data'}", f"output={disk.root / 'run'}"]
    disk.fill(free)
    code, _, err = coralbay(*arguments)
    assert code == 1
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert str(disk.root) in errors[0]
    assert "No space left" in errors[0]
    assert "Traceback" not in err
    disk.empty()
    code, _, err = coralbay(*arguments, *(["--resume"] if (disk.root / "run" / "run.json").exists() else []))
    assert code == 0, err
    assert (disk.root / "run" / "tiny.safetensors").exists()


def test_session(scan, disk, monkeypatch, own_cache):
    monkeypatch.setenv("CORALBAY_STATE", str(disk.root / "state"))
    disk.fill(0)
    failed: list[Exception] = []
    session = Session(model=MODEL, autosave=True)
    session.failed.connect(failed.append)
    session.open(scan / "ct.nii.gz")
    assert failed
    assert all(isinstance(error, CoralBayError) and "No space left" in str(error) for error in failed)
    with pytest.raises(CoralBayError, match=r"cannot write - .*work\.coralbay - found No space left"):
        session.save(disk.root / "work.coralbay")
    disk.empty()
    session.save(disk.root / "work.coralbay")
    session.body_fraction = 0.2
    session.close()
    again = Session()
    again.load(disk.root / "work.coralbay")
    assert [scan.name for scan in again.scans] == [scan.name for scan in session.scans]
