"""Published checkpoints: each layout is written from MONAI's own modules and read back, feature for feature."""

import os
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.nets.swin_unetr import SwinTransformer, SwinUNETR
from safetensors.torch import save_file

from coralbay_core import load_encoder
from coralbay_core.errors import MissingFileError, WeightsError
from coralbay_core.models.checkpoints import infer_config, map_keys
from coralbay_core.models.encoder import Preprocessing
from coralbay_core.models.swin3d import Swin3D, Swin3DConfig, pooled
from tests.support.published_weights import (
    CPU,
    MONAI_MERGING,
    SAID,
    encoder_only,
    prefixed,
    randomize,
    reference_maps,
    relative,
    require_equal,
    unetr,
)

pytestmark = pytest.mark.forward


# --- layouts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("embed_dim", "v2", "merging"),
    [(12, False, "monai<=1.4"), (12, True, "v2"), (24, True, "monai>=1.5"), (24, False, "monai>=1.5")],
)
def test_swin_unetr(tmp_path, embed_dim, v2, merging):
    model = unetr(embed_dim, v2=v2, merging=merging)
    torch.save({"state_dict": model.state_dict(), "epoch": 3}, tmp_path / "model.pt")
    encoder = load_encoder(tmp_path / "model.pt", **CPU, merging=merging, axis_codes="SPL")
    config = encoder.backbone.config
    assert (config.embed_dim, config.conv_blocks, config.merging, config.residual_blocks) == (
        embed_dim,
        v2,
        merging,
        True,
    )
    assert encoder.name == "model"
    assert encoder.ignored == ("decoder1", "decoder2", "decoder3", "decoder4", "decoder5", "out")
    x = torch.rand(1, 1, 64, 96, 64)
    require_equal(encoder(x, list(encoder.backbone.channels)), reference_maps(model, x))


def test_coralbay_layout_with_its_pooled_vector(tmp_path):
    """Six maps of the wrapped encoder; all but stride 16 pooled are 1152 numbers at embedding 48."""
    model = unetr(48)
    state = encoder_only(model.state_dict())
    del model.decoder1, model.decoder2, model.decoder3, model.decoder4, model.decoder5
    save_file(prefixed(state, "encoder."), tmp_path / "model.safetensors", {"format": "pt"})
    encoder = load_encoder(tmp_path / "model.safetensors", **CPU, card="coralbay", merging="monai>=1.5")
    assert encoder.name == "coralbay"
    assert encoder.ignored == ()
    x = torch.rand(1, 1, 64, 64, 64)
    expected = reference_maps(model, x)
    found = encoder(x, (1, 2, 4, 8, 16, 32))
    require_equal(found, expected)
    vector = torch.cat([m.mean((2, 3, 4)) for stride, m in expected.items() if stride != 16], 1)
    assert vector.shape == (1, 1152)
    assert relative(pooled(found, (1, 2, 4, 8, 32)), vector) < 2e-5


def test_monai_self_supervised_layout(tmp_path):
    """Names of 2022: no ``swinViT.``, MLPs as fc1 and fc2, heads of the pretext tasks."""
    trunk = SwinTransformer(1, 24, (7,) * 3, (2,) * 3, (2,) * 4, (3, 6, 12, 24), downsample=MONAI_MERGING["monai<=1.4"])
    randomize(trunk)
    state = {
        key.replace(".linear1.", ".fc1.").replace(".linear2.", ".fc2."): value
        for key, value in trunk.state_dict().items()
    }
    heads = ("norm", "rotation_head", "contrastive_head", "convTrans3d")
    state |= {f"{head}.{kind}": torch.rand(4) for head in heads for kind in ("weight", "bias")}
    torch.save({"epoch": 1, "state_dict": prefixed(state, "module."), "optimizer": {}}, tmp_path / "model_swinvit.pt")
    encoder = load_encoder(tmp_path / "model_swinvit.pt", **CPU, merging="monai<=1.4", axis_codes="RAS")
    assert encoder.ignored == tuple(sorted(heads))
    assert not encoder.backbone.config.residual_blocks
    x = torch.rand(1, 1, 64, 64, 64)
    # The encoder takes S, P, L and the network was told to be of R, A, S.
    with torch.no_grad():
        hidden = trunk(x.permute(0, 1, 4, 3, 2).flip((2, 3)))
    expected = {2 << i: tensor.flip((2, 3)).permute(0, 1, 4, 3, 2) for i, tensor in enumerate(hidden)}
    require_equal(encoder(x, (2, 4, 8, 16, 32)), expected)


