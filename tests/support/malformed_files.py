"""Files that no scanner wrote: truncated, lying, hostile or something else. Each must be refused in one line.

``python -m tests.support.malformed_files FOLDER`` writes them, to try a reader on them by hand.
"""

import gzip
import io
import os
import shutil
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom

from tests.support.dicom import write_series

Make = Callable[[Path], Path]
AFFINE = np.diag([1.5, 1.5, 2.0, 1.0])
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "0 0 0",
    "ElementSpacing": "1 2 3",
    "DimSize": "8 7 6",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "8 7 6",
    "space directions": "(1,0,0) (0,2,0) (0,0,3)",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(0,0,0)",
}


def malformed() -> Iterator[tuple[str, Make]]:
    """Names and makers; a maker takes an empty folder and returns the path to open."""
    for family in (_any_format, _nifti, _meta_image, _nrrd, _dicom):
        for name, make in family():
            yield name.replace(" ", "-"), make


def hu(shape: tuple[int, ...] = (6, 7, 8)) -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 1000, shape).astype("<i2")


def nifti_bytes(image_class: type = nib.Nifti1Image, shape: tuple[int, ...] = (8, 7, 6)) -> bytes:
    image = image_class(hu(shape), AFFINE)
    image.set_sform(AFFINE, code=1)
    return image.to_bytes()


def meta_bytes(**changes: str | None) -> bytes:
    lines = [f"{name} = {value}" for name, value in (META | changes).items() if value is not None]
    return "\n".join(lines).encode() + b"\n" + hu().tobytes()


def nrrd_bytes(changes: dict[str, str | None]) -> bytes:
    lines = [f"{name}: {value}" for name, value in (NRRD | changes).items() if value is not None]
    return ("NRRD0004\n" + "\n".join(lines) + "\n\n").encode() + hu().tobytes()


def _file(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _any_format() -> Iterator[tuple[str, Make]]:
    noise = np.random.default_rng(1).integers(0, 256, 5000, np.uint8).tobytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("ct.nii", bytes(20_000_000))
    for suffix in ("nii", "nii.gz", "mha", "mhd", "nrrd", "nhdr", "dcm"):
        yield f"{suffix} empty", _file(f"x.{suffix}", b"")
        yield f"{suffix} text", _file(f"x.{suffix}", b"this is no image\n" * 60)
        yield f"{suffix} noise", _file(f"x.{suffix}", noise)
        yield f"{suffix} pipe", _pipe(f"x.{suffix}")
        yield f"{suffix} device", _link(f"x.{suffix}", "/dev/zero")
        yield f"{suffix} loop of links", _link(f"x.{suffix}", f"x.{suffix}")
    yield "zip bomb", _file("x.nii.gz", archive.getvalue())
    yield "folder loop", _folder_loop


def _pipe(name: str) -> Make:
    def make(folder: Path) -> Path:
        os.mkfifo(folder / name)
        return folder / name

    return make


def _link(name: str, target: str) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).symlink_to(target)
        return folder / name

    return make


def _folder_loop(folder: Path) -> Path:
    (folder / "a").mkdir()
    (folder / "a" / "b").symlink_to(folder, target_is_directory=True)
    return folder


def _nifti() -> Iterator[tuple[str, Make]]:
    good = nifti_bytes()

    def changed(at: int, value: bytes, content: bytes = good) -> bytes:
        return content[:at] + value + content[at + len(value) :]

    def shorts(*values: int) -> bytes:
        return np.array(values, "<i2").tobytes()

    def floats(*values: float) -> bytes:
        return np.array(values, "<f4").tobytes()

    fields = {
        "length of the header": (0, (347).to_bytes(4, "little")),
        "sizes of 32767": (40, shorts(3, 32767, 32767, 32767)),
        "sizes below 0": (40, shorts(3, -8, 7, 6)),
        "sizes of 0": (40, shorts(3, 0, 7, 6)),
        "more sizes than there are": (40, shorts(3, 80, 70, 60)),
        "no dimensions": (40, shorts(0)),
        "200 dimensions": (40, shorts(200)),
        "wrong byte order of the sizes": (40, np.array([3, 8, 7, 6], ">i2").tobytes()),
        "4-D": (40, shorts(4, 8, 7, 3, 2)),
        "one slice": (40, shorts(3, 8, 7, 1)),
        "unknown type": (70, shorts(9999, 16)),
        "complex": (70, shorts(32, 64)),
        "offset of the voxels far away": (108, floats(1e30)),
        "offset of the voxels NaN": (108, floats(np.nan)),
        "magic": (344, b"xyz\0"),
        "spacing NaN in the affine": (280, floats(np.nan, 0, 0, 0)),
        "spacing infinite in the affine": (280, floats(np.inf, 0, 0, 0)),
        "spacing of 0 in the affine": (280, floats(0, 0, 0, 0)),
        "spacing of 1e30 mm": (280, floats(1e30, 0, 0, 0)),
        "position of 1e30 mm": (280, floats(1.5, 0, 0, 1e30)),
        "axes in one plane": (280, floats(1, 1, 0, 0, 1, 1, 0, 0)),
    }
    for name, (at, value) in fields.items():
        content = changed(at, value)
        yield f"nii {name}", _file("x.nii", content)
        if at == 40:
            yield f"nii.gz {name}", _file("x.nii.gz", gzip.compress(content))
    huge = np.array([3, 2**62, 2**62, 2**62], "<i8").tobytes()
    yield "nifti-2 sizes of 2**62", _file("x.nii", changed(16, huge, nifti_bytes(nib.Nifti2Image)))
    yield "nii without qform and sform that are numbers", _file("x.nii", _no_forms(good))
    for length in (100, 347, 360, len(good) - 1):
        yield f"nii cut at {length}", _file("x.nii", good[:length])
    packed = gzip.compress(good)
    for length in (5, 60, len(packed) - 1):
        yield f"nii.gz cut at {length}", _file("x.nii.gz", packed[:length])
    wrong_sum = packed[:-8] + bytes(4) + packed[-4:]
    yield "nii.gz checksum", _file("x.nii.gz", wrong_sum)
    yield "gz bomb", _file("x.nii.gz", _bomb(good))


