"""SegResNet encoders of CT-FM and VISTA3D: files in their published layout, written from MONAI's own modules."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.networks.nets import SegResNetDS2
from monai.networks.nets.segresnet_ds import SegResEncoder
from monai.networks.nets.vista3d import VISTA3D, ClassMappingClassify, PointMappingSAM
from safetensors.torch import save_file

from coralbay_core.errors import WeightsError
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.models import adapted, segresnet_encoder
from coralbay_core.models.encoder import check_strides
from coralbay_core.models.loading import inspect_weights, load_encoder
from coralbay_core.spatial import Grid, LabelVolume, Volume, geometry
from tests.support.published_weights import randomize

pytestmark = pytest.mark.forward

SMALL = 8
DEPTHS = (1, 2, 2, 4, 4)
NAMES = ["ct-fm", "vista3d"]


def ct_fm(filters=SMALL):
    """The encoder alone, at the top level of a safetensors file, with batch statistics."""
    network = randomize(SegResEncoder(init_filters=filters, blocks_down=DEPTHS))
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            buffer.normal_()
    return network, network


def vista3d(filters=SMALL):
    """The whole model in a checkpoint of torch, its encoder in ``image_encoder.encoder``; as MONAI's `vista3d132`."""
    segresnet = SegResNetDS2(
        in_channels=1, blocks_down=DEPTHS, norm="instance", out_channels=filters, init_filters=filters, dsdepth=1
    )
    model = VISTA3D(
        image_encoder=segresnet,
        class_head=ClassMappingClassify(n_classes=16, feature_size=filters, use_mlp=True),
        point_head=PointMappingSAM(feature_size=filters, n_classes=16, last_supported=4),
    )
    return randomize(model), model.image_encoder.encoder


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Path and MONAI's own encoder of each model, in small."""
    folder = tmp_path_factory.mktemp("weights")
    found = {}
    for name, make, file in (("ct-fm", ct_fm, "model.safetensors"), ("vista3d", vista3d, "model.pt")):
        whole, encoder = make()
        path = folder / name / file
        path.parent.mkdir()
        state = {key: value.contiguous() for key, value in whole.state_dict().items()}
        save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
        found[name] = path, encoder
    return found


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Recognize models by as few channels as the files of these tests have."""
    small = {name: replace(model, filters=SMALL) for name, model in adapted.ADAPTED_MODELS.items()}
    monkeypatch.setattr(segresnet_encoder, "ADAPTED_MODELS", small)


@pytest.mark.parametrize("name", NAMES)
def test_maps_are_those_of_monai(published, name):
    path, encoder = published[name]
    loaded = load_encoder(path, device="cpu", precision=torch.float32)
    x = torch.rand(2, 1, 32, 48, 32)
    with torch.no_grad():
        expected = encoder(x)
        moved = segresnet_encoder.centered
        found = loaded.network(x, (1, 2, 4, 8, 16))
    for number, cells in enumerate(expected):
        stride = 2**number
        wanted = cells if stride == 1 else moved(cells, [(stride - 1) / 2 / stride] * 3)
        torch.testing.assert_close(found[stride], wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    assert loaded.channels == {2**n: SMALL * 2**n for n in range(5)}
    fewer = loaded.network(x, (4,))
    torch.testing.assert_close(fewer[4], found[4])


@pytest.mark.parametrize(
    ("name", "codes", "spacing", "window"),
    [("ct-fm", "SPL", 1.0, (-1024, 2048)), ("vista3d", "RAS", 1.5, (-963.8247715525971, 1053.678477684517))],
)
def test_the_published_preprocessing_is_used(published, name, codes, spacing, window):
    encoder = load_encoder(published[name][0], device="cpu")
    about = encoder.preprocessing
    assert ("".join(about.axis_codes), about.spacing_mm, about.window_hu) == (codes, spacing, window)
    assert f"taken for {name}" in encoder.notice
    assert ("not for commercial use" in encoder.notice) == (name == "vista3d")
    other = load_encoder(published[name][0], device="cpu", window_hu=(-500.0, 500.0))
    assert other.preprocessing == replace(about, window_hu=(-500.0, 500.0))
    assert other.fingerprint != encoder.fingerprint


def test_vista3d_sees_the_axes_that_it_was_trained_on(published):
    path, network = published["vista3d"]
    encoder = load_encoder(path, device="cpu", precision=torch.float32)
    x = torch.rand(1, 1, 32, 48, 64)
    ras = x.permute(0, 1, 4, 3, 2).flip(2, 3)  # S, P, L to R, A, S
    with torch.no_grad():
        expected = network(ras)[0].flip(2, 3).permute(0, 1, 4, 3, 2)
    torch.testing.assert_close(encoder(x, [1])[1], expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cells_lie_where_their_grid_says(published, name, axis):
    """With smooth positive weights, a ramp and its mirror image have equal values in the middle of the volume."""
    network = segresnet_encoder.SegResNet(2, (1, 1, 1), "batch")
    for key, parameter in network.named_parameters():
        parameter.data.fill_(0.05 if parameter.ndim > 1 else 1.0 if key.endswith("weight") else 0.0)
    about = adapted.ADAPTED_MODELS[name].preprocessing
    encoder = segresnet_encoder.SegResNetEncoder(network, "small", about, "cpu", torch.float32)
    side = 48
    rising = (torch.arange(side) / (side - 1)).view([side if a == axis else 1 for a in range(3)])
    ramps = torch.stack([rising.expand(side, side, side), (1 - rising).expand(side, side, side)])[:, None]
    up, down = encoder(ramps, [4])[4].mean(1)
    line = (up - down).movedim(axis, 0)[:, 6, 6]
    assert float(line[6]) > 0
    assert float(line[6]) == pytest.approx(-float(line[5]), rel=1e-3)


def test_weights_by_name_are_those_of_the_hub(published, monkeypatch):
    from coralbay_core.models import download

    monkeypatch.setattr(download, "locate", lambda card: None)
    with pytest.raises(WeightsError, match=r"coralbay models fetch ct-fm"):
        load_encoder("ct-fm", device="cpu")
    monkeypatch.setattr(download, "locate", lambda card: published[card.name][0])
    encoder = load_encoder("vista3d", device="cpu")
    assert (encoder.name, encoder.preprocessing.axis_codes) == ("vista3d", ("R", "A", "S"))
    assert encoder.notice.startswith("vista3d: not for commercial use")


def test_other_segresnets_need_their_preprocessing(tmp_path):
    network = randomize(SegResEncoder(init_filters=4, blocks_down=(1, 1)))
    path = tmp_path / "mine.pt"
    torch.save({"state_dict": {f"model.encoder.{key}": value for key, value in network.state_dict().items()}}, path)
    with pytest.raises(WeightsError, match=r"do not state how to use them.*axis_codes, spacing_mm, window_hu") as error:
        load_encoder(path, device="cpu")
    assert "\n" not in str(error.value)
    encoder = load_encoder(path, device="cpu", axis_codes="ras", spacing_mm=2.0, window_hu=(-175.0, 250.0))
    assert (encoder.name, encoder.channels, encoder.notice) == ("mine", {1: 4, 2: 8}, "")
    assert encoder.preprocessing.axis_codes == ("R", "A", "S")
    with pytest.raises(WeightsError, match="SwinUNETR family only"):
        load_encoder(path, device="cpu", merging="monai>=1.5")


def test_weights_that_do_not_fit_are_one_line(published, tmp_path):
    _, network = published["ct-fm"]
    state = dict(network.state_dict())
    del state["layers.3.blocks.2.conv2.weight"]
    save_file(state, tmp_path / "less.safetensors")
    with pytest.raises(WeightsError, match="do not fit a SegResNet encoder") as error:
        load_encoder(tmp_path / "less.safetensors", device="cpu")
    assert "\n" not in str(error.value)


def test_a_checkpoint_is_described(published):
    about = inspect_weights(published["vista3d"][0])
    assert about["architecture"] == {"filters": SMALL, "depths": DEPTHS, "norm": "instance"}
    assert about["prefix"] == "image_encoder.encoder."
    assert set(about["ignored"]) == {"image_encoder", "class_head", "point_head"}


@pytest.mark.parametrize("name", NAMES)
def test_they_work_wherever_a_model_is_asked_for(published, phantom, name):
    """Features, click, colors, probe, scorecard and evaluation."""
    from coralbay_core.evaluate.methods import encoder_method
    from coralbay_core.probe import fit_probe
    from coralbay_core.projection import fit_basis
    from coralbay_core.similarity import heat_map

    low = np.rint(phantom.volume.grid.to_index(phantom.landmarks["L2"])).astype(int) - 16
    part = tuple(slice(a, a + 32) for a in low)
    grid = Grid((32, 32, 32), phantom.volume.affine @ geometry.translate(low))
    volume = Volume(phantom.volume.data[part], grid)
    names = {name: value for value, name in phantom.labels.names.items()}
    whole = phantom.labels.data[part]
    painted = 3 * (whole == names["vertebrae_L2"]) + 7 * (whole == names["autochthon_left"])
    labels = LabelVolume(painted.astype(np.uint8), grid)
    encoder = load_encoder(published[name][0], device="cpu")
    strides = check_strides(encoder, (4, 8))
    features = features_for(volume, encoder, strides=strides, store=False)
    assert all(np.isfinite(features.stage(stride).data).all() for stride in strides)
    click = volume.grid.cell_positions(labels.data == 3)[0]
    heat = heat_map(features, click)
    assert heat.resample_to(volume.grid).shape == volume.shape
    colors = fit_basis(features).rgb(features)
    assert colors.resample_to(volume.grid).shape == (*volume.shape, 3)
    probe = fit_probe(features, labels)
    made = probe.scores(features).segment(volume.grid).labels
    assert set(np.unique(made)) <= {3, 7}
    assert encoder_method(encoder, store=False).describe(volume).fingerprint == encoder.fingerprint


@pytest.mark.slow
@pytest.mark.parametrize(("name", "make", "filters"), [("ct-fm", ct_fm, 32), ("vista3d", vista3d, 48)])
def test_files_of_the_published_size_are_recognized(tmp_path, monkeypatch, name, make, filters):
    monkeypatch.setattr(segresnet_encoder, "ADAPTED_MODELS", adapted.ADAPTED_MODELS)
    whole, _ = make(filters)
    torch.save(whole.state_dict(), tmp_path / "model.pt")
    encoder = load_encoder(tmp_path / "model.pt", device="cpu")
    assert f"taken for {name}" in encoder.notice
    assert encoder.channels == {2**n: filters * 2**n for n in range(5)}
    millions = sum(p.numel() for p in encoder.network.parameters()) / 1e6
    assert millions == pytest.approx({"ct-fm": 77.8, "vista3d": 175}[name], rel=0.01)