def test_suprem_layout(tmp_path, small):
    model, _, x, expected = small
    net = prefixed(model.state_dict(), "module.backbone.") | {
        "module.precls_conv.0.weight": torch.rand(4),
        "module.GAP.3.weight": torch.rand(4),
        "module.controller.weight": torch.rand(4),
        "module.organ_embedding": torch.rand(4),
        "module.text_to_vision.weight": torch.rand(4),
    }
    training = {"state": {0: {"exp_avg": torch.rand(3), "step": 1}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    torch.save({"net": net, "optimizer": training, "scheduler": {"last_epoch": 1}, "epoch": 1}, tmp_path / "s.pth")
    encoder = load_encoder(tmp_path / "s.pth", **CPU, **SAID)
    assert {"GAP", "controller", "optimizer", "organ_embedding", "precls_conv", "text_to_vision"} < set(encoder.ignored)
    require_equal(encoder(x, list(expected)), expected)


def test_voco_layouts(tmp_path, small):
    """As released, encoder only; and as its training saves it, with projections called student and teacher."""
    _, state, x, expected = small
    torch.save(encoder_only(state), tmp_path / "VoCo_B_SSL_head.pt")
    training = prefixed(encoder_only(state), "module.backbone.")
    for who in ("student", "teacher"):
        training |= {f"module.{who}.layer{i}.0.weight": torch.rand(4) for i in (1, 2, 3)}
    torch.save({"global_step": 1, "state_dict": training}, tmp_path / "training.pt")
    for name in ("VoCo_B_SSL_head.pt", "training.pt"):
        encoder = load_encoder(tmp_path / name, **CPU, **SAID)
        require_equal(encoder(x, list(expected)), expected)
    assert encoder.ignored == ("layer1", "layer2", "layer3")


@pytest.mark.parametrize(
    "prefix", ["", "module.", "encoder.", "module.encoder.", "model.backbone.", "_orig_mod.module.net.", "student."]
)
def test_prefixes(small, prefix):
    state = encoder_only(small[1])
    heads = {"decoder1.x": torch.rand(1), "out.conv.conv.weight": torch.rand(1)}
    mapped = map_keys(prefixed(state | heads, prefix))
    assert mapped.root == prefix
    assert set(mapped.state) == set(state)
    assert mapped.ignored == {"decoder1": 1, "out": 1}


def test_wrappers_and_old_names(small):
    old = {key.replace("swinViT.", "swin_vit."): value for key, value in encoder_only(small[1]).items()}
    tensors = {f"state_dict.module.{key}": value for key, value in old.items()}
    assert set(map_keys(tensors).state) == set(encoder_only(small[1]))


def test_teacher_or_student_is_for_the_user_to_say(tmp_path, small):
    _, state, x, expected = small
    state = encoder_only(state)
    other = {key: torch.zeros_like(value) for key, value in state.items()}
    extra = {"head.mlp.0.weight": torch.rand(2), "dino_head.last.weight": torch.rand(2)}
    both = {"teacher": prefixed(state, "backbone.") | extra, "student": prefixed(other, "backbone.") | extra}
    torch.save(both, tmp_path / "dino.ckpt")
    with pytest.raises(WeightsError, match=r"several encoders .* 'teacher.backbone', 'student.backbone' - choose"):
        load_encoder(tmp_path / "dino.ckpt", **SAID)
    with pytest.raises(WeightsError, match=r"no such part in the weights .* found ema vs"):
        load_encoder(tmp_path / "dino.ckpt", **SAID, part="ema")
    encoder = load_encoder(tmp_path / "dino.ckpt", **CPU, **SAID, part="teacher")
    assert encoder.ignored == ("dino_head", "head", "student.backbone")
    require_equal(encoder(x, (4, 8)), {stride: expected[stride] for stride in (4, 8)})


def test_an_unknown_prefix_must_be_said(small):
    tensors = prefixed(encoder_only(small[1]), "visual.tower.")
    with pytest.raises(WeightsError, match=r"unknown prefix .* found tower, visual .* part='visual.tower'"):
        map_keys(tensors)
    assert map_keys(tensors, part="visual.tower").root == "visual.tower."


# --- architecture -------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    st.builds(
        Swin3DConfig,
        embed_dim=st.sampled_from([12, 24]),
        depths=st.tuples(*[st.integers(1, 3)] * 4),
        heads=st.sampled_from([(3, 6, 12, 24), (2, 4, 4, 12)]),
        window=st.integers(2, 8),
        in_channels=st.integers(1, 4),
        patch=st.just(2),
        mlp_ratio=st.sampled_from([2.0, 4.0]),
        conv_blocks=st.booleans(),
        residual_blocks=st.booleans(),
        merging=st.sampled_from(["monai<=1.4", "monai>=1.5", "v2"]),
    )
)
def test_shapes_tell_the_architecture(config):
    with torch.device("meta"):
        state = Swin3D(config).state_dict()
    assert infer_config(state, config.merging) == config


