"""Random damage to sound files: a volume of finite HU or one line of error, for 30 seconds.

``make fuzz MINUTES=10`` takes longer, with other damage each time.
"""

import gzip
import os
import time
import zlib

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from coralbay_core.errors import CoralBayError
from coralbay_core.io import load_volume
from tests.support.dicom import write_series
from tests.support.malformed_files import hu, meta_bytes, nifti_bytes, nrrd_bytes

SECONDS = float(os.environ.get("CORALBAY_FUZZ_S", 30))
FIRST_SEED = 0 if "CORALBAY_FUZZ_S" not in os.environ else int(time.time())
VOXELS = hu().nbytes
PACKED = zlib.compress(hu().tobytes())


def sound_files(folder):
    """Name, contents and what is done to them after the damage."""
    slices = [path.read_bytes() for path in write_series(folder / "made", hu((3, 7, 8)))]
    compressed = meta_bytes(CompressedData="True", CompressedDataSize=str(len(PACKED)))[:-VOXELS] + PACKED
    return {
        "x.nii": (nifti_bytes(), bytes),
        "y.nii": (nifti_bytes(nib.Nifti2Image), bytes),
        "x.nii.gz": (nifti_bytes(), gzip.compress),
        "y.nii.gz": (gzip.compress(nifti_bytes()), bytes),
        "x.mha": (meta_bytes(), bytes),
        "y.mha": (compressed, bytes),
        "x.nrrd": (nrrd_bytes({}), bytes),
        "y.nrrd": (nrrd_bytes({"encoding": "gzip"})[:-VOXELS] + gzip.compress(hu().tobytes()), bytes),
        "s/0.dcm": (slices[0], bytes),
    }, slices


# Texts that change the meaning of a header more often than random bytes.
TEXTS = st.sampled_from(
    [b"-1", b"0", b"nan", b"1e30", b"99999999", b"%s%n", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\n", b"\\"]
)
DAMAGE = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.one_of(st.binary(min_size=1, max_size=8), TEXTS), st.booleans()),
    min_size=1,
    max_size=6,
)


def damaged(content, damage, cut):
    for part, text, inserts in damage:
        at = int(part * len(content))
        content = content[:at] + text + content[at + (0 if inserts else len(text)) :]
    return content if cut is None else content[: int(cut * len(content))]


@pytest.mark.slow
def test_random_damage_gives_a_volume_or_one_line(tmp_path):
    files, slices = sound_files(tmp_path)
    for number, content in enumerate(slices[1:], 1):
        (tmp_path / "s").mkdir(exist_ok=True)
        (tmp_path / "s" / f"{number}.dcm").write_bytes(content)
    read = dict.fromkeys(files, 0)

    @given(st.sampled_from(sorted(files)), DAMAGE, st.none() | st.floats(0, 1), st.booleans())
    @settings(max_examples=300, database=None, derandomize=False, suppress_health_check=list(HealthCheck))
    def check(name, damage, cut, of_header):
        content, pack = files[name]
        # Headers are short beside the voxels in real files: half of the damage goes there.
        damage = [(part * min(1.0, 400 / len(content)) if of_header else part, *rest) for part, *rest in damage]
        path = tmp_path / name
        path.write_bytes(pack(damaged(content, damage, cut)))
        start, lines = time.monotonic(), [""]
        try:
            volume = load_volume(path.parent if name.startswith("s/") else path)
            assert np.isfinite(volume.data).all()
            read[name] += 1
        except CoralBayError as error:
            lines = str(error).splitlines()
        assert len(lines) == 1
        assert time.monotonic() - start < 5

    started, number = time.monotonic(), FIRST_SEED
    while time.monotonic() - started < SECONDS:
        seed(number)(check)()
        number += 1
    # Damage that is always found would test one check only; checksums do find all damage of compressed files.
    assert all(count for name, count in read.items() if name not in ("y.nii.gz", "y.mha", "y.nrrd"))
