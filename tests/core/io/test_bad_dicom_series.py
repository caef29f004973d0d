"""Bad DICOM series: each is refused in one line."""

import pytest

from coralbay_core.errors import CoralBayError
from coralbay_core.io import load_volume
from tests.support.dicom import write_rtstruct, write_series
from tests.support.nifti import hu, one_line


def _bad_one_slice(folder):
    write_series(folder, hu((1, 6, 7)))


def _bad_4d(folder):
    write_series(folder, hu((5, 6, 7)), SeriesInstanceUID="1.2")
    for path in write_series(folder / "x", hu((5, 6, 7)), SeriesInstanceUID="1.2"):
        path.rename(folder / f"second_{path.name}")


def _bad_sizes(folder):
    write_series(folder, hu((5, 6, 7)), SeriesInstanceUID="1.2")
    write_series(folder / "x", hu((2, 8, 7)), SeriesInstanceUID="1.2", origin=(0, 0, 50))


def _bad_orientations(folder):
    write_series(folder, hu((5, 6, 7)), SeriesInstanceUID="1.2")
    write_series(folder / "x", hu((2, 6, 7)), SeriesInstanceUID="1.2", orientation=(0, 1, 0, 0, 0, -1), step=(1, 0, 0))


def _bad_rtstruct_only(folder):
    folder.mkdir(exist_ok=True)
    write_rtstruct(folder / "rs.dcm")


def _bad_multiframe(folder):
    write_series(folder, hu((1, 6, 7)), NumberOfFrames=4)


def _bad_no_position(folder):
    write_series(folder, hu((3, 6, 7)), ImagePositionPatient=None)


def _bad_truncated_pixels(folder):
    path = write_series(folder, hu((3, 6, 7)))[1]
    path.write_bytes(path.read_bytes()[:-20])


def _bad_header(folder):
    write_series(folder, hu((3, 6, 7)), PixelSpacing="0.7")


def _bad_parallel_orientation(folder):
    write_series(folder, hu((3, 6, 7)), orientation=(1, 0, 0, 1, 0, 0))


def _bad_folder(folder):
    folder.mkdir(exist_ok=True)
    (folder / "readme.txt").write_text("nothing here")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (_bad_one_slice, "single slice"),
        (_bad_4d, "several slices at one position.*10 slices at 5 positions.*4-D"),
        (_bad_sizes, r"differ in size.*6 x 7 \(5 slices\); 8 x 7 \(2 slices\)"),
        (_bad_orientations, "differ in orientation"),
        (_bad_rtstruct_only, "no CT series.*1 RTSTRUCT"),
        (_bad_multiframe, "no CT series.*multi-frame CT.*dcm2niix"),
        (_bad_no_position, "no CT series.*3 CT image without position"),
        (_bad_truncated_pixels, "cannot decode slice"),
        (_bad_header, "unreadable DICOM header"),
        (_bad_parallel_orientation, "singular affine|several slices"),
        (_bad_folder, "no CT series in the folder.*no DICOM file"),
    ],
)
def test_bad_series_are_refused_in_one_line(tmp_path, make, match):
    make(tmp_path / "s")
    with pytest.raises(CoralBayError, match=match) as error:
        load_volume(tmp_path / "s")
    one_line(error)
