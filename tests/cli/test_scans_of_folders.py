"""Commands that take a folder: scans of every format, names that tell them apart, and one failure that costs itself."""

import csv
import shutil

import nibabel as nib
import numpy as np
import pytest

from coralbay_core.cli.scans import scans_in
from coralbay_core.io import load_volume
from tests.support.dicom import write_series

pytestmark = pytest.mark.forward

FAST = ("--model", "hu-patch", "--stages", "8")


@pytest.fixture
def patients(scan, tmp_path):
    """A folder of patients: NIfTI in two spellings, NRRD, MetaImage, and DICOM with two series in one folder."""
    sitk = pytest.importorskip("SimpleITK")
    folder = tmp_path / "patients"
    (folder / "anna").mkdir(parents=True)
    shutil.copy(scan / "ct.nii.gz", folder / "anna" / "scan.nii.gz")
    image = nib.load(scan / "ct.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) + 7, image.affine, image.header), folder / "anna" / "scan.nii")
    shutil.copy(scan / "ct.nii.gz", folder / "BIG.NII.GZ")
    read = sitk.ReadImage(str(scan / "ct.nii.gz"))
    sitk.WriteImage(read, str(folder / "dora.nrrd"))
    sitk.WriteImage(read, str(folder / "emil.mha"))
    hu = load_volume(scan / "ct.nii.gz").data[::-1, :, :]
    for series in range(2):
        files = write_series(tmp_path / "made", hu + series, spacing=(3, 3), SeriesInstanceUID=f"1.2.3.{series}")
        (folder / "carl").mkdir(exist_ok=True)
        for number, file in enumerate(files):
            file.rename(folder / "carl" / f"s{series}_{number:03d}.dcm")
    write_series(folder / "finn", hu, spacing=(3, 3))
    return folder


def add_obstacles(folder):
    """Things in a folder that are no scans, and one that should be."""
    (folder / "._dora.nrrd").write_bytes(b"\0\5\x16\7")
    (folder / ".coralbay-0123456789abcdef0123456789abcdef.nii.gz").write_bytes(b"half")
    (folder / ".hidden").mkdir()
    shutil.copy(folder / "BIG.NII.GZ", folder / ".hidden" / "x.nii.gz")
    (folder / "volume-0.nii").mkdir()
    shutil.copy(folder / "BIG.NII.GZ", folder / "volume-0.nii" / "volume-0.nii.gz")
    (folder / "broken.nii.gz").write_bytes(b"nothing")


NAMES = {"BIG", "anna--scan.nii", "anna--scan.nii.gz", "dora", "emil", "finn"}


def test_every_scan_has_a_name_of_its_own(patients):
    found = scans_in(patients)
    names = [source.name for source in found.sources]
    assert found.is_folder
    assert {name for name in names if not name.startswith("carl")} == NAMES
    assert len({name for name in names if name.startswith("carl")}) == 2
    assert len({name.casefold() for name in names}) == len(names) == 8


def test_names_that_flatten_to_the_same_are_told_apart(tmp_path):
    for name in ("a/b.nii.gz", "a--b.nii.gz", "A--B.nii.gz", "c/x.nii", "c/x.NII.GZ"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    names = [source.name for source in scans_in(tmp_path).sources]
    assert len({name.casefold() for name in names}) == 5
    assert all("/" not in name for name in names)


def test_embed_does_all_scans_and_lists_what_failed(coralbay, patients, tmp_path):
    add_obstacles(patients)
    code, out, err = coralbay("embed", patients, "-o", tmp_path / "E", *FAST)
    made = {path.name for path in (tmp_path / "E").iterdir() if path.is_dir()}
    assert made >= NAMES | {"volume-0.nii--volume-0"}
    assert len(made) == 9
    assert len(out.splitlines()) == 10
    assert code == 2
    last = err.splitlines()[-1]
    assert last.startswith("error: features of 1 of 10 scans could not be computed")
    assert "broken" in last
    values = [load_volume(patients / "anna" / name).data.mean() for name in ("scan.nii", "scan.nii.gz")]
    assert values[0] - values[1] == pytest.approx(7)


def test_library_keeps_what_can_be_read(coralbay, patients, tmp_path):
    add_obstacles(patients)
    code, out, err = coralbay("library", "add", tmp_path / "L", patients, "--model", "hu-patch")
    assert code == 2
    assert "1 of 10 scans" in err.splitlines()[-1]
    lines = [line for line in out.splitlines() if line.startswith(("added", "already there"))]
    assert len(lines) == 9
    names = [line.split()[-1] for line in coralbay("library", "list", tmp_path / "L")[1].splitlines()]
    assert len(names) == len(set(names))


def test_probe_and_match_go_through_a_folder(coralbay, scan, click, patients, tmp_path):
    add_obstacles(patients)
    probe = tmp_path / "p.safetensors"
    code, _, err = coralbay("probe", "fit", scan / "ct.nii.gz", "--labels", scan / "strokes.nii.gz", "-o", probe, *FAST)
    assert code == 0, err
    code, _, err = coralbay("probe", "apply", probe, patients, "-o", tmp_path / "S")
    assert code == 2
    assert "broken" in err.splitlines()[-1]
    made = {path.name.removesuffix(".nii.gz") for path in (tmp_path / "S").glob("*.nii.gz")}
    assert made >= NAMES
    assert len(made) == 9
    one = nib.load(tmp_path / "S" / "BIG.nii.gz")
    assert np.array_equal(one.affine, nib.load(scan / "ct.nii.gz").affine)
    code, _, err = coralbay(
        "match", scan / "ct.nii.gz", patients, "--at", click, "-o", tmp_path / "M", "--prior-mm", 0, *FAST
    )
    assert code == 2
    assert "broken" in err.splitlines()[-1]
    assert {path.stem for path in (tmp_path / "M").glob("*.csv")} == made
    with (tmp_path / "M" / "dora.csv").open() as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["at 1"]