def _no_forms(good: bytes) -> bytes:
    """Make a header whose only geometry is a voxel size of NaN."""
    content = bytearray(good)
    content[252:256] = bytes(4)
    content[80:92] = np.full(3, np.nan, "<f4").tobytes()
    return bytes(content)


def _bomb(good: bytes) -> bytes:
    """Compress a sound file of a few hundred bytes that goes on for a gigabyte of zeros."""
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(1 << 20)
    return b"".join([packer.compress(good), *(packer.compress(block) for _ in range(1024)), packer.flush()])


def _meta_image() -> Iterator[tuple[str, Make]]:
    changes = {
        "NDims": ("0", "-1", "100", "x", None),
        "DimSize": ("32767 32767 32767", "0 7 6", "-8 7 6", "8 7", "8 7 x", "99999999999999999999 7 6", None),
        "ElementSpacing": ("0 2 3", "nan 2 3", "inf 2 3", "1e30 2 3", "1 2", "a b c"),
        "TransformMatrix": ("1 0 0 1 0 0 0 0 1", "0 0 0 0 0 0 0 0 0", "nan 0 0 0 1 0 0 0 1", "1 0"),
        "Offset": ("nan 0 0", "1e30 0 0", "0"),
        "ElementType": ("MET_NONE", "MET_SHORT_ARRAY_OF_MY_OWN", None),
        "CompressedData": ("True",),
        "ElementDataFile": (
            "/etc/passwd",
            "../secret.raw",
            "%s%s%n.raw 1 6 1",
            "LIST",
            "missing.raw",
            "/dev/zero",
            None,
        ),
    }
    for key, values in changes.items():
        for value in values:
            yield f"mha {key} {_safe(value)}", _file("x.mha", meta_bytes(**{key: value}))
    good = meta_bytes()
    for length in (10, 120, len(good) - 1):
        yield f"mha cut at {length}", _file("x.mha", good[:length])
    packed = zlib.compress(hu().tobytes())
    head = meta_bytes(CompressedData="True", CompressedDataSize=str(len(packed)))[: -hu().nbytes]
    yield "mha damaged compressed voxels", _file("x.mha", head + packed[:40] + bytes(30) + packed[70:])


def _nrrd() -> Iterator[tuple[str, Make]]:
    changes = {
        "dimension": ("0", "-3", "100", "x", None),
        "sizes": ("32767 32767 32767", "0 7 6", "-8 7 6", "8 7", "8 7 x", None),
        "space directions": ("(0,0,0) (0,2,0) (0,0,3)", "(nan,0,0) (0,2,0) (0,0,3)", "(1,0,0) (1,0,0) (0,0,3)", "(1"),
        "space origin": ("(nan,0,0)", "(1e30,0,0)", "(1"),
        "type": ("block", "quaternion", None),
        "encoding": ("gzip", "rot13", None),
        "data file": ("/etc/passwd", "../secret.raw", "%d.raw 1 6 1", "LIST", "missing.raw", "/dev/zero"),
        "byte skip": ("99999999", "-99"),
        "line skip": ("99999999",),
    }
    for key, values in changes.items():
        for value in values:
            yield f"nrrd {key} {_safe(value)}", _file("x.nrrd", nrrd_bytes({key: value}))
    good = nrrd_bytes({})
    for length in (4, 60, len(good) - 1):
        yield f"nrrd cut at {length}", _file("x.nrrd", good[:length])
    packed = gzip.compress(hu().tobytes())
    head = nrrd_bytes({"encoding": "gzip"})[: -hu().nbytes]
    yield "nrrd damaged compressed voxels", _file("x.nrrd", head + packed[:40] + bytes(30) + packed[70:])


