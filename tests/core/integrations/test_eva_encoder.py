"""Our encoder as eva's modules use it; eva itself is not needed (tests/with_eva has the tests with it)."""

import copy
import re
from importlib.resources import files

import numpy as np
import pytest
import torch
import yaml

from coralbay_core.errors import InputError
from coralbay_core.integrations.eva import TASKS, CoralBayEncoder, config_path
from coralbay_core.integrations.eva.encoder import family_width, pooled_strides
from coralbay_core.integrations.eva.protocol import deviations
from coralbay_core.models.encoder import EncoderBase, Preprocessing, Stage
from coralbay_core.models.loading import load_encoder, save_weights
from coralbay_core.models.swin3d import Swin3D, Swin3DConfig
from tests.support import ROOT

pytestmark = pytest.mark.forward

CARD = """
name = "family"
summary = "A network with the residual blocks of the family."
license = "Apache-2.0"
file = "family.safetensors"
[architecture]
embed_dim = 12
heads = [1, 2, 3, 4]
residual_blocks = true
merging = "monai>=1.5"
[preprocessing]
spacing_mm = 1.5
window_hu = [-175, 250]
axis_codes = ["R", "A", "S"]
[tiling]
tile = 96
step = 64
"""


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """A checkpoint with all six maps, another window and other axes."""
    torch.manual_seed(0)
    config = Swin3DConfig(embed_dim=12, heads=(1, 2, 3, 4), residual_blocks=True)
    return str(save_weights(tmp_path_factory.mktemp("weights") / "family.safetensors", Swin3D(config), CARD))


def unit(*size):
    return torch.from_numpy(np.random.default_rng(0).random((1, 1, *size), np.float32))