def test_a_stage_may_have_convolutions_alone():
    """Such a stage shows no heads: it gets what fits its neighbors."""
    config = Swin3DConfig(embed_dim=24, depths=(0, 2, 0, 1), heads=(1, 2, 4, 8), window=4)
    with torch.device("meta"):
        state = Swin3D(config).state_dict()
    assert infer_config(state, config.merging) == config
    with torch.device("meta"):
        nothing = Swin3D(Swin3DConfig(embed_dim=12, depths=(0, 0, 0, 0))).state_dict()
    with pytest.raises(WeightsError, match=r"lack parts .*layers1\.0\.blocks\.0"):
        infer_config(nothing, config.merging)


def test_a_card_must_agree_with_the_shapes(tmp_path, small):
    torch.save(small[1], tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"another architecture .*w.pt - found embed_dim 12 vs expected 48"):
        load_encoder(tmp_path / "w.pt", card="voco-b")


def test_only_ct(tmp_path):
    torch.save(unetr(in_channels=4).state_dict(), tmp_path / "brats.pt")
    with pytest.raises(WeightsError, match=r"not an encoder of CT .* found 4 input channels"):
        load_encoder(tmp_path / "brats.pt", **SAID)


def test_other_networks_are_refused(tmp_path):
    torch.save({"layer1.0.conv.weight": torch.rand(2, 2)}, tmp_path / "resnet.pt")
    with pytest.raises(WeightsError, match=r"no encoder of the SwinUNETR family .*resnet.pt"):
        load_encoder(tmp_path / "resnet.pt", **SAID)
    flat = SwinUNETR(in_channels=1, out_channels=2, feature_size=12, spatial_dims=2)
    torch.save(flat.state_dict(), tmp_path / "flat.pt")
    with pytest.raises(WeightsError, match="not a 3-D encoder"):
        load_encoder(tmp_path / "flat.pt", **SAID)


# --- keys that are too many or too few ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"swinViT.layers1.0.blocks.0.attn.extra": 1}, "does not have .* found swinViT.layers1.0.blocks.0.attn.extra"),
        ({"swinViT.patch_embed.norm.weight": 1}, "does not have .* found swinViT.patch_embed.norm.weight"),
        ({"mystery.weight": 1}, "no known encoder, decoder or head .* found mystery.weight"),
        ({"encoder5.layer.conv1.conv.weight": 1}, "no known encoder, .* found encoder5.layer.conv1.conv.weight"),
        ({"swinViT.layers2.0.blocks.1.mlp.linear1.bias": None}, "lack parts .* found swinViT.layers2.0.blocks.1.mlp"),
        ({"encoder3.layer.conv1.conv.weight": None}, "lack parts of the encoder .* found encoder3.layer.conv1.conv"),
        ({"swinViT.layers4.0.downsample.norm.bias": 5}, "other shapes .* found swinViT.layers4.0.downsample.norm.bias"),
        (
            {"swinViT.layers3.0.blocks.0.attn.relative_position_bias_table": None},
            "lack .* expected swinViT.layers3",
        ),
        ({"swinViT.patch_embed.proj.weight": None}, "no encoder of the SwinUNETR family"),
    ],
)
def test_names_that_do_not_fit_are_named(tmp_path, small, change, match):
    state = dict(small[1])
    for key, size in change.items():
        if size is None:
            del state[key]
        else:
            state[key] = torch.rand(size)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=match):
        load_encoder(tmp_path / "w.pt", **SAID)


