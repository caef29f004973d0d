"""What watches a run: both kinds of collapse, numbers that are not finite, evaluation and pictures on the way."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from coralbay_core.cli import run
from coralbay_core.errors import InputError
from coralbay_core.io import save_map
from coralbay_core.pretrain import pretrain, read_config
from coralbay_core.pretrain.checkpoint import Checkpoints, write_durably
from coralbay_core.pretrain.config import MonitorConfig
from coralbay_core.pretrain.loop import TrainingStopped
from coralbay_core.pretrain.loss_terms import TERMS, TermOutput, TermSettings
from coralbay_core.pretrain.loss_terms.base import Term
from coralbay_core.pretrain.monitor import Monitor, effective_rank, spread
from coralbay_core.pretrain.objective import LossOutput
from coralbay_core.pretrain.progress import clock
from coralbay_core.pretrain.trainer import StepOutput
from tests.support.disks import full_disk
from tests.support.pretraining import TINY, array_source, read_log
from tests.support.scans import cut

pytestmark = pytest.mark.forward

K = 16


def step_of(assigned, soft=None, rows=None):
    """A step whose one term assigned so."""
    soft = assigned if soft is None else soft
    loss = torch.tensor(3.0)
    maps = torch.randn(8, 12, 2, 2, 2) if rows is None else rows[:, :, None, None, None]
    part = LossOutput(loss, {"dino": TermOutput(loss, assigned, soft)}, {4: maps})
    return StepOutput([part], torch.tensor(1.0))


def alarms_after(*steps, lines=3, **settings):
    monitor = Monitor(MonitorConfig(grace=0, **settings))
    found = []
    for number in range(lines):
        for step in steps:
            monitor.observe(step)
        found += monitor.alarms(number + 1, monitor.line())
    return found


def one_hot(*prototypes):
    return torch.eye(K)[list(prototypes)]


def test_a_healthy_run_raises_no_alarm():
    peaked = torch.full((K, K), 0.5 / K) + 0.5 * torch.eye(K)
    assert alarms_after(step_of(peaked), lines=6) == []


def test_one_prototype_for_all_is_an_alarm():
    found = alarms_after(step_of(one_hot(*[3] * 8)))
    assert any("one-hot collapse, teacher's entropy" in line for line in found)
    assert any("entropy of the mean assignment" in line for line in found)


def test_every_prototype_for_all_is_an_alarm():
    (line,) = alarms_after(step_of(torch.full((8, K), 1 / K)))
    assert "uniform collapse" in line
    assert "1.000 log K" in line


def test_under_sinkhorn_the_mean_is_taken_before_balancing():
    """Targets are balanced by construction, also where the network says the same of everything."""
    targets = torch.full((K, K), 0.5 / K) + 0.5 * torch.eye(K)
    (line,) = alarms_after(step_of(targets, soft=one_hot(*[3] * K)))
    assert "entropy of the mean assignment is 0.000" in line


def test_lost_dimensions_are_an_alarm():
    healthy = torch.full((K, K), 0.5 / K) + 0.5 * torch.eye(K)
    monitor = Monitor(MonitorConfig(grace=0, patience=1, effective_rank=0.3))
    monitor.observe(step_of(healthy, rows=torch.randn(256, 12)))
    assert monitor.alarms(1, monitor.line()) == []
    monitor.observe(step_of(healthy, rows=torch.randn(256, 1) * torch.randn(12)))
    (line,) = monitor.alarms(2, monitor.line())
    assert "stride 4: dimensional collapse" in line


def test_alarms_wait_for_grace_and_patience():
    collapsed = step_of(one_hot(*[3] * 8))
    assert alarms_after(collapsed, lines=2) == []
    assert len(alarms_after(collapsed, lines=9)) == 2  # once, not at every line
    monitor = Monitor(MonitorConfig(grace=50, patience=1))
    monitor.observe(collapsed)
    assert monitor.alarms(49, monitor.line()) == []


def test_what_a_line_says():
    monitor = Monitor(MonitorConfig())
    monitor.observe(step_of(one_hot(0, 1, 2, 3)))
    monitor.observe(step_of(one_hot(0, 1, 2, 3)))
    line = monitor.line()
    assert line["loss"] == line["dino"] == line["dino.kl"] == 3.0
    assert line["dino.teacher_entropy"] == pytest.approx(0, abs=1e-6)
    assert line["dino.mean_entropy"] == pytest.approx(math.log(4), abs=1e-6)
    assert line["dino.used"] == 4 / K
    assert line["gradient_norm"] == 1.0


def test_spread_and_rank_by_hand():
    assert effective_rank(torch.randn(4000, 8)) == pytest.approx(8, rel=0.02)
    assert effective_rank(torch.randn(100, 1) @ torch.randn(1, 8)) == pytest.approx(1, rel=1e-3)
    assert spread(torch.randn(4000, 8)) == pytest.approx(1, rel=0.05)
    assert spread(torch.ones(10, 8)) == pytest.approx(0, abs=1e-6)


@dataclass(frozen=True)
class StumbleSettings(TermSettings):
    """Not finite at some steps.

    Parameters
    ----------
    at : tuple of int
    """

    at: tuple[int, ...] = (2,)


class Stumble(Term):
    """A term that is not a number now and then."""

    name = "stumble"
    Settings = StumbleSettings

    def strides(self):
        return (4,)

    def forward(self, student, teacher, batch, info):
        loss = student.globals[4].float().square().mean()
        return TermOutput(loss * float("nan") if info.step in self.settings.at else loss)


@pytest.fixture
def stumbling(phantom, tmp_path, monkeypatch):
    """Run six steps of which some are not finite."""
    monkeypatch.setitem(TERMS, "stumble", Stumble)

    def call(*settings):
        name, *tiny = TINY
        extra = ["steps=6", "objective.stumble.weight=1", "spacing_mm=3", "views.shift_mm=18", *settings]
        config = read_config(name, [*tiny, f"data={tmp_path}", f"output={tmp_path / 'run'}", *extra])
        return pretrain(config, source=array_source(phantom))

    return call


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(stumbling, tmp_path):
    with pytest.raises(TrainingStopped) as caught:
        stumbling("checkpoint.every=1")
    assert "not finite at step 3: terms stumble" in str(caught.value)
    assert "p0" in str(caught.value)
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps()[-1] == 2


def test_or_the_step_is_skipped(stumbling, tmp_path):
    result = stumbling("monitor.on_non_finite=skip")
    assert result.step == 6
    assert [line["step"] for line in read_log(result.folder)] == [1, 2, 4, 5, 6]
    lines = [json.loads(line) for line in (result.folder / "log.jsonl").read_text().splitlines()]
    assert ["trouble" in line for line in lines].count(True) == 1
    state = Checkpoints(tmp_path / "run" / "checkpoints").load()
    assert all(torch.isfinite(tensor).all() for tensor in state["terms"].values())
    assert all(torch.isfinite(tensor).all() for tensor in state["teacher"].values())


def test_but_not_for_ever(stumbling):
    with pytest.raises(TrainingStopped, match="not finite at step 5"):
        stumbling("monitor.on_non_finite=skip", "monitor.max_skips=2", "objective.stumble.at=[2, 3, 4, 5]")


def test_an_alarm_stops_the_run_if_it_shall(phantom, tmp_path):
    name, *tiny = TINY
    # A teacher as warm as this assigns nothing to anything.
    settings = ["steps=9", "teacher.temperature=50", "teacher.temperature_start=50", "monitor.grace=0"]
    settings += ["monitor.on_alarm=stop", "spacing_mm=3", "views.shift_mm=18", "monitor.patience=2"]
    config = read_config(name, [*tiny, f"data={tmp_path}", f"output={tmp_path / 'run'}", *settings])
    result = pretrain(config, source=array_source(phantom))
    assert result.step == 2
    assert "uniform collapse" in result.stopped
    assert result.weights.is_file()


def test_checkpoints_keep_the_last_and_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", keep=2)
    for step in range(1, 7):
        checkpoints.save(step, {"value": torch.tensor(step)}, {"metrics": {"ap": 0.5}}, best=2)
    assert checkpoints.steps() == [2, 5, 6]
    assert checkpoints.load()["value"] == 6
    assert json.loads(checkpoints.path(2).with_suffix(".json").read_text())["metrics"] == {"ap": 0.5}
    assert {path.suffix for path in (tmp_path / "c").iterdir()} == {".pt", ".json"}


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "x"
    write_durably(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"ne")
        raise OSError("disk full")

    with pytest.raises(InputError, match="disk full"):
        write_durably(path, fail)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_a_run_that_is_there_is_neither_overwritten_nor_mixed(phantom, tmp_path, capsys):
    save_map(tmp_path / "data" / "a.nii.gz", phantom.volume.data, phantom.volume)
    arguments = [
        "pretrain",
        *TINY,
        f"data={tmp_path / 'data'}",
        f"output={tmp_path / 'run'}",
        "steps=2",
        "spacing_mm=3",
    ]
    arguments += ["views.shift_mm=18"]
    assert run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"]["step"] == 2
    assert run(arguments) == 2
    assert "continue it with --resume" in capsys.readouterr().err
    assert run([*arguments, "objective.koleo.weight=0.5", "seed=3", "--resume"]) == 2
    assert "other values of seed, objective.koleo.weight" in capsys.readouterr().err
    assert run([*arguments, "monitor.every=5", "--resume"]) == 0


def test_durations_for_people():
    assert [clock(s) for s in (9.4, 75, 3720)] == ["9 s", "1 min 15 s", "1 h 02 min"]


@pytest.mark.slow
def test_evaluation_on_the_way_keeps_the_best_and_draws(phantom, tmp_path):
    labeled = tmp_path / "labeled"
    volume, labels = (cut(part, phantom.landmarks["L2"], half_mm=75) for part in (phantom.volume, phantom.labels))
    save_map(labeled / "one" / "ct.nii.gz", volume.data, volume)
    save_map(labeled / "one" / "labels.nii.gz", labels.data, volume)
    names = {str(value): name for value, name in phantom.labels.names.items()}
    (labeled / "one" / "labels.json").write_text(json.dumps(names))
    name, *tiny = TINY
    settings = ["steps=4", "evaluation.every=2", f"evaluation.data={labeled}", 'evaluation.tasks=["retrieval"]']
    settings += ["evaluation.metric=retrieval_ap", "spacing_mm=3", "views.shift_mm=18", "checkpoint.keep=1"]
    settings += ["card.tile=64", "card.step=32"]
    config = read_config(name, [*tiny, f"data={tmp_path}", f"output={tmp_path / 'run'}", *settings])
    result = pretrain(config, source=array_source(phantom))
    assert 0 < result.metrics["retrieval_ap"] < 1
    lines = [json.loads(line) for line in (result.folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "evaluation.retrieval_ap" in line] == [2, 4]
    written = {path.name for path in (result.folder / "evaluation").iterdir()}
    assert written == {f"step-000000{step}.{kind}" for step in (2, 4) for kind in ("json", "png")}
    scores = {line["step"]: line["evaluation.retrieval_ap"] for line in lines if "evaluation.retrieval_ap" in line}
    best = max(scores, key=lambda step: (scores[step], step))
    assert set(Checkpoints(result.folder / "checkpoints").steps()) == {best, 4}
    picture = read_picture(result.folder / "evaluation" / "step-0000004.png")
    assert picture.std() > 0.1


def read_picture(path):
    from matplotlib.image import imread

    return np.asarray(imread(path))[..., :3]


def test_a_checkpoint_on_a_full_disk_is_said_in_a_line(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"a": torch.zeros(10)}, {})
    with full_disk(20_000), pytest.raises(InputError, match=r"cannot write - .*step-.*2\.pt - found File too large"):
        checkpoints.save(2, {"a": torch.zeros(100_000)}, {})
    assert checkpoints.steps() == [1]
    assert torch.equal(checkpoints.load()["a"], torch.zeros(10))
    assert not list(tmp_path.glob(".*"))
