"""eva's own command on tiny data: from a configuration to a results file and a row of the leaderboard."""

import json

import numpy as np
import pytest
from tiny import scores, write_btcv, write_organ_mnist

from coralbay_core.integrations.eva import config_path
from coralbay_core.models.loading import convert_weights

pytestmark = pytest.mark.slow


def test_fit_of_a_checkpoint_ends_in_a_dice_and_a_row(run_eva, tmp_path, capsys):
    from coralbay_core.cli import run

    weights = tmp_path / "mine.safetensors"
    convert_weights("coralbay-mini", weights)
    results = run_eva(
        "fit",
        config_path("btcv"),
        MODEL_NAME=weights,
        DATA_ROOT=write_btcv(tmp_path / "btcv"),
        N_RUNS=1,  # eva 0.4.5 fails at the end of several runs if a class is nowhere in the validation set
        MAX_STEPS=5,
        VAL_CHECK_INTERVAL=5,
        BATCH_SIZE=1,
        SAMPLE_BATCH_SIZE=1,
        SW_BATCH_SIZE=1,
        ROI_SIZE="[64, 64, 64]",
        SW_OVERLAP=0,
    )
    dice = scores(results)["val/DiceScore"]
    assert len(dice["values"]) == 1
    assert 0 < dice["mean"] < 1
    assert {"val/DiceScore_6_liver", "val/DiceScore_1_spleen"} <= set(scores(results))
    assert run(["leaderboard", str(results), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]["rows"]
    assert (row["name"], row["model"], row["task"], row["runs"]) == ("mine", str(weights), "btcv", 1)
    assert row["deviates"].startswith("5 steps, 1 run, ")
    assert "windows of 64, overlap 0" in row["deviates"]
    assert row["mean"] == pytest.approx(dice["mean"])


def test_predict_fit_learns_from_the_vectors_of_the_encoder(run_eva, tmp_path):
    import torch

    from coralbay_core.integrations.eva import CoralBayEncoder
    from coralbay_core.integrations.eva.datasets import OrganMNIST3D

    root = write_organ_mnist(tmp_path / "organs")
    results = run_eva(
        "predict_fit",
        config_path("organ_mnist_3d"),
        DATA_ROOT=root,
        EMBEDDINGS_ROOT=tmp_path / "embeddings",
        N_RUNS=1,
        MAX_STEPS=2,
        LR_VALUE=0.01,
    )
    assert scores(results)["val/MulticlassAccuracy"]["values"]
    (kept,) = torch.load(tmp_path / "embeddings" / "coralbay-mini" / "organ_mnist_3d" / "val" / "00002.pt")
    volume, _, _ = OrganMNIST3D("val", root=str(root))[2]
    vector = CoralBayEncoder(input_hu=(-160, 240))(volume[None])[0]
    np.testing.assert_allclose(kept, vector, rtol=1e-4, atol=1e-5)
