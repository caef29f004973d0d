"""Whole runs of pretraining: killed and resumed, stopped politely, on two processes, and what users get of them."""

import json
import shutil
import signal

import numpy as np
import pytest
import torch

from coralbay_core import load_encoder
from coralbay_core.io import save_map
from coralbay_core.models.checkpoints import read_tensors
from coralbay_core.models.model_card import parse_card
from coralbay_core.pretrain import pretrain, read_config
from coralbay_core.pretrain.checkpoint import Checkpoints
from coralbay_core.pretrain.export import ship
from tests.support.pretraining import ALL_TERMS, TINY, finish, read_log, start, wait_for_step

pytestmark = pytest.mark.forward


@pytest.fixture(scope="module")
def scans(phantom, tmp_path_factory):
    """A folder with two small CTs."""
    folder = tmp_path_factory.mktemp("scans")
    save_map(folder / "a.nii.gz", phantom.volume.data, phantom.volume)
    save_map(folder / "b.nii.gz", phantom.volume.data[::-1], phantom.volume)
    return folder


def options(scans, output, *more):
    return [*TINY, f"data={scans}", f"output={output}", "spacing_mm=3", "views.shift_mm=18", *more]


@pytest.fixture(scope="module")
def whole(scans, tmp_path_factory):
    """A run of eight steps in one go, with every term."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    name, *settings = options(scans, folder, "steps=8", *ALL_TERMS)
    return pretrain(read_config(name, settings))


def same_files(first, second):
    first, second = read_tensors(first)[0], read_tensors(second)[0]
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_learns_and_logs(whole):
    log = read_log(whole.folder)
    assert [line["step"] for line in log] == list(range(1, 9))
    terms = {"dino", "tokens", "koleo", "token_dino", "masked"}
    watched = {"gradient_norm", "dino.teacher_entropy", "dino.kl", "dino.mean_entropy", "dino.used", "std.4", "rank.4"}
    assert terms | watched | {"wait_share", "seconds_per_step"} <= set(log[0])
    assert all(np.isfinite(list(line.values())).all() for line in log)
    assert log[-1]["loss"] < log[0]["loss"]
    recorded = json.loads((whole.folder / "run.json").read_text())
    assert recorded["auto"]["precision"].startswith("fp32: deterministic")
    assert recorded["config"]["optimizer"]["learning_rate"] > 0


def test_the_weights_are_a_model_with_a_filled_card(whole):
    encoder = load_encoder(whole.weights, device="cpu", precision=torch.float32)
    maps = encoder(torch.rand(1, 1, 32, 32, 32), [4, 32])
    assert maps[4].shape == (1, 24, 8, 8, 8)
    assert torch.isfinite(maps[32]).all()
    tensors, metadata = read_tensors(whole.weights)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    card = parse_card(metadata["card"])
    assert card.training["steps"] == 8
    assert card.training["volumes"] == 2
    assert "masked" in card.training["method"]
    assert card.preprocessing.spacing_mm == 3.0


def test_shipped_weights_carry_their_checksum(whole, tmp_path):
    weights, card = ship(whole.weights, tmp_path)
    parsed = parse_card(card.read_text())
    assert parsed.file == weights.name
    from coralbay_core.models.download import digest

    assert parsed.sha256 == digest(weights)


@pytest.mark.slow
def test_a_killed_run_resumes_as_if_nothing_had_happened(scans, whole, tmp_path):
    arguments = options(scans, tmp_path / "run", "steps=8", *ALL_TERMS, "checkpoint.every=3")
    process = start(*arguments)
    wait_for_step(tmp_path / "run", 4)
    process.send_signal(signal.SIGKILL)
    finish(process)
    assert not (tmp_path / "run" / "tiny.safetensors").exists()
    code, err = finish(start(*arguments, "--resume"))
    assert code == 0, err
    assert same_files(tmp_path / "run" / "tiny.safetensors", whole.weights)
    timing = {"seconds", "seconds_per_step", "wait_share", "cut_share", "places_per_second"}
    mine, theirs = (
        [{k: v for k, v in line.items() if k not in timing} for line in read_log(folder)]
        for folder in (tmp_path / "run", whole.folder)
    )
    assert mine == theirs
    left = {path.name for path in (tmp_path / "run" / "checkpoints").glob("*.pt")}
    assert left == {"step-0000006.pt", "step-0000008.pt"}


def test_what_a_killed_run_left_half_written_is_swept(tmp_path):
    known = Checkpoints(tmp_path, keep=1)
    known.save(3, {}, {})
    (tmp_path / "step-0000005.json").write_text("{}")  # killed before its checkpoint was there
    (tmp_path / ".step-0000005.pt.part").write_bytes(b"half")
    known.save(6, {}, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0000006.json", "step-0000006.pt"]


def test_what_a_killed_run_did_not_come_to_remove_goes_when_it_is_resumed(whole, scans, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole.folder, folder)
    (folder / "checkpoints" / "step-0000001.json").write_text("{}")  # killed after its last checkpoint, in removing
    before = {path.name for path in (whole.folder / "checkpoints").iterdir()}
    name, *settings = options(scans, folder, "steps=8", *ALL_TERMS)
    pretrain(read_config(name, settings), resume=True)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == before


@pytest.mark.slow
def test_sigterm_saves_and_exits_cleanly(scans, whole, tmp_path):
    arguments = options(scans, tmp_path / "run", "steps=8", *ALL_TERMS)
    process = start(*arguments)
    wait_for_step(tmp_path / "run", 2)
    process.send_signal(signal.SIGTERM)
    code, err = finish(process)
    assert code == 0, err
    assert "stopped: SIGTERM" in err
    done = read_log(tmp_path / "run")[-1]["step"]
    assert done < 8
    assert (tmp_path / "run" / "checkpoints" / f"step-{done:07d}.pt").is_file()
    load_encoder(tmp_path / "run" / "tiny.safetensors", device="cpu")
    code, err = finish(start(*arguments, "--resume"))
    assert code == 0, err
    assert same_files(tmp_path / "run" / "tiny.safetensors", whole.weights)


@pytest.mark.slow
def test_two_processes_reach_the_loss_of_one(scans, whole, tmp_path):
    code, err = finish(start(*options(scans, tmp_path / "two", "steps=8", *ALL_TERMS), processes=2))
    assert code == 0, err
    alone, together = read_log(whole.folder), read_log(tmp_path / "two")
    for key in ("loss", "dino", "tokens", "koleo", "token_dino", "masked", "gradient_norm"):
        # Before the first update sums differ by rounding alone; after it AdamW turns that into steps.
        assert together[0][key] == pytest.approx(alone[0][key], rel=1e-4), key
    losses = [[line["loss"] for line in log] for log in (together, alone)]
    np.testing.assert_allclose(*losses, rtol=2e-3)


def test_accumulated_parts_count_like_one_batch(scans, tmp_path):
    """Of terms without a look at the whole batch: InfoNCE looks at one place only."""
    results = []
    for parts in (1, 2):
        name, *settings = options(scans, tmp_path / str(parts), "steps=2", f"accumulate={parts}", "batch_size=4")
        off = ["objective.dino.weight=0", "objective.koleo.weight=0"]
        results.append(read_log(pretrain(read_config(name, [*settings, *off])).folder))
    assert results[0][1]["loss"] == pytest.approx(results[1][1]["loss"], rel=1e-5)
    assert results[0][1]["gradient_norm"] == pytest.approx(results[1][1]["gradient_norm"], rel=1e-4)


def test_minutes_become_steps_after_a_trial(scans, tmp_path):
    name, *settings = options(scans, tmp_path / "run", "minutes=0.05")
    result = pretrain(read_config(name, settings))
    recorded = json.loads((result.folder / "run.json").read_text())
    assert result.step == result.steps == recorded["config"]["steps"] >= 1
    assert "0.05 minutes at" in recorded["auto"]["steps"]