@pytest.mark.parametrize("model", ["coralbay-mini", "family"])
def test_six_maps_are_those_of_the_encoder(model, request):
    model = request.getfixturevalue("family") if model == "family" else model
    encoder = load_encoder(model, device="cpu", precision=torch.float32)
    width = encoder.stages[0].channels
    x = unit(64, 96, 64)
    maps = CoralBayEncoder(model, out_indices=6)(x)
    assert [tensor.shape[1] for tensor in maps] == [width * times for times in (1, 1, 2, 4, 8, 16)]
    assert [tuple(tensor.shape[2:]) for tensor in maps] == [(64 // s, 96 // s, 64 // s) for s in (1, 2, 4, 8, 16, 32)]
    wanted = encoder(x, [stage.stride for stage in encoder.stages])
    for stride, tensor in zip((1, 2, 4, 8, 16, 32), maps, strict=True):
        if stride in wanted:
            assert torch.equal(tensor, wanted[stride])
    assert [tensor.shape for tensor in CoralBayEncoder(model, out_indices=2)(x)] == [m.shape for m in maps[-2:]]


def test_without_a_map_of_stride_1_the_image_takes_its_place():
    x = unit(64, 64, 64)
    first = CoralBayEncoder("coralbay-mini", out_indices=6)(x)[0]
    assert torch.equal(first[:, :1], x)
    assert not first[:, 1:].any()


def test_maps_train_a_decoder_and_nothing_of_the_encoder():
    module = CoralBayEncoder("coralbay-mini", out_indices=6)
    assert not list(module.parameters())
    assert not module.state_dict()
    layer = torch.nn.Conv3d(24, 1, 1)
    layer(module(unit(64, 64, 64))[1]).sum().backward()
    assert layer.weight.grad.abs().sum() > 0
    assert copy.deepcopy(module)(unit(64, 64, 64))[1].shape[1] == 24  # eva copies its modules for each run


def test_pooled_vector_leaves_out_stride_16(family):
    x = unit(64, 64, 64)
    for model, strides in (("coralbay-mini", (2, 4, 8, 32)), (family, (1, 2, 4, 8, 32)), ("hu-patch", (4, 8, 16))):
        encoder = load_encoder(model, device="cpu", precision=torch.float32)
        wanted = torch.cat([encoder(x, strides)[stride].mean((2, 3, 4)) for stride in strides], 1)
        torch.testing.assert_close(CoralBayEncoder(model)(x), wanted)
        assert pooled_strides(encoder.stages) == list(strides)


def test_sides_need_not_be_multiples_of_the_last_stride():
    maps = CoralBayEncoder("coralbay-mini", out_indices=6)(unit(50, 64, 70))
    assert [tuple(tensor.shape[2:]) for tensor in maps][:3] == [(50, 64, 70), (25, 32, 35), (13, 16, 18)]


def test_an_inferer_works_on_windows_when_not_in_training():
    from monai.inferers import SlidingWindowInferer

    x = unit(64, 64, 128)
    module = CoralBayEncoder("coralbay-mini", out_indices=6, inferer=SlidingWindowInferer((64, 64, 64), overlap=0))
    whole = CoralBayEncoder("coralbay-mini", out_indices=6)(x)
    assert torch.equal(module.train()(x)[1], whole[1])
    parts = module.eval()(x)
    left = CoralBayEncoder("coralbay-mini", out_indices=6)(x[..., :64])
    for tensor, wanted, all_at_once in zip(parts, left, whole, strict=True):
        assert tensor.shape == all_at_once.shape
        torch.testing.assert_close(tensor[..., : wanted.shape[-1]], wanted)


class Averager(EncoderBase):
    """An encoder whose maps are the means of its input, so that a ramp says where a cell came from."""

    stages = tuple(Stage(stride, 1) for stride in (2, 4, 8, 16, 32))

    def __call__(self, x, strides):
        return {stride: torch.nn.functional.avg_pool3d(x, stride) for stride in strides}


@pytest.mark.parametrize(("roi", "overlap"), [(96, 0.3333), (128, 0.5), (64, [0, 0, 0.5])])
@pytest.mark.parametrize("size", [40, 144, 202])
def test_windows_of_an_inferer_put_every_cell_in_its_place(roi, overlap, size):
    from monai.inferers import SlidingWindowInferer

    windows = CoralBayEncoder(inferer=SlidingWindowInferer((roi,) * 3, overlap=overlap), out_indices=6).eval()
    whole = CoralBayEncoder(out_indices=6)
    windows._encoder = whole._encoder = Averager()
    ramp = torch.arange(float(size)).expand(1, 1, 40, 64, size).clone()
    for found, wanted in zip(windows(ramp), whole(ramp), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("roi", "overlap"), [(96, 0.5), (80, 0), (96, (0, 0, 0.75))])
def test_windows_between_cells_are_refused(roi, overlap):
    from monai.inferers import SlidingWindowInferer

    with pytest.raises(InputError, match="windows do not start on cells of the model - inferer - found") as refused:
        CoralBayEncoder(inferer=SlidingWindowInferer((roi,) * 3, overlap=overlap))
    assert "multiples of 32" in str(refused.value)
    CoralBayEncoder("hu-patch", inferer=SlidingWindowInferer((96,) * 3, overlap=0.5))  # its last stride is 16


def test_other_windows_become_that_of_the_model():
    module = CoralBayEncoder("hu-patch", input_hu=(-1000, 400))

    class Recorder(EncoderBase):
        stages = (Stage(2, 1),)
        preprocessing = Preprocessing(window_hu=(-175.0, 250.0))

        def __call__(self, x, strides):
            self.seen = x
            return {2: x[:, :, ::2, ::2, ::2]}

    module._encoder = Recorder()
    hu = torch.tensor([-1000.0, -175.0, 37.5, 250.0, 400.0])
    module(((hu + 1000) / 1400).expand(1, 1, 2, 2, 5).repeat(1, 1, 1, 1, 2))
    torch.testing.assert_close(module._encoder.seen[0, 0, 0, 0, :5], torch.tensor([0, 0, 0.5, 1, 1]))


@pytest.mark.parametrize("model", ["hu-patch", "hu-context", "coralbay-mini:compact"])
def test_models_without_the_maps_of_the_family_are_refused_for_segmentation(model):
    with pytest.raises(InputError, match="lacks the maps of the SwinUNETR family"):
        CoralBayEncoder(model, out_indices=6)
    with pytest.raises(InputError, match="1 to 6"):
        CoralBayEncoder("coralbay-mini", out_indices=7)
    assert CoralBayEncoder(model)(unit(64, 64, 64)).ndim == 2


def test_the_width_of_a_family_is_that_of_its_first_map():
    stages = tuple(Stage(stride, channels) for stride, channels in ((2, 8), (4, 16), (8, 32), (16, 64), (32, 128)))
    assert family_width("x", stages) == 8
    with pytest.raises(InputError, match="x - found"):
        family_width("x", (*stages[:4], Stage(32, 100)))


def test_every_task_has_a_configuration_or_a_reason():
    for name, task in TASKS.items():
        if task.lacks == "the data set":
            with pytest.raises(InputError, match=f"no configuration - {task.title}"):
                config_path(name)
            continue
        text = config_path(name).read_text()
        assert f"eva {task.command} --config" in text
        content = yaml.safe_load(text)
        assert task.metric in str(content["trainer"]["init_args"]["callbacks"])
        assert str(content).count("coralbay_core.integrations.eva.CoralBayEncoder") == 1
    shipped = {entry.name for entry in (files("coralbay_core.integrations.eva") / "configs").iterdir()}
    assert shipped == {f"{name}.yaml" for name, task in TASKS.items() if task.lacks != "the data set"}
    with pytest.raises(InputError, match="unknown task of eva"):
        config_path("nothing")


SEGMENTATION = [name for name, task in TASKS.items() if task.command == "fit" and task.lacks != "the data set"]
OWN = {
    "trainer.init_args.default_root_dir",
    "trainer.init_args.logger.0.init_args.save_dir",
    "trainer.init_args.max_steps",
    "model.init_args.lr_scheduler.scheduler.init_args.T_max",
    "model.init_args.metrics.evaluation.1.init_args.labels",
}
"""What a segmentation task has of its own, beside its data set and the number of its classes."""


def leaves(content, place=""):
    """Values of a configuration by where they stand; the names of its classes count as one."""
    if not isinstance(content, (dict, list)) or place.endswith(".labels"):
        return {place: content}
    items = content.items() if isinstance(content, dict) else enumerate(content)
    return {k: v for key, part in items for k, v in leaves(part, f"{place}.{key}".strip(".")).items()}


@pytest.mark.parametrize("name", [name for name in SEGMENTATION if name != "btcv"])
def test_segmentation_differs_from_btcv_only_where_a_task_must(name):
    first, other = (leaves(yaml.safe_load(config_path(task).read_text())) for task in ("btcv", name))
    count = "model.init_args.decoder.init_args.out_channels"
    differing = {key for key in first.keys() | other.keys() if first.get(key) != other.get(key)}
    differing -= {key for key in differing if (first.get(key), other.get(key)) == (first[count], other[count])}
    differing -= {key for key in differing if re.search(r"datasets\.(train|val)\..*(class_path|root|download)$", key)}
    if name == "word":  # it has a test set
        differing -= {key for key in differing if re.search(r"(datasets|dataloaders)\.test\.", key)}
    assert differing <= OWN
    assert len(other["model.init_args.metrics.evaluation.1.init_args.labels"]) == other[count]


def test_every_variable_of_a_configuration_is_in_the_documentation():
    documented = (ROOT / "docs" / "reference" / "eva.md").read_text()
    texts = [config_path(name).read_text() for name, task in TASKS.items() if task.lacks != "the data set"]
    variables = {name for text in texts for name in re.findall(r"oc\.env:(\w+)", text)}
    assert {name for name in variables if f"`{name}`" not in documented} == set()


def test_what_a_run_differs_in_is_said_of_our_own_configurations_as_they_are():
    for name, task in TASKS.items():
        if task.lacks != "the data set":
            content = yaml.safe_load(config_path(name).read_text())
            assert deviations(content, name) == ""
            assert deviations(content | {"trainer": {"init_args": {"max_steps": 7}}}, name) == "7 steps"
            text = config_path(name).read_text().replace("CHECKPOINT_TYPE, best", "CHECKPOINT_TYPE, last")
            text = text.replace(f"MONITOR_METRIC, val/{task.metric}", "MONITOR_METRIC, val/AverageLoss")
            assert deviations(yaml.safe_load(text), name) == "last checkpoint, chosen by val/AverageLoss"


def test_eva_command_lists_tasks_and_names_a_configuration(coralbay, succeed):
    code, out, _ = coralbay("eva", "btcv")
    assert code == 0
    assert out.strip() == str(config_path("btcv"))
    code, out, _ = coralbay("eva")
    assert "eva predict_fit" in out
    assert ": CHAOS (the data set" in out
    code, _, err = coralbay("eva", "chaos")
    assert code == 2
    assert err.count("\n") == 1
    tasks = succeed("eva")["results"]["tasks"]
    assert [task["name"] for task in tasks if not task["ready"]] == ["chaos"]
