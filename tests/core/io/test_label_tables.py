"""Names and colors of labels as other programs store them, and folders of masks."""

import numpy as np
import pytest

from coralbay_core.errors import InputError, MissingFileError
from coralbay_core.io import load_labels
from coralbay_core.io.label_tables import find_table, read_table, write_table
from tests.support.nifti import LPS_AFFINE, one_line, write_nifti

NAMES = {1: "liver", 2: 'so-called "spot"', 300: "Läsion"}
COLORS = {1: (221, 130, 101), 300: (0, 0, 7)}
ITK_SNAP = """\
################################################
# ITK-SnAP Label Description File
################################################
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0    0        1  1  1    "Label 1"
   12   205  205    0      0.5  0  1    "left lung, upper"
"""


def test_a_label_description_of_itk_snap_is_read_next_to_its_map(tmp_path):
    path = write_nifti(tmp_path / "seg.nii.gz", np.ones((6, 5, 4), np.uint8))
    (tmp_path / "seg.txt").write_text(ITK_SNAP)
    found = load_labels(path)
    assert found.names == {1: "Label 1", 12: "left lung, upper"}
    assert found.colors == {1: (255, 0, 0), 12: (205, 205, 0)}


def test_a_label_description_comes_back(tmp_path):
    path = write_table(tmp_path / "names.txt", [0, 1, 2, 300], NAMES, COLORS)
    assert path.read_text("utf-8").startswith("####")
    found = read_table(path)
    assert found.names == NAMES | {2: "so-called 'spot'"}
    assert found.colors.items() >= COLORS.items()
    rows = [line.split(None, 7) for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert [len(row) for row in rows] == [8] * 4
    assert rows[0][7] == '"Clear Label"'


def test_names_in_json_come_back(tmp_path):
    path = write_table(tmp_path / "names.json", NAMES, NAMES, {})
    assert read_table(path).names == NAMES


def test_another_text_next_to_a_map_is_no_table(tmp_path):
    path = write_nifti(tmp_path / "seg.nii.gz", np.ones((6, 5, 4), np.uint8))
    (tmp_path / "seg.txt").write_text("Remarks of the reader.\n")
    assert find_table(path).names == {}
    assert load_labels(path).notes == ()
    (tmp_path / "seg.txt").write_text(ITK_SNAP + "broken\n")
    assert any("line 7 has not the eight columns" in note for note in load_labels(path).notes)


def test_tables_that_cannot_be_read_are_one_line(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        read_table(tmp_path / "none.txt")
    for name, content in (("a.txt", "1 2 3"), ("a.json", "[1]")):
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match="unreadable label names") as error:
            read_table(tmp_path / name)
        one_line(error)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_names_in_the_header_of_totalsegmentator(tmp_path, suffix, byte_order):
    import nibabel

    header = nibabel.Nifti1Header(endianness=byte_order)
    image = nibabel.Nifti1Image(np.ones((6, 5, 4), np.uint8), LPS_AFFINE, header)
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?> <CaretExtension> <VolumeInformation Index="0"> <LabelTable>'
        '<Label Key="1" Red="1.0" Green="0.0" Blue="0.5" Alpha="1"><![CDATA[spleen]]></Label>\n'
        '<Label Key="5" Red="0" Green="1" Blue="0" Alpha="1"><![CDATA[liver & more]]></Label>\n'
        "</LabelTable></VolumeInformation></CaretExtension>"
    )
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, xml.encode()))
    path = tmp_path / f"seg{suffix}"
    image.to_filename(path)
    found = load_labels(path)
    assert found.names == {1: "spleen", 5: "liver & more"}
    assert found.colors == {1: (255, 0, 128), 5: (0, 255, 0)}


def mask(*index):
    made = np.zeros((6, 5, 4), np.uint8)
    made[index] = 1
    return made


def test_a_folder_of_totalsegmentator_is_one_label_map(tmp_path):
    masks = {
        "liver": mask(slice(0, 4)),
        "spleen": mask(slice(4, 6), slice(0, 2)),
        "gallbladder": mask(0, 0),
        "aorta": mask(slice(0, 0)),
    }
    for name, data in masks.items():
        write_nifti(tmp_path / f"{name}.nii.gz", data)
    found = load_labels(tmp_path)
    data = found.source_grid.to_file(found.data)
    assert found.names == {1: "spleen", 4: "gallbladder", 5: "liver", 52: "aorta"}
    assert np.array_equal(data == 4, masks["gallbladder"] > 0)
    assert np.array_equal(data == 5, (masks["liver"] > 0) & (masks["gallbladder"] == 0))
    assert any("gallbladder" in note and "overlap in 4 voxels" in note for note in found.notes)


def test_other_names_are_numbered(tmp_path):
    write_nifti(tmp_path / "tumor.nii.gz", mask(1))
    write_nifti(tmp_path / "cyst.nii.gz", mask(2))
    assert load_labels(tmp_path).names == {1: "cyst", 2: "tumor"}


def test_folders_that_are_none_of_masks_are_one_line(tmp_path):
    with pytest.raises(InputError, match="no label map in the folder"):
        load_labels(tmp_path)
    write_nifti(tmp_path / "liver.nii.gz", mask(1))
    write_nifti(tmp_path / "spleen.nii.gz", mask(2)[:5])
    with pytest.raises(InputError, match="different shapes") as error:
        load_labels(tmp_path)
    one_line(error)
    write_nifti(tmp_path / "spleen.nii.gz", np.arange(120, dtype=np.uint8).reshape(6, 5, 4))
    with pytest.raises(InputError, match="not a mask of one structure"):
        load_labels(tmp_path)
