"""NRRD and MetaImage files that are damaged or made to do harm: one line, and nothing of them reaches ITK."""

import os
import time

import numpy as np
import pytest
import SimpleITK as sitk

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.io import load_volume
from tests.support.malformed_files import META, NRRD

SHAPE = (6, 7, 8)


def hu():
    return np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype("<i2")


def write_meta(path, voxels=None, **changes):
    lines = [f"{name} = {value}" for name, value in (META | changes).items() if value is not None]
    path.write_bytes("\n".join(lines).encode() + b"\n" + (hu().tobytes() if voxels is None else voxels))
    return path


def write_nrrd(path, voxels=None, changes=None):
    lines = [f"{name}: {value}" for name, value in (NRRD | (changes or {})).items() if value is not None]
    header = "NRRD0004\n" + "\n".join(lines) + "\n\n"
    path.write_bytes(header.encode() + (hu().tobytes() if voxels is None else voxels))
    return path


def refused(path, match="not a readable image|voxels in another place"):
    start = time.monotonic()
    with pytest.raises(CoralBayError, match=match) as error:
        load_volume(path)
    assert time.monotonic() - start < 5
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def written(path, *, compressed):
    image = sitk.GetImageFromArray(hu().astype(np.int16))
    image.SetSpacing((1, 2, 3))
    sitk.WriteImage(image, str(path), useCompression=compressed)
    return path


# --- sound ones


def test_the_headers_of_these_tests_are_sound(tmp_path):
    for path in (write_meta(tmp_path / "a.mha"), write_nrrd(tmp_path / "a.nrrd")):
        assert np.array_equal(load_volume(path).data, hu())


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_what_itk_writes_is_read(tmp_path, suffix, compressed):
    assert np.array_equal(load_volume(written(tmp_path / f"a{suffix}", compressed=compressed)).data, hu())


def test_text_is_read(tmp_path):
    voxels = " ".join(map(str, hu().ravel())).encode()
    path = write_nrrd(tmp_path / "a.nrrd", voxels, {"encoding": "ascii", "endian": None})
    assert np.array_equal(load_volume(path).data, hu())


@pytest.mark.parametrize("length", ["2", "1e201", "1e-201"])
def test_lengths_of_directions_do_not_change_the_spacing(tmp_path, length):
    volume = load_volume(write_meta(tmp_path / "a.mha", TransformMatrix=f"2 0 0 0 2 0 0 0 {length}"))
    np.testing.assert_allclose(volume.grid.spacing_mm, (3, 2, 1))