# --- what shapes do not tell --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({}, "expected merging, one of monai<=1.4, .*; axis_codes, such as"),
        ({"merging": "v2"}, "expected axis_codes"),
        ({"axis_codes": "RAS"}, "expected merging"),
        ({"card": "coralbay"}, "another architecture|expected merging"),
    ],
)
def test_a_doubtful_case_is_an_error(tmp_path, small, said, asked):
    torch.save(small[1], tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=asked) as caught:
        load_encoder(tmp_path / "w.pt", **said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"merging": "1.5"}, "unknown merging variant - found 1.5 vs expected one of monai<=1.4"),
        ({"axis_codes": "RAR"}, "unusable axis codes - found RAR"),
        ({"axis_codes": "XYZ"}, "unusable axis codes"),
        ({"window_hu": (200, -200)}, "unusable window"),
        ({"spacing_mm": 0}, "unusable spacing"),
    ],
)
def test_statements_are_checked(tmp_path, small, said, match):
    torch.save(small[1], tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=match):
        load_encoder(tmp_path / "w.pt", **SAID | said)


def test_statements_become_the_encoder(tmp_path, small):
    torch.save(small[1], tmp_path / "w.pt")
    plain = load_encoder(tmp_path / "w.pt", **CPU, **SAID)
    told = load_encoder(
        tmp_path / "w.pt", **CPU, merging="monai<=1.4", axis_codes="ras", spacing_mm=2, window_hu=(-175, 250)
    )
    assert plain.preprocessing == Preprocessing()
    assert told.preprocessing == Preprocessing(2, (-175.0, 250.0), ("R", "A", "S"))
    assert plain.fingerprint != told.fingerprint
    assert relative(told(small[2], [8])[8], plain(small[2], [8])[8]) > 0.01


# --- files --------------------------------------------------------------------------------------------------------


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("form", ["zip", "legacy", 2, 4])
def test_a_malicious_pickle_does_not_run(tmp_path, small, form):
    content = {"state_dict": {"swinViT.x": torch.rand(1)}, "hook": Evil(tmp_path / "marker")}
    path = tmp_path / "evil.pt"
    if isinstance(form, int):
        path.write_bytes(pickle.dumps({"hook": Evil(tmp_path / "marker")}, protocol=form))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(WeightsError, match=r"reading them would run code .* convert them to safetensors") as caught:
        load_encoder(path, **SAID)
    assert "mkdir" in str(caught.value) or form == 4
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".bin"])
@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_truncated_files(tmp_path, small, suffix, keep):
    path = tmp_path / f"w{suffix}"
    state = {key: value for key, value in small[1].items() if "layers1" in key}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    with pytest.raises(WeightsError, match="damaged") as caught:
        load_encoder(path, **SAID)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_what_is_no_checkpoint(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(WeightsError, match="not a checkpoint"):
        load_encoder(tmp_path / "text.pt", **SAID)
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.rand(1, 2)), tmp_path / "script.pt")
    with pytest.raises(WeightsError, match="not a checkpoint"):
        load_encoder(tmp_path / "script.pt", **SAID)
    with pytest.raises(MissingFileError, match="no such weights"):
        load_encoder(tmp_path / "absent.pth", **SAID)
    with pytest.raises(MissingFileError, match="no such weights"):
        load_encoder(tmp_path, **SAID)
