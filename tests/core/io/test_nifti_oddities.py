"""NIfTI files as other programs leave them: read rightly, or refused in one line without filling the memory."""

import gzip
import os
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from coralbay_core.errors import CoralBayError
from coralbay_core.io import load_labels, load_volume, save_map
from tests.support import ROOT

AFFINE = np.array([[-0.8, 0, 0, 120.5], [0, -0.7, 0, 90.25], [0, 0, 2.5, -300], [0, 0, 0, 1]])
SHAPE = (6, 5, 4)


def hu():
    return np.random.default_rng(0).integers(-1024, 2000, SHAPE).astype(np.int16)


def plain(data=None, affine=AFFINE, image_class=nib.Nifti1Image, **header):
    data = hu() if data is None else data
    image = image_class(data, affine, dtype=data.dtype)
    for name, value in header.items():
        image.header[name] = value
    return image.to_bytes()


def put(path, content):
    path.write_bytes(content)
    return path


def one_line(path, match, read=load_volume):
    with pytest.raises(CoralBayError, match=match) as error:
        read(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


# --- names and ends


@pytest.mark.parametrize("image_class", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize(
    ("name", "pack", "note"),
    [
        ("ct.nii.gz", lambda content: content, "not compressed"),
        ("ct.nii", gzip.compress, "is compressed"),
        ("ct.nii.gz", gzip.compress, ""),
        ("ct.nii", lambda content: content, ""),
        ("ct.nii.gz", lambda content: gzip.compress(content) + b"left over", "after the end"),
        ("ct.nii.gz", lambda content: gzip.compress(content) + bytes(1000), ""),
        ("ct.nii.gz", lambda content: gzip.compress(content[:700]) + gzip.compress(content[700:]), ""),
        ("ct.nii.gz", lambda content: gzip.compress(content + b"left over"), ""),
        ("ct.nii", lambda content: content + b"left over", ""),
    ],
)
def test_content_counts_and_not_the_name(tmp_path, name, pack, note, image_class):
    volume = load_volume(put(tmp_path / name, pack(plain(image_class=image_class))))
    assert np.array_equal(volume.source_grid.to_file(volume.data), hu())
    assert [note in text for text in volume.notes] == ([True] if note else [])


# --- units


@pytest.mark.parametrize(("unit", "per_mm"), [("meter", 1e-3), ("micron", 1e3)])
def test_units_of_the_header_are_read(tmp_path, unit, per_mm):
    image = nib.Nifti1Image(hu(), np.diag([per_mm] * 3 + [1]) @ AFFINE)
    image.header.set_xyzt_units(unit)
    path = put(tmp_path / "ct.nii", image.to_bytes())
    volume = load_volume(path)
    np.testing.assert_allclose(volume.source_grid.affine, AFFINE, rtol=1e-5)
    assert volume.notes == (f"positions were converted from {unit} to mm",)
    again = load_volume(save_map(tmp_path / "map.nii", volume.data, volume))
    assert again.grid == volume.grid
    assert np.array_equal(load_labels(path, like=volume).data, volume.data)


def test_units_that_the_numbers_belie_are_not_used(tmp_path):
    image = nib.Nifti1Image(hu(), AFFINE)
    image.header.set_xyzt_units("meter")
    volume = load_volume(put(tmp_path / "ct.nii", image.to_bytes()))
    np.testing.assert_allclose(volume.source_grid.affine, AFFINE, rtol=1e-5)
    assert any("taken as mm" in note for note in volume.notes)


@pytest.mark.parametrize("mm", [1e4, 1e30])
def test_a_scan_larger_than_any_patient_is_refused(tmp_path, mm):
    one_line(put(tmp_path / "ct.nii", plain(affine=np.diag([mm, mm, mm, 1]))), "implausible size.*units of the file mm")


# --- labels


def test_labels_after_a_scale_factor(tmp_path):
    stored = np.array([-32768, -16385, 0, 16383, 32767], np.int16)
    data = np.resize(stored, SHAPE)
    content = bytearray(plain(data))
    content[112:120] = struct.pack("<2f", 6.103608757257462e-05, 2.000030517578125)
    labels = load_labels(put(tmp_path / "labels.nii", content))
    assert np.array_equal(labels.source_grid.to_file(labels.data), np.resize([0, 1, 2, 3, 4], SHAPE))
    assert labels.data.dtype == np.uint8
    assert any("rounded" in note for note in labels.notes)


@pytest.mark.parametrize("value", [1.5, 2.01, np.nan, np.inf, 1e30])
def test_other_fractions_are_no_labels(tmp_path, value):
    data = np.ones(SHAPE, np.float32)
    data[2, 2, 2] = value
    one_line(put(tmp_path / "labels.nii", plain(data)), "non-integer|out of range", load_labels)


@pytest.mark.parametrize("value", [2_000_000_000, 2**40])
def test_huge_label_values_take_no_memory(tmp_path, value):
    data = np.zeros(SHAPE, np.int64)
    data[1:3] = value
    labels = load_labels(put(tmp_path / "labels.nii", plain(data)))
    assert set(np.unique(labels.data)) == {0, value}


# --- sizes that lie


def with_dims(*dims):
    content = bytearray(plain())
    content[40:56] = struct.pack("<8h", 3, *dims, 1, 1, 1, 1)
    return bytes(content)


@pytest.mark.parametrize("dims", [(32767, 32767, 32767), (6, 5, 400), (0, 5, 4), (-6, 5, 4)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_lying_sizes(tmp_path, dims, suffix):
    content = with_dims(*dims)
    path = put(tmp_path / f"ct{suffix}", gzip.compress(content) if suffix == ".nii.gz" else content)
    start = time.monotonic()
    one_line(path, "truncated or damaged|not a readable NIfTI")
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("offset", [-1e9, 1e30, float("nan"), float("inf")])
def test_lying_offsets(tmp_path, offset):
    content = bytearray(plain())
    content[108:112] = struct.pack("<f", offset)
    one_line(put(tmp_path / "ct.nii", content), "truncated or damaged|not a readable NIfTI")


def test_a_gzip_bomb_is_stopped_early(tmp_path):
    bomb = tmp_path / "ct.nii.gz"
    with gzip.open(bomb, "wb", compresslevel=9) as file:
        file.write(plain())
        for _ in range(200):
            file.write(bytes(1 << 20))
    code = (
        "import resource, sys\nfrom coralbay_core.io import load_volume\n"
        "from coralbay_core.errors import InputError\nimport nibabel, scipy.optimize\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    load_volume(sys.argv[1])\nexcept InputError as error:\n    print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    run = subprocess.run([sys.executable, "-c", code, bomb], capture_output=True, text=True, cwd=ROOT, check=True)
    message, grown_kb = run.stdout.strip().splitlines()
    assert "more data than the header says" in message
    assert int(grown_kb) < 80_000


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha", "ct"])
@pytest.mark.parametrize("read", [load_volume, load_labels])
def test_pipes_are_refused(tmp_path, name, read):
    os.mkfifo(tmp_path / name)
    one_line(tmp_path / name, "not a file.*pipe", read)


def test_devices_are_refused():
    for device in ("/dev/zero", "/dev/null"):
        one_line(Path(device), "not a file")


def test_random_damage_is_one_line(tmp_path):
    rng = np.random.default_rng(0)
    content = plain()
    for _ in range(150):
        broken = bytearray(content)
        for at in rng.integers(0, 352, rng.integers(1, 5)):
            broken[at] = rng.integers(0, 256)
        # Either it is read, or the error is one of ours.
        with suppress(CoralBayError):
            assert np.isfinite(load_volume(put(tmp_path / "ct.nii", bytes(broken))).data).all()