# --- damaged data


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("damage", ["cut", "flip", "zero", "nothing"])
def test_damaged_compressed_voxels_are_no_zeros(tmp_path, suffix, damage):
    path = written(tmp_path / f"a{suffix}", compressed=True)
    data = next((p for p in tmp_path.iterdir() if p != path), path)
    content = bytearray(data.read_bytes())
    start = len(content) - 300
    if damage == "cut":
        content = content[:-100]
    elif damage == "nothing":
        content = content[: 0 if data != path else -len(hu().tobytes()) // 2]
    else:
        content[start : start + 50] = (
            bytes(50) if damage == "zero" else bytes(b ^ 0xFF for b in content[start : start + 50])
        )
    data.write_bytes(content)
    refused(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("length", [0, 10, 100, -1])
def test_truncated_files(tmp_path, suffix, length):
    path = written(tmp_path / f"a{suffix}", compressed=False)
    path.write_bytes(path.read_bytes()[:length])
    refused(path)


# --- crafted headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NDims", "100"),
        ("NDims", "0"),
        ("NDims", "-3"),
        ("NDims", "x"),
        ("NDims", None),
        ("DimSize", "32767 32767 32767"),
        ("DimSize", "8 7 -6"),
        ("DimSize", "8 7"),
        ("DimSize", "99999999999999999999 7 6"),
        ("ElementSpacing", "1 nan 3"),
        ("ElementSpacing", "1 inf 3"),
        ("ElementSpacing", "1 0 3"),
        ("ElementSpacing", "1 -2 3"),
        ("ElementSpacing", "1 2"),
        ("Offset", "0 0 nan"),
        ("TransformMatrix", "1 0 0 0 1 0 0 0 inf"),
        ("TransformMatrix", "1 0 0"),
        ("ElementType", "MET_STRING"),
        ("ElementType", "%s%s%n"),
        ("ElementNumberOfChannels", "1000000"),
        ("ElementDataFile", "%s%n%s.raw"),
        ("ElementDataFile", "slice%03d.raw 1 6 1"),
        ("ElementDataFile", "LIST"),
        ("ElementDataFile", "/etc/passwd"),
        ("ElementDataFile", "../secret.raw"),
        ("ElementDataFile", "missing.raw"),
        ("ElementDataFile", "pipe"),
        ("ElementDataFile", "link.raw"),
        ("ElementDataFile", "."),
        ("Comment", "x" * 100_000),
        ("Name", "%s" * 2000),
        ("A" * 5000, "1"),
        ("Anything", "9" * 200_000),
    ],
)
def test_crafted_meta_images(tmp_path, name, value):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.raw").write_bytes(hu().tobytes())
    (tmp_path / "secret.raw").write_bytes(hu().tobytes())
    folder = tmp_path / "in"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "link.raw").symlink_to(tmp_path / "outside" / "secret.raw")
    changes = {name: value}
    if name != "ElementDataFile":  # it has to be the last
        changes = {**changes, "ElementDataFile": "LOCAL"}
    fields = {key: text for key, text in META.items() if key != "ElementDataFile"} | changes
    path = folder / "a.mha"
    lines = [f"{key} = {text}" for key, text in fields.items() if text is not None]
    path.write_bytes("\n".join(lines).encode() + b"\n" + hu().tobytes())
    refused(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dimension", "100"),
        ("dimension", "-1"),
        ("sizes", "32767 32767 32767"),
        ("sizes", "8 7 0"),
        ("sizes", "8 7"),
        ("type", "block"),
        ("type", None),
        ("encoding", "shell"),
        ("space directions", "(nan,0,0) (0,2,0) (0,0,3)"),
        ("space directions", "(1,0,0) (0,2) (0,0,3)"),
        ("space origin", "(0,0,inf)"),
        ("spacings", "1 2 0"),
        ("spacings", "1 -2 3"),
        ("data file", "/etc/passwd"),
        ("data file", "../secret.raw"),
        ("data file", "LIST"),
        ("data file", "slice%03d.raw 1 6 1"),
        ("byte skip", "-5"),
        ("line skip", "999999999"),
        ("content", "x" * 100_000),
    ],
)
def test_crafted_nrrds(tmp_path, name, value):
    (tmp_path / "secret.raw").write_bytes(hu().tobytes())
    folder = tmp_path / "in"
    folder.mkdir()
    refused(write_nrrd(folder / "a.nrrd", changes={name: value}))


def test_zero_directions_are_refused(tmp_path):
    with pytest.raises(InputError):
        load_volume(write_nrrd(tmp_path / "a.nrrd", changes={"space directions": "(1,0,0) (0,2,0) (0,0,0)"}))


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_compressed_data_that_exceed_their_header(tmp_path, suffix):
    import gzip
    import zlib

    voxels = bytes(40 << 20)
    if suffix == ".mha":
        path = write_meta(tmp_path / "a.mha", zlib.compress(voxels), CompressedData="True", ElementDataFile="LOCAL")
    else:
        path = write_nrrd(tmp_path / "a.nrrd", gzip.compress(voxels), {"encoding": "gzip"})
    refused(path, "not a readable image")


def test_random_damage_is_one_line(tmp_path):
    rng = np.random.default_rng(0)
    for make in (write_meta, write_nrrd):
        path = make(tmp_path / f"a{'.mha' if make is write_meta else '.nrrd'}")
        content = path.read_bytes()
        for _ in range(80):
            broken = bytearray(content)
            for at in rng.integers(0, 260, rng.integers(1, 4)):
                broken[at] = rng.integers(32, 127)
            path.write_bytes(broken)
            try:
                load_volume(path)
            except CoralBayError as error:
                message = str(error)
                assert "\n" not in message
