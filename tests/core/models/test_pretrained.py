"""Weights in folders and repositories, and export of encoders."""

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import save_file

from coralbay_core.errors import DownloadError, InputError, MissingFileError, WeightsError
from coralbay_core.models.encoder import Preprocessing, Tiling
from coralbay_core.models.exporting import TOLERANCE, export_onnx, export_program
from coralbay_core.models.handcrafted import handcrafted_encoder
from coralbay_core.models.loading import load_encoder
from coralbay_core.models.model_card import load_card
from coralbay_core.models.swin3d import Swin3D, Swin3DConfig
from coralbay_core.models.swin_encoder import SwinEncoder
from tests.support.fake_hub import serve
from tests.support.published_weights import (
    CPU,
    SAID,
    encoder_only,
    prefixed,
    randomize,
    reference_maps,
    relative,
    unetr,
    without_index,
)

pytestmark = pytest.mark.forward


def small(residual=False, codes=("S", "P", "L"), tile=64):
    """Encoder with random weights."""
    config = Swin3DConfig(embed_dim=12, depths=(2, 1, 1, 1), heads=(1, 2, 3, 4), window=4, residual_blocks=residual)
    backbone = randomize(Swin3D(config))
    preprocessing = Preprocessing(axis_codes=codes)
    return SwinEncoder(backbone, "small", preprocessing, Tiling(tile, tile), "cpu", torch.float32)


# --- folders ------------------------------------------------------------------------------------------------------


def test_a_folder_gives_the_same_encoder_back(tmp_path):
    encoder = SwinEncoder.from_pretrained("coralbay-mini", **CPU)
    folder = encoder.save_pretrained(tmp_path / "mini")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = SwinEncoder.from_pretrained(folder, **CPU)
    assert (again.name, again.fingerprint) == (encoder.name, encoder.fingerprint)
    assert (again.preprocessing, again.tiling) == (encoder.preprocessing, encoder.tiling)
    x = torch.rand(1, 1, 32, 32, 32)
    for stride, found in again(x, (4, 8)).items():
        assert torch.equal(found, encoder(x, (4, 8))[stride])
    config = json.loads((folder / "config.json").read_text())
    assert config["architecture"]["embed_dim"] == 24


def test_the_page_is_one_of_the_hub(tmp_path):
    page = (small().save_pretrained(tmp_path) / "README.md").read_text("utf-8")
    _, head, text = page.split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "other"
    assert text.lstrip().startswith("# small\n")
    known = load_encoder("coralbay-mini", **CPU)
    page = (known.save_pretrained(tmp_path) / "README.md").read_text("utf-8")
    about = yaml.safe_load(page.split("---\n", 2)[1])
    assert (about["license"], about["library_name"]) == ("apache-2.0", "coralbay")
    assert "## Training" in page
    assert load_card("coralbay-mini").intended_use in page


def test_weights_that_were_cast_are_not_saved(tmp_path):
    encoder = load_encoder("coralbay-mini", device="cpu", precision=torch.bfloat16)
    with pytest.raises(InputError, match=r"cast for this device.*precision=torch.float32"):
        encoder.save_pretrained(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_folder_without_weights(tmp_path):
    with pytest.raises(MissingFileError, match=r"no weights in the folder - .* - found none vs expected model"):
        SwinEncoder.from_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="not an encoder of the SwinUNETR family"):
        SwinEncoder.from_pretrained("hu-patch")


@pytest.fixture
def repository(tmp_path):
    """A folder in the layout of the published CoralBay; its Python must not run."""
    folder = tmp_path / "coralbay"
    folder.mkdir()
    model = unetr()
    save_file(prefixed(encoder_only(without_index(model.state_dict())), "encoder."), folder / "model.safetensors")
    auto = {"AutoModel": "modeling_coralbay.CoralBayModel"}
    (folder / "config.json").write_text(json.dumps({"model_type": "coralbay", "auto_map": auto}))
    (folder / "modeling_coralbay.py").write_text("raise SystemExit('code of the repository ran')\n")
    (folder / "requirements.txt").write_text("transformers\n")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder, model


