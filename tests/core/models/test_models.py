"""Model cards, and the commands that fetch, verify and convert weights."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from coralbay_core import load_encoder
from coralbay_core.cli import run
from coralbay_core.errors import MissingFileError, WeightsError
from coralbay_core.models import download
from coralbay_core.models.checkpoints import infer_config
from coralbay_core.models.loading import save_weights, verify_weights
from coralbay_core.models.model_card import list_cards, load_card, parse_card
from coralbay_core.models.swin3d import Swin3D, Swin3DConfig
from tests.support.fake_hub import COMMIT, serve
from tests.support.published_weights import (
    CPU,
    encoder_only,
    prefixed,
    randomize,
    require_equal,
    unetr,
    without_index,
)

pytestmark = pytest.mark.forward


# --- converting ---------------------------------------------------------------------------------------------------


def test_convert_writes_weights_that_need_nothing_more(tmp_path, small):
    _, state, x, expected = small
    torch.save(state, tmp_path / "w.pt")
    out = tmp_path / "mine.safetensors"
    code = run(
        ["models", "convert", str(tmp_path / "w.pt"), "-o", str(out), "--merging", "monai>=1.5"]
        + ["--axis-codes", "SPL", "--window", "-175,250", "--json"]
    )
    assert code == 0
    encoder = load_encoder(out, **CPU)
    assert encoder.name == "mine"
    assert encoder.preprocessing.window_hu == (-175.0, 250.0)
    require_equal(encoder(x, list(expected)), expected)
    assert load_encoder(out, window_hu=(0, 100)).preprocessing.window_hu == (0.0, 100.0)


def test_convert_asks_too(tmp_path, small, capsys):
    torch.save(small[1], tmp_path / "w.pt")
    assert run(["models", "convert", str(tmp_path / "w.pt"), "-o", str(tmp_path / "o.safetensors")]) == 2
    assert "merging, one of" in capsys.readouterr().err
    assert run(["models", "convert", str(tmp_path / "w.pt"), "-o", str(tmp_path / "o.pt")]) == 2
    assert (
        run(["models", "convert", str(tmp_path / "w.pt"), "-o", str(tmp_path / "o.safetensors"), "--window", "1"]) == 2
    )
    assert [path.name for path in tmp_path.iterdir()] == ["w.pt"]


def test_verify_a_file(tmp_path, small, capsys):
    torch.save(small[1], tmp_path / "w.pt")
    assert run(["models", "verify", str(tmp_path / "w.pt"), "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)["results"]
    assert told["sha256"] == download.digest(tmp_path / "w.pt")
    assert told["agrees_with"] is None
    assert "no known checksum" in err
    assert told["architecture"]["embed_dim"] == 12
    assert "merging" not in told["architecture"]
    assert set(told["ignored"]) == {"decoder1", "decoder2", "decoder3", "decoder4", "decoder5", "out"}
    assert told["parameters"] == sum(value.numel() for value in encoder_only(small[1]).values())
    assert run(["models", "verify", str(tmp_path / "w.pt")]) == 0
    assert run(["models", "verify", str(tmp_path / "w.pt"), "--card", "voco-b"]) == 2
    assert "damaged or were replaced" in capsys.readouterr().err


# --- cards --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_cards())
def test_cards_say_what_they_know_and_what_not(name):
    card = load_card(name)
    assert card.name == name
    assert parse_card(card.to_toml()) == card
    assert len(card.sha256) in (0, 64)
    assert len(card.md5) in (0, 32)
    assert card.license
    assert card.intended_use
    assert bool(card.notice) == card.noncommercial
    for key in card.unknown:
        assert card.provenance[key].startswith("not found")
    if card.source is not None:
        assert bool(card.source.repo) != bool(card.source.url)
        assert card.source.page.startswith("https://")
        assert card.citation
        assert {"architecture", "preprocessing", "license", "sha256", "merging"} <= set(card.provenance)
        assert card.sha256 or card.provenance["sha256"].startswith("not found")
    shown = card.to_dict()
    assert (shown["architecture"]["merging"] is None) == ("merging" in card.unknown)


CARD = load_card("coralbay-mini").to_toml()
# The tests' networks have attention in every stage, whatever the shipped one has.
CARD = re.sub(
    r"(?m)^depths = .*$", "depths = [2, 2, 2, 2]", re.sub(r"(?m)^heads = .*$", "heads = [3, 6, 12, 24]", CARD)
)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("name =", 'sumary = "x"\nname =', "unknown keys in a model card .*sumary"),
        ('merging = "monai>=1.5"', "", "merging neither stated nor under `unknown`"),
        ("name =", 'unknown = ["merging"]\nname =', "merging both stated and unknown"),
        ("name =", 'unknown = ["depths"]\nname =', "unusable `unknown`"),
        ('merging = "monai>=1.5"', 'merging = "new"', "unknown merging variant"),
        ("window = 4", "window = [", "not TOML"),
        ("[tiling]", '[source]\nrepo = "a/b"\n[tiling]', "incomplete model card"),
    ],
)
def test_cards_are_strict(old, new, match):
    with pytest.raises(WeightsError, match=match):
        parse_card(CARD.replace(old, new, 1))


def test_a_card_of_ones_own(tmp_path, small):
    torch.save(small[1], tmp_path / "w.pt")
    config = infer_config(encoder_only(small[1]))
    text = CARD.replace("embed_dim = 24", "embed_dim = 12").replace("window = 4", "window = 7")
    text = text.replace("residual_blocks = false", "residual_blocks = true").replace("noncommercial = false", "")
    (tmp_path / "card.toml").write_text(text.replace("name =", "noncommercial = true\nname =", 1))
    encoder = load_encoder(tmp_path / "w.pt", **CPU, card=tmp_path / "card.toml")
    assert encoder.backbone.config == config
    assert encoder.notice == "coralbay-mini: not for commercial use (license: Apache-2.0)"
    with pytest.raises(MissingFileError, match="no such model card"):
        load_encoder(tmp_path / "w.pt", card=tmp_path / "other.toml")


def test_outputs_of_noncommercial_weights_say_so(tmp_path, capsys):
    from coralbay_core.extraction.cache import FeatureStore
    from coralbay_core.extraction.pipeline import features_for
    from coralbay_core.extraction.sliding_window import extract
    from coralbay_core.io import save_map
    from coralbay_core.probe import Probe, load_probe
    from coralbay_core.probe.classifiers import Linear
    from coralbay_core.spatial import Grid, Volume

    text = CARD.replace("embed_dim = 24", "embed_dim = 12").replace("noncommercial = false", "noncommercial = true")
    out = save_weights(tmp_path / "nc.safetensors", randomize(Swin3D(Swin3DConfig(embed_dim=12, window=4))), text)
    encoder = load_encoder(out, **CPU)
    grid = Grid((40, 40, 40), np.diag([-1.5, -1.5, -1.5, 1]) @ np.eye(4)[[2, 1, 0, 3]])
    volume = Volume(np.zeros((40, 40, 40), np.float32), grid)
    maps = extract(volume, encoder, strides=(8,))
    assert "not for commercial use" in maps.notice
    for _ in range(2):  # computed, then from disk
        assert features_for(volume, encoder, strides=(8,), store=FeatureStore(tmp_path)).notice == maps.notice
    classifier = Linear({8: np.zeros((4, 2), np.float32)}, np.zeros(2, np.float32))
    probe = Probe("ridge", classifier, (1, 2), 0, 1.0, "m", "f", {}, "n")
    assert load_probe(probe.save(tmp_path / "p.safetensors")).notice == "n"
    save_map(tmp_path / "ct.nii.gz", volume.data, volume)
    assert run(["embed", str(tmp_path / "ct.nii.gz"), "--stages", "8", "--model", str(out), "--device", "cpu"]) == 0
    assert "not for commercial use" in capsys.readouterr().err


# --- fetching -----------------------------------------------------------------------------------------------------

PATH = f"/kaiko-ai/coralbay/resolve/{COMMIT}/model.safetensors"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file in CoralBay's layout, as bytes; small, so not of the architecture that its card states."""
    path = tmp_path_factory.mktemp("published") / "model.safetensors"
    save_file(prefixed(encoder_only(without_index(unetr().state_dict())), "encoder."), path)
    return path.read_bytes()