def _safe(value: str | None) -> str:
    return "missing" if value is None else value.replace("/", "_").replace("%", "_")


def _dicom() -> Iterator[tuple[str, Make]]:
    yield "dicom one slice", lambda folder: _series(folder, 1)
    yield "dicom without pixels", lambda folder: _series(folder, without="PixelData")
    yield "dicom without rows", lambda folder: _series(folder, without="Rows")
    yield "dicom without position", lambda folder: _series(folder, without="ImagePositionPatient")
    texts = {
        "PixelSpacing": ("0\\0", "-1\\1", "nan\\1", "1e300\\1", "abc\\1", "1"),
        "ImagePositionPatient": ("nan\\0\\0", "1e300\\0\\0", "0\\0", "a\\b\\c"),
        "ImageOrientationPatient": ("0\\0\\0\\0\\0\\0", "1\\0\\0\\1\\0\\0", "nan\\0\\0\\0\\1\\0", "1\\0"),
        "RescaleSlope": ("abc", "1\\2", "1e300", "nan", "inf"),
        "RescaleIntercept": ("abc", "1\\2", "1e300", "nan"),
    }
    for key, values in texts.items():
        for value in values:
            yield f"dicom {key} {_safe(value)}".replace("\\", ","), _with_text(key, value)
    for size in ((65535, 65535), (0, 7), (7, 65535)):
        yield f"dicom of {size[0]} rows and {size[1]} columns", _with_size(*size)
    for length in (20, 131, 400, -40):
        yield f"dicom cut at {length}", _cut(length)
    yield "dicom bomb", _deflated_bomb
    yield "dicom folder without DICOM", _text_folder


def _series(folder: Path, slices: int = 3, without: str = "") -> Path:
    for path in write_series(folder / "s", hu((slices, 7, 8))):
        if without:
            dataset = pydicom.dcmread(path)
            del dataset[without]
            dataset.save_as(path)
    return folder / "s"


def _with_text(keyword: str, value: str) -> Make:
    """Write decimal text that pydicom would refuse to write: a longer text of its own is replaced in the bytes."""

    def make(folder: Path) -> Path:
        mark = "123456789012345"
        text = value if len(value) % 2 == 0 else value + " "
        for path in write_series(folder / "s", hu((3, 7, 8))):
            dataset = pydicom.dcmread(path)
            setattr(dataset, keyword, [mark[: max(1, min(15, len(text)))]] if len(text) <= 16 else mark)
            dataset.save_as(path)
            content = path.read_bytes()
            number = pydicom.tag.Tag(keyword)
            at = content.index(number.group.to_bytes(2, "little") + number.element.to_bytes(2, "little") + b"DS")
            length = int.from_bytes(content[at + 6 : at + 8], "little")
            head = content[: at + 6] + len(text).to_bytes(2, "little") + text.encode()
            path.write_bytes(head + content[at + 8 + length :])
        return folder / "s"

    return make


def _with_size(rows: int, columns: int) -> Make:
    def make(folder: Path) -> Path:
        write_series(folder / "s", hu((3, 7, 8)), Rows=rows, Columns=columns)
        return folder / "s"

    return make


def _cut(length: int) -> Make:
    def make(folder: Path) -> Path:
        for path in write_series(folder / "s", hu((3, 7, 8))):
            path.write_bytes(path.read_bytes()[:length])
        return folder / "s"

    return make


def _deflated_bomb(folder: Path) -> Path:
    """Write a deflated data set that goes on for a gigabyte of zeros."""
    path = write_series(folder / "s", hu((1, 7, 8)))[0]
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    bare = pydicom.Dataset()
    bare.file_meta = dataset.file_meta
    bare.save_as(path, enforce_file_format=True)
    # The data set of `bare` is empty; what is appended takes its place.
    head = path.read_bytes()[: 132 + 12 + pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength]
    buffer = io.BytesIO()
    pydicom.filewriter.write_dataset(_little_endian(buffer), dataset)
    packer, block = zlib.compressobj(9, wbits=-15), bytes(1 << 20)
    packed = [packer.compress(buffer.getvalue()), *(packer.compress(block) for _ in range(1024)), packer.flush()]
    path.write_bytes(head + b"".join(packed))
    shutil.copy(path, path.with_name("other.dcm"))
    return folder / "s"


def _little_endian(buffer: io.BytesIO) -> pydicom.filebase.DicomIO:
    file = pydicom.filebase.DicomFileLike(buffer)
    file.is_little_endian, file.is_implicit_VR = True, False
    return file


def _text_folder(folder: Path) -> Path:
    (folder / "readme.txt").write_text("nothing here")
    return folder


if __name__ == "__main__":
    for number, (name, make) in enumerate(malformed()):
        place = Path(sys.argv[1]) / f"{number:03d}-{name}".replace("/", "_")
        place.mkdir(parents=True)
        print(make(place))