def test_the_layout_of_the_published_repository(repository):
    folder, model = repository
    encoder = SwinEncoder.from_pretrained(folder, **SAID, **CPU)
    x = torch.rand(1, 1, 64, 32, 32)
    found, expected = encoder(x, (2, 4, 8, 16, 32)), reference_maps(model, x)
    for stride, tensor in found.items():
        assert relative(tensor, expected[stride]) < 1e-3, stride
    with pytest.raises(WeightsError, match=r"do not state how to use them.*merging"):
        SwinEncoder.from_pretrained(folder, axis_codes="SPL")


def test_the_published_repository_is_pinned():
    source = load_card("coralbay").source
    assert (source.repo, len(source.revision)) == ("kaiko-ai/coralbay", 40)


# --- the hub ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_repository_of_the_hub(tmp_path):
    encoder = small()
    content = (encoder.save_pretrained(tmp_path / "made") / "model.safetensors").read_bytes()
    code = "from coralbay_core.models.swin_encoder import SwinEncoder as S; import sys\n"
    code += "print(S.from_pretrained('someone/small', device='cpu').fingerprint)"
    with serve("/someone/small/resolve/main/model.safetensors", content) as (endpoint, _):
        environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf")}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == encoder.fingerprint, done.stderr


def test_a_repository_that_cannot_be_reached(monkeypatch):
    def refuse(*arguments, **keywords):
        raise OSError("no route to the hub")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(
        DownloadError, match=r"could not be fetched - someone/small/model\.safetensors - found no route"
    ):
        SwinEncoder.from_pretrained("someone/small")


def test_an_upload_holds_what_a_folder_holds(monkeypatch):
    uploaded = {}

    class Commit:
        commit_url = "https://hub/someone/small/commit/1"

    def upload(self, *, repo_id, folder_path, commit_message):
        uploaded.update({name: os.path.getsize(os.path.join(folder_path, name)) for name in os.listdir(folder_path)})
        assert (repo_id, commit_message) == ("someone/small", "first")
        return Commit

    created = []
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda self, name, **more: created.append((name, more)))
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", upload)
    address = small().push_to_hub("someone/small", private=True, message="first")
    assert address == Commit.commit_url
    assert created == [("someone/small", {"private": True, "exist_ok": True})]
    assert set(uploaded) == {"README.md", "config.json", "model.safetensors"}
    with pytest.raises(InputError, match="not a repository"):
        small().push_to_hub("small")


# --- export -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("residual", "codes", "tile", "strides"),
    [
        (False, ("S", "P", "L"), None, (4, 8, 16)),
        (True, ("R", "A", "S"), (32, 64, 32), (1, 2, 4, 8, 16, 32)),
    ],
)
def test_an_exported_program_gives_the_same_maps(residual, codes, tile, strides):
    encoder = small(residual, codes)
    program = export_program(encoder, tile=tile, strides=strides)
    size = tile or (64, 64, 64)
    tile = torch.rand(1, 1, *size)
    found = program.module()(tile)
    for stride, tensor in zip(strides, found, strict=True):
        wanted = encoder(tile, strides)[stride]
        assert tensor.shape == wanted.shape
        assert float((tensor - wanted).abs().max() / wanted.abs().max()) < TOLERANCE


@pytest.mark.slow
@pytest.mark.slow
def test_onnx(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    encoder = small(residual=True)
    assert export_onnx(encoder, tmp_path / "m.onnx", tile=32, strides=(4, 8)) < TOLERANCE
    model = onnx.load(tmp_path / "m.onnx")
    assert [value.name for value in model.graph.output] == ["stride_4", "stride_8"]
    about = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert (about["name"], about["window_hu"], about["tile"]) == ("small", [-1000, 1000], [32, 32, 32])


@pytest.mark.parametrize(
    ("make", "settings", "match"),
    [
        (lambda: handcrafted_encoder("hu-patch", "cpu"), {}, "expected an encoder of the SwinUNETR family"),
        (lambda: load_encoder(device="cpu", precision=torch.bfloat16), {}, r"precision=torch.float32"),
        (small, {"tile": 40}, "unusable tile - found 40"),
        (small, {"tile": (64, 64)}, "unusable tile"),
        (small, {"strides": (3,)}, "stages"),
    ],
)
def test_what_cannot_be_exported(make, settings, match):
    with pytest.raises(InputError, match=match):
        export_program(make(), **settings)