@pytest.fixture
def coralbay(tmp_path):
    """Run the command in a process of its own, which reads the hub's environment variables anew."""

    def call(*arguments, endpoint="http://127.0.0.1:9", **variables):
        environment = os.environ | {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "CORALBAY_CACHE": str(tmp_path / "cache"),
            **variables,
        }
        command = [Path(sys.executable).with_name("coralbay"), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert "Traceback" not in done.stderr
        return done

    return call


@pytest.mark.slow
def test_fetch_from_the_hub(coralbay, published, tmp_path):
    before = coralbay("models", "verify", "coralbay")
    assert before.returncode == 2
    assert "weights are not on this machine - coralbay - run `coralbay models fetch coralbay`" in before.stderr
    with serve(PATH, published) as (endpoint, requests):
        done = coralbay("models", "fetch", "coralbay", "--json", endpoint=endpoint)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        path = Path(told["outputs"]["weights"])
        assert path.is_relative_to(tmp_path / "hf")
        assert path.read_bytes() == published
        assert told["results"]["sha256"] == download.digest(path)
        assert told["results"]["agrees_with"] is None
        downloads = [request for request in requests if request[0] == "GET"]
        again = coralbay("models", "fetch", "coralbay", endpoint=endpoint)
        assert again.returncode == 0
        assert "no known checksum" in again.stdout
        assert len([r for r in requests if r[0] == "GET"]) < 2 * len(downloads)
    receipt = json.loads((tmp_path / "cache" / "models" / "coralbay.json").read_text())
    assert receipt["revision"] == COMMIT
    assert receipt["sha256"] == told["results"]["sha256"]

    # Without the hub: the file is found again, and compared with what was fetched.
    verified = coralbay("models", "verify", "coralbay", "--json", HF_HUB_OFFLINE="1")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["results"]["agrees_with"] == "the file as it was fetched"
    refused = coralbay("embed", "ct.nii.gz", "--model", "coralbay", HF_HUB_OFFLINE="1")
    assert refused.returncode == 2
    path.resolve().write_bytes(published[:-4] + b"abcd")
    damaged = coralbay("models", "verify", "coralbay", HF_HUB_OFFLINE="1")
    assert damaged.returncode == 2
    assert "damaged or were replaced" in damaged.stderr


def test_fetch_from_the_hub_resumes(coralbay):
    content = os.urandom(12_000_000)
    with serve(PATH, content, cut=11_000_000) as (endpoint, requests):
        done = coralbay("models", "fetch", "coralbay", "--json", endpoint=endpoint)
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["outputs"]["weights"]).read_bytes() == content
    assert any(method == "GET" and span for method, span in requests)


