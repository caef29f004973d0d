"""The product on real patients, from the command line: slow, because it computes features of whole scans."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

pytestmark = pytest.mark.slow


def coralbay(*arguments) -> dict:
    command = [Path(sys.executable).with_name("coralbay"), *map(str, arguments), "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)["results"]


def at(position_mm) -> str:
    return "--at=" + ",".join(f"{v:.1f}" for v in position_mm)


def test_a_click_in_the_liver_lights_the_liver(ct_pack, tmp_path):
    case = ct_pack / "labelled" / "totalseg_example"
    values = {name: int(value) for value, name in json.loads((case / "labels.json").read_text()).items()}
    image = nib.load(case / "labels.nii.gz")
    labels = np.asarray(image.dataobj)
    liver = labels == values["liver"]
    muscle = np.isin(
        labels, [values[f"{name}_{side}"] for name in ("autochthon", "iliopsoas") for side in ("left", "right")]
    )
    # Padded, so that a liver that the scan cuts off is not deepest at the cut.
    depth = ndimage.distance_transform_edt(np.pad(liver, 1))[1:-1, 1:-1, 1:-1]
    click_mm = nib.affines.apply_affine(image.affine, np.unravel_index(depth.argmax(), depth.shape))

    told = coralbay("query", case / "ct.nii.gz", at(click_mm), "-o", tmp_path / "heat.nii.gz", "--top", 3)

    heat = nib.load(tmp_path / "heat.nii.gz")
    np.testing.assert_allclose(heat.affine, image.affine, atol=1e-4)
    data = heat.get_fdata()
    assert np.isfinite(data).all()
    # Without the liver's own edge, where a voxel is partly something else; the muscle is the half that is closer.
    inside, far = depth >= 4, ndimage.distance_transform_edt(~liver)
    beside = muscle & (far <= np.median(far[muscle]))
    # How often a voxel of the liver is brighter than one of the muscle beside it; 0.5 would be chance.
    brighter = np.searchsorted(np.sort(data[beside]), data[inside]).mean() / beside.sum()
    assert brighter > 0.7
    best = np.array(told["top"][0]["position_mm"])
    assert liver[tuple(np.rint(nib.affines.apply_affine(np.linalg.inv(image.affine), best)).astype(int))]


@pytest.mark.parametrize("folder", ["dicom_lung_rtstruct", "dicom_body_jpeg2000"])
def test_a_dicom_folder_is_answered(ct_pack, tmp_path, folder):
    from coralbay_core.io import load_volume
    from coralbay_core.spatial.body_mask import body_mask

    volume = load_volume(ct_pack / "raw" / folder)
    body = body_mask(volume.data, volume.grid.spacing_mm)
    depth = ndimage.distance_transform_edt(body & (volume.data > 0), sampling=volume.grid.spacing_mm)
    click_mm = volume.grid.to_world(np.unravel_index(depth.argmax(), depth.shape))

    coralbay("query", ct_pack / "raw" / folder, at(click_mm), "-o", tmp_path / "heat.nii.gz")

    heat = load_volume(tmp_path / "heat.nii.gz")
    assert heat.grid == volume.grid
    assert heat.data[tuple(np.rint(volume.grid.to_index(click_mm)).astype(int))] >= np.percentile(heat.data[body], 99)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_gives_the_same_features(ct_pack, precision):
    import torch

    from coralbay_core import load_encoder, load_volume
    from coralbay_core.spatial.preprocessing import to_unit

    volume = load_volume(ct_pack / "labelled" / "totalseg_example" / "ct.nii.gz")
    crop = volume.data[60:124, 60:124, 60:124].astype(np.float32)
    x = torch.from_numpy(to_unit(crop, (-1000.0, 1000.0)))[None, None]
    strides = (2, 4, 8, 16, 32)
    exact = load_encoder(device="cpu", precision=torch.float32)(x, strides)
    rounded = load_encoder(device="cpu", precision=getattr(torch, precision))(x, strides)
    for stride in strides:
        cosine = torch.nn.functional.cosine_similarity(exact[stride], rounded[stride], dim=1)
        assert cosine.mean() > 0.999
        assert cosine.min() > 0.99
