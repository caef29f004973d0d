"""What is no model: one line, whatever was given as weights or card."""

import os
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from coralbay_core.errors import CoralBayError, WeightsError
from coralbay_core.models.loading import load_encoder
from coralbay_core.models.model_card import load_card, open_card, parse_card

CARD = load_card("coralbay-mini").to_toml()


def one_line(call, match):
    with pytest.raises(CoralBayError, match=match) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"root:x:0:0:root:/root:/bin/bash\n" * 30, b"", b"\x80", b"]" * 100, b"q\x00" * 9])
@pytest.mark.parametrize("suffix", ["", ".pt", ".safetensors"])
def test_other_files_are_no_weights(tmp_path, content, suffix):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    one_line(lambda: load_encoder(path, device="cpu"), str(path))


def test_pipes_and_devices_are_no_weights(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        one_line(lambda path=path: load_encoder(path, device="cpu"), "no such weights")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("spacing_mm = 1.5", 'spacing_mm = "x"'),
        ("spacing_mm = 1.5", "spacing_mm = nan"),
        ("spacing_mm = 1.5", "spacing_mm = inf"),
        ("spacing_mm = 1.5", "spacing_mm = 1e30"),
        ("spacing_mm = 1.5", "spacing_mm = 1e-9"),
        ("spacing_mm = 1.5", "spacing_mm = true"),
        ("spacing_mm = 1.5", "spacing_mm = [1.5, 1.5]"),
        ("window_hu = [-1000.0, 1000.0]", 'window_hu = "abc"'),
        ("window_hu = [-1000.0, 1000.0]", "window_hu = [1, 2, 3]"),
        ("window_hu = [-1000.0, 1000.0]", 'window_hu = [1, "x"]'),
        ("window_hu = [-1000.0, 1000.0]", "window_hu = [nan, 1]"),
        ("window_hu = [-1000.0, 1000.0]", "window_hu = 5"),
        ('axis_codes = ["S", "P", "L"]', "axis_codes = 5"),
        ("embed_dim =", 'embed_dim = "x" #'),
        ("embed_dim =", "embed_dim = 0 #"),
        ("embed_dim =", "embed_dim = 4.5 #"),
        ("embed_dim =", "embed_dim = 99999999999999999999 #"),
        ("heads =", 'heads = ["a", "b", "c", "d"] #'),
        ("heads =", "heads = [0, 0, 0, 0] #"),
        ("depths =", "depths = 3 #"),
        ("tile =", "tile = -96 #"),
        ("name =", "name = 3 #"),
        ("name =", "unknown = 5\nname ="),
        ("name =", "architecture = 5\nname ="),
    ],
)
def test_malformed_cards(old, new):
    assert old in CARD
    one_line(lambda: parse_card(CARD.replace(old, new, 1), "card.toml"), "malformed|unusable|not TOML")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a = " + b"[" * 5000, b"= 3"])
def test_cards_that_are_no_toml(tmp_path, content):
    (tmp_path / "card.toml").write_bytes(content)
    one_line(lambda: open_card(tmp_path / "card.toml"), "not TOML")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tmp_path, value):
    path = Path(str(files("coralbay_core.models"))) / "cards" / "coralbay-mini.safetensors"
    state = load_file(path)
    key = sorted(state)[0]
    state[key].view(-1)[0] = value
    save_file(state, tmp_path / "broken.safetensors", {"card": CARD})
    with pytest.raises(WeightsError, match=r"damaged weights.*NaN or infinity"):
        load_encoder(tmp_path / "broken.safetensors", device="cpu", precision=torch.float32)
