"""Pipelines of MONAI with transforms and networks of CoralBay."""

import json
import pickle

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import run
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from coralbay_core import features_for, load_encoder, load_labels, similarity
from coralbay_core.errors import InputError
from coralbay_core.integrations.monai import (
    CoralBayFeaturesd,
    CoralBayHeatd,
    CoralBaySegmentd,
    export_bundle,
    preparation,
    swin_unetr,
)
from coralbay_core.io import save_map
from coralbay_core.models.encoder import Preprocessing, Tiling
from coralbay_core.models.swin3d import Swin3D, Swin3DConfig
from coralbay_core.models.swin_encoder import SwinEncoder
from coralbay_core.probe import fit_probe
from coralbay_core.spatial.preprocessing import model_grid
from tests.support.published_weights import randomize, reference_maps, relative
from tests.support.scans import cut

pytestmark = [
    pytest.mark.forward,
    # LoadImaged of MONAI makes all of its readers, among them one whose package is absent.
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning"),
]

MODEL = "hu-patch"


@pytest.fixture(scope="module")
def files(phantom, tmp_path_factory):
    """A CT around a vertebra, and its labels, as files."""
    folder = tmp_path_factory.mktemp("monai")
    ct = cut(phantom.volume, phantom.landmarks["L2"])
    labels = cut(phantom.labels, phantom.landmarks["L2"])
    save_map(folder / "ct.nii.gz", ct.data, ct)
    save_map(folder / "labels.nii.gz", labels.data, labels)
    return folder, ct, tuple(map(float, phantom.landmarks["L2"]))


@pytest.fixture(scope="module")
def loaded(files):
    """The CT as a pipeline of MONAI gives it."""
    pipeline = Compose([LoadImaged("image"), EnsureChannelFirstd("image")])
    return pipeline({"image": str(files[0] / "ct.nii.gz"), "at_mm": [files[2]]})


# --- transforms ---------------------------------------------------------------------------------------------------


def test_features_have_their_grid_and_the_image_stays(files, loaded):
    image = loaded["image"]
    before, affine = image.as_tensor().clone(), image.affine.clone()
    found = CoralBayFeaturesd("image", MODEL, strides=(8, 16))(loaded)
    assert found["image"] is image
    assert torch.equal(image.as_tensor(), before)
    assert torch.equal(image.affine, affine)
    features = features_for(files[1], load_encoder(MODEL), strides=(8, 16))
    for stride in (8, 16):
        stage, tensor = features.stages[stride], found[f"image_stride_{stride}"]
        assert isinstance(tensor, MetaTensor)
        assert tuple(tensor.shape) == stage.shape
        np.testing.assert_allclose(tensor.affine.numpy(), stage.grid.affine)
        np.testing.assert_allclose(tensor.numpy(), stage.data.astype(np.float32), atol=2e-2)


def test_a_heat_map_lies_on_the_image(files, loaded):
    found = CoralBayHeatd("image", MODEL, strides=(8, 16))(loaded)["image_heat"]
    image = loaded["image"]
    assert found.shape == image.shape
    np.testing.assert_allclose(found.affine.numpy(), image.affine.numpy())
    index = np.linalg.inv(image.affine.numpy()) @ [*files[2], 1]
    x, y, z = np.rint(index[:3]).astype(int)
    assert float(found[0, x, y, z]) > np.percentile(found.numpy(), 95)
    features = features_for(files[1], load_encoder(MODEL), strides=(8, 16))
    heat = similarity.heat_map(features, [files[2]]).resample_to(files[1].grid)
    np.testing.assert_allclose(np.sort(found.numpy().ravel()), np.sort(heat.ravel()), atol=2e-2)
    away = CoralBayHeatd("image", MODEL, strides=(8, 16), not_key="at_mm")(loaded)["image_heat"]
    assert float(away[0, x, y, z]) < float(found[0, x, y, z])


def test_a_probe_segments(files, loaded, tmp_path):
    folder, ct, _ = files
    labels = load_labels(folder / "labels.nii.gz", like=ct)
    probe = fit_probe(features_for(ct, load_encoder(MODEL), strides=(8, 16)), labels)
    probe.save(tmp_path / "p.safetensors")
    found = CoralBaySegmentd("image", tmp_path / "p.safetensors", refine=False)(loaded)["image_seg"]
    assert found.shape == loaded["image"].shape
    np.testing.assert_allclose(found.affine.numpy(), loaded["image"].affine.numpy())
    assert set(np.unique(found.numpy())) <= {0, *probe.values}


def test_a_pipeline_travels_to_workers(loaded):
    pipeline = pickle.loads(pickle.dumps(Compose([CoralBayFeaturesd("image", MODEL, strides=(16,))])))
    assert pipeline(loaded)["image_stride_16"].ndim == 4


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ({}, "no positions in the dictionary - at_mm"),
        ({"at_mm": [1, 2]}, r"not positions - at_mm - found shape \(2,\)"),
    ],
)
def test_positions_that_are_none(loaded, data, match):
    with pytest.raises(InputError, match=match):
        CoralBayHeatd("image", MODEL)({"image": loaded["image"], **data})