def test_fetch_checks_the_checksum(coralbay, tmp_path):
    card = load_card("voco-b")
    path = f"/{card.source.repo}/resolve/{card.source.revision}/{card.file}"
    with serve(path, b"not what it should be") as (endpoint, _):
        done = coralbay("models", "fetch", "voco-b", endpoint=endpoint)
    assert done.returncode == 2
    assert "found checksum" in done.stderr
    assert f"expected {card.sha256[:12]}" in done.stderr
    assert not list((tmp_path / "hf").rglob(card.file))
    assert coralbay("models", "verify", "voco-b", HF_HUB_OFFLINE="1").returncode == 2


def test_fetch_without_a_network(coralbay):
    offline = coralbay("models", "fetch", "suprem-swin", HF_HUB_OFFLINE="1")
    assert offline.returncode == 2
    assert "error: offline mode is on - suprem-swin - unset HF_HUB_OFFLINE" in offline.stderr
    ships = coralbay("models", "fetch", "coralbay-mini")
    assert ships.returncode == 2
    assert "ship with the package" in ships.stderr


def test_fetch_what_the_hub_does_not_have(coralbay):
    with serve("/elsewhere", b"") as (endpoint, _):
        done = coralbay("models", "fetch", "suprem-swin", endpoint=endpoint)
    assert done.returncode == 2
    assert "error: the hub has no such file - suprem-swin - found nothing at MrGiovanni/SuPreM/" in done.stderr


def test_fetch_from_an_address_resumes(tmp_path, monkeypatch):
    monkeypatch.setenv("CORALBAY_CACHE", str(tmp_path))
    content = os.urandom(200_000)
    with serve("/w.pt", content) as (address, requests):
        card = own_card(address + "/w.pt")
        part = tmp_path / "models" / "own" / "w.pt.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(content[:150_000])
        verified = download.fetch(card)
        assert verified.path.read_bytes() == content
        assert requests == [("GET", "bytes=150000-")]
        assert download.fetch(card) == verified
        assert len(requests) == 1
    assert download.verify(card).against == "the file as it was fetched"


def test_fetch_from_an_address_that_is_gone(tmp_path, monkeypatch):
    monkeypatch.setenv("CORALBAY_CACHE", str(tmp_path))
    with serve("/w.pt", b"") as (address, _):
        missing = own_card(address + "/other.pt")
        with pytest.raises(WeightsError, match=r"could not be fetched - own - found .*404"):
            download.fetch(missing)
    with pytest.raises(WeightsError, match=r"could not be fetched - own .* is there a network"):
        download.fetch(own_card(address + "/w.pt"))


def own_card(url):
    """A card of weights at an address, of which no known checksum."""
    text = CARD.replace("[tiling]", f'[source]\npage = "here"\nurl = "{url}"\n[tiling]')
    text = text.replace('"coralbay-mini"', '"own"').replace('"coralbay-mini.safetensors"', '"w.pt"')
    return parse_card(text.replace(load_card("coralbay-mini").sha256, ""))


def test_a_model_by_name_before_it_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"not on this machine - monai-ssl - run `coralbay models fetch monai-ssl`"):
        load_encoder("monai-ssl")


def test_verify_weights_that_ship():
    assert verify_weights("coralbay-mini").against == "the sha256 of the card"


def test_one_pass_over_the_whole_body():
    windows, whole = load_encoder("coralbay-mini", device="cpu"), load_encoder("coralbay-mini:whole", device="cpu")
    assert whole.name == "coralbay-mini:whole"
    assert whole.fingerprint != windows.fingerprint
    assert whole.tiling.tile > 1000
    assert load_encoder("hu-patch:whole", device="cpu").name == "hu-patch"
    with pytest.raises(WeightsError, match="unknown model"):
        load_encoder("nothing:whole")
