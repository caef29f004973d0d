"""What opens as labels and what as a CT: by values first, by names where those leave a doubt."""

import numpy as np
import pytest

from coralbay_core.io import load_volume, save_map
from coralbay_core.phantom import make_phantom
from coralbay_core.spatial import LabelVolume
from coralbay_viz.model.label_maps import as_labels


@pytest.fixture(scope="module")
def coarse():
    return make_phantom(seed=0, spacing_mm=(5.0, 5.0, 5.0))


@pytest.fixture
def stored(coarse, tmp_path):
    """Write an array on the phantom's grid under a name, and open it as napari's reader does."""

    def store(name, data):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.name.endswith((".nii", ".nii.gz")):
            import nibabel

            nibabel.save(
                nibabel.Nifti1Image(data.transpose()[::-1, ::-1], np.diag([5.0, 5, 5, 1]), dtype=data.dtype), path
            )
        else:
            sitk = pytest.importorskip("SimpleITK")
            sitk.WriteImage(sitk.GetImageFromArray(data), str(path))
        volume = load_volume(path)
        return volume, as_labels(volume)

    return store


def eight_bits(hu, low, high):
    return np.rint((np.clip(hu, low, high) - low) / (high - low) * 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.nii.gz", "ct.mha", "a.nrrd", "labels.nii.gz"])
@pytest.mark.parametrize("window", [(-160, 240), (-1000, 3000)])
def test_a_ct_of_eight_bits_is_a_ct(stored, coarse, name, window):
    _, labels = stored(name, eight_bits(coarse.volume.data, *window))
    assert labels is None


def test_a_ct_in_hu_is_a_ct(stored, coarse):
    assert stored("a.nii.gz", coarse.volume.data)[1] is None
    assert stored("a.mha", coarse.volume.data.astype(np.float32) + np.float32(0.25))[1] is None
    assert stored("shifted.nii.gz", (coarse.volume.data + 1024).astype(np.uint16))[1] is None


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "case_0001.mhd"])
@pytest.mark.parametrize(
    "relabel",
    [
        lambda labels: labels.astype(np.uint8),
        lambda labels: labels.astype(np.int32) * 37,  # above 255
        lambda labels: np.where(labels == 3, -1, labels.astype(np.int16)),
        lambda labels: np.where(labels == 5, 40_000, labels.astype(np.int32)),
        lambda labels: labels.astype(np.float32),
        lambda labels: np.minimum(labels, 1).astype(np.uint8),
    ],
)
def test_a_label_map_is_labels_whatever_its_values(stored, coarse, name, relabel):
    expected = relabel(coarse.labels.data)
    volume, labels = stored(name, expected)
    assert isinstance(labels, LabelVolume)
    assert labels.grid == volume.grid
    assert (labels.data == np.rint(volume.data)).all()
    assert sorted(np.unique(labels.data)) == sorted(np.unique(expected))


def test_a_folder_of_labels_and_names_beside_a_file_count(stored, coarse, tmp_path):
    strokes = np.zeros(coarse.labels.data.shape, np.int16)
    spots = np.random.default_rng(0).integers(0, strokes.size, 400)
    strokes.reshape(-1)[spots] = np.arange(400) % 90 + 1  # single voxels: no two neighbors are equal
    assert stored("a.nrrd", strokes)[1] is None
    (tmp_path / "b.json").write_text('{"7": "liver"}', encoding="utf-8-sig")
    assert stored("b.nrrd", strokes)[1].names == {7: "liver"}
    few = np.minimum(strokes, 4)
    assert stored("labelsTr/c.mha", few)[1] is not None
    assert stored("d.nii.gz", few)[1] is not None


def test_whole_numbers_that_went_through_a_scale_are_labels(stored, coarse, tmp_path):
    labels = stored("a.mha", coarse.labels.data.astype(np.float32) * np.float32(1.00001526))[1]
    assert labels is not None
    assert set(np.unique(labels.data)) == set(np.unique(coarse.labels.data))
    save_map(tmp_path / "again.nii.gz", labels.data, labels)


@pytest.mark.parametrize("name", ["organs.nii.gz", "organs.mha"])
def test_notes_about_labels_are_kept(stored, coarse, tmp_path, name):
    (tmp_path / "organs.json").write_text("{")
    labels = stored(name, coarse.labels.data)[1]
    (line,) = labels.notes
    assert "organs.json were not read" in line