# --- bundle -------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning")  # said of every bundle
@pytest.mark.parametrize("model", [MODEL, pytest.param("small", marks=pytest.mark.slow)])
def test_a_bundle_runs(files, tmp_path, monkeypatch, model):
    folder, ct, _ = files
    encoder = load_encoder(MODEL) if model == MODEL else encoder_of(residual=False)
    labels = load_labels(folder / "labels.nii.gz", like=ct)
    probe = fit_probe(features_for(ct, encoder, strides=(8, 16)), labels)
    config = export_bundle(tmp_path / "bundle", probe, encoder)
    monkeypatch.chdir(tmp_path / "bundle")
    metadata = json.loads((tmp_path / "bundle" / "configs" / "metadata.json").read_text())
    run(config_file=str(config), input=str(folder / "ct.nii.gz"), device="cpu")
    found = load_labels(tmp_path / "bundle" / "output" / "ct_seg.nii.gz", like=ct)
    # The bundle runs in the precision that suits the machine.
    running = encoder if model == MODEL else encoder_of(residual=False, precision=None)
    expected = probe.scores(features_for(ct, running, strides=(8, 16))).segment(ct.grid, guide=ct).labels
    assert (found.data == expected).mean() > 0.999
    assert set(metadata["network_data_format"]["outputs"]["pred"]["channel_def"]) == set(map(str, probe.values))
    other = encoder_of(residual=True)
    with pytest.raises(InputError, match="probe of another model"):
        export_bundle(tmp_path / "other", probe, other)


# --- networks -----------------------------------------------------------------------------------------------------


def encoder_of(merging="monai>=1.5", residual=True, conv=True, codes=("S", "P", "L"), precision=torch.float32):
    config = Swin3DConfig(
        embed_dim=12,
        depths=(2, 1, 1, 1),
        heads=(1, 2, 3, 4),
        window=4,
        residual_blocks=residual,
        conv_blocks=conv,
        merging=merging,
    )
    preprocessing = Preprocessing(axis_codes=codes)
    return SwinEncoder(randomize(Swin3D(config)), "random", preprocessing, Tiling(64, 64), "cpu", precision)


@pytest.mark.parametrize("merging", ["monai<=1.4", "monai>=1.5", "v2"])
def test_the_encoder_of_a_swin_unetr_gives_our_maps(merging):
    encoder = encoder_of(merging, conv=merging != "v2")
    network = swin_unetr(encoder, 3).eval()
    x = torch.rand(1, 1, 64, 32, 32)
    expected = reference_maps(network, x)
    for stride, found in encoder(x, tuple(expected)).items():
        assert relative(found, expected[stride]) < 1e-4, stride
    assert network(x).shape == (1, 3, 64, 32, 32)


@torch.no_grad()
def test_an_encoder_without_residual_blocks():
    encoder = encoder_of(residual=False)
    network = swin_unetr(encoder, 2).eval()
    x = torch.rand(1, 1, 64, 32, 32)
    maps = encoder(x, (2, 4, 8, 16, 32))
    for found, (stride, expected) in zip(network.swinViT(x), maps.items(), strict=True):
        assert relative(found, expected) < 1e-4, stride
    assert all(parameter.requires_grad for parameter in network.encoder1.parameters())


def test_frozen_weights_are_shared_and_others_copied():
    encoder = encoder_of()
    ours = encoder.backbone.swinViT.patch_embed.proj.weight
    shared = swin_unetr(encoder, 2)
    assert shared.swinViT.patch_embed.proj.weight.data_ptr() == ours.data_ptr()
    assert not any(parameter.requires_grad for parameter in shared.swinViT.parameters())
    assert all(parameter.requires_grad for parameter in shared.decoder1.parameters())
    own = swin_unetr(encoder, 2, freeze=False)
    assert own.swinViT.patch_embed.proj.weight.data_ptr() != ours.data_ptr()
    assert all(parameter.requires_grad for parameter in own.parameters())
    assert torch.equal(own.swinViT.patch_embed.proj.weight, ours)


def test_an_architecture_that_does_not_fit():
    with pytest.raises(InputError, match="not of the SwinUNETR family"):
        swin_unetr(load_encoder(MODEL), 2)
    odd = Swin3D(Swin3DConfig(embed_dim=8, heads=(1, 2, 4, 8), depths=(1, 1, 1, 1), window=4))
    with pytest.raises(InputError, match=r"does not fit MONAI's SwinUNETR - odd - found embedding 8"):
        swin_unetr(SwinEncoder(odd, "odd", device="cpu", precision=torch.float32), 2)
    with pytest.raises(InputError, match=r"precision=torch.float32"):
        swin_unetr(load_encoder(device="cpu", precision=torch.bfloat16), 2)


@pytest.mark.parametrize("codes", [("S", "P", "L"), ("R", "A", "S")])
def test_preparation_gives_the_tensor_that_weights_were_trained_on(files, codes):
    folder, ct, _ = files
    encoder = encoder_of(codes=codes)
    made = preparation(encoder, "image", labels="label")(
        {"image": str(folder / "ct.nii.gz"), "label": str(folder / "labels.nii.gz")}
    )
    assert nib.aff2axcodes(made["image"].affine.numpy()) == codes
    np.testing.assert_allclose(made["image"].pixdim, 1.5, atol=1e-6)
    assert 0 <= float(made["image"].min()) <= float(made["image"].max()) <= 1
    assert made["label"].shape == made["image"].shape
    assert set(np.unique(made["label"].numpy())) <= set(np.unique(nib.load(folder / "labels.nii.gz").dataobj))
    assert abs(np.prod(made["image"].shape) / np.prod(model_grid(ct.grid).shape) - 1) < 0.1
