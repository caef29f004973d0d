"""Configurations: read, overridden, refused as a whole, resolved; schedules as arrays."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coralbay_core.cli import run
from coralbay_core.errors import MissingFileError
from coralbay_core.models.swin3d import Swin3D, Swin3DConfig
from coralbay_core.pretrain import ConfigError, read_config
from coralbay_core.pretrain.config import OptimizerConfig, PretrainConfig, TeacherConfig
from coralbay_core.pretrain.config_loader import config_from, packaged
from coralbay_core.pretrain.resolve import check, resolve
from coralbay_core.pretrain.schedules import cosine, make_schedules
from coralbay_core.pretrain.trainer import decay_groups
from tests.support import ROOT


def read(tmp_path, *settings, config="tiny"):
    return read_config(config, [f"data={tmp_path}", f"output={tmp_path / 'run'}", *settings])


def problems(call):
    with pytest.raises(ConfigError) as caught:
        call()
    return caught.value.problems


@pytest.mark.parametrize("name", ["base", "mini", "tiny"])
def test_packaged_configurations_are_sound(name, tmp_path):
    assert name in packaged()
    config = read(tmp_path, config=name)
    check(config)
    assert resolve(dataclasses.replace(config, device="cpu")).config.precision in ("bf16", "fp32")


def test_base_is_the_published_family_without_residual_blocks():
    config = read_config("base").model
    assert (config.embed_dim, config.residual_blocks, config.window) == (48, False, 7)
    assert sum(p.numel() for p in Swin3D(config).parameters()) == pytest.approx(18.6e6, rel=0.01)


def test_files_and_overrides(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nsteps = 5\n[optimizer]\nclip = 1\n[objective.dino]\nstrides = [4, 8]\n')
    config = read_config(path, ["optimizer.learning_rate=1e-3", "objective.koleo.weight=0.2", "data=some where/x"])
    assert config.optimizer == OptimizerConfig(clip=1.0, learning_rate=1e-3)
    assert config.objective["dino"].strides == (4, 8)
    assert config.objective["koleo"].weight == 0.2
    assert config.data == "some where/x"
    assert isinstance(config.optimizer.clip, float)


def test_a_budget_on_the_command_line_replaces_that_of_the_file():
    assert (read_config("mini").minutes, read_config("mini").steps) == (0.0, 1300)
    config = read_config("mini", ["steps=10"])
    assert (config.minutes, config.steps) == (0.0, 10)
    config = read_config("tiny", ["minutes=3"])
    assert (config.minutes, config.steps) == (3.0, "auto")


def test_all_that_cannot_be_read_is_told_at_once():
    wrong = {
        "nonsense": "not a setting: nonsense - expected key=value",
        "objective.dino.prototype=3": "unknown setting objective.dino.prototype - did you mean prototypes?",
        "objective.dyno.weight=1": "unknown term objective.dyno - did you mean dino?",
        "optimizer.clp=3": "unknown setting optimizer.clp - did you mean clip?",
        "batch_size=many": "batch_size is 'many', expected a whole number",
        "views.flip=[1, 0]": "views.flip is [1, 0], expected a list of 3 times a number",
        "view.locals=1": "unknown setting view - did you mean views?",
        "deterministic=1": "deterministic is 1, expected true or false",
        "monitor.on_alarm=cry": "monitor.on_alarm is 'cry', expected 'warn' or 'stop'",
    }
    assert sorted(problems(lambda: read_config("tiny", list(wrong)))) == sorted(wrong.values())


def test_the_former_name_of_the_batch_size_is_accepted_with_a_warning(tmp_path, capsys):
    with pytest.warns(FutureWarning, match="places is now called batch_size"):
        assert read_config("tiny", ["places=6"]).batch_size == 6
    path = tmp_path / "old.toml"
    path.write_text("places = 8\nsteps = 1\n")
    lines = []
    assert read_config(path, warn=lines.append).batch_size == 8
    assert read_config(path, ["batch_size=4"], warn=lines.append).batch_size == 4
    assert len(lines) == 2
    assert config_from({"places": 12}).batch_size == 12  # recorded by an older version
    assert run(["pretrain", str(path)]) == 2
    assert capsys.readouterr().err.splitlines()[0].startswith("warning: setting places")


def test_values_of_the_network_are_checked():
    (line,) = problems(lambda: read_config("tiny", ["model.heads=[5,6,12,24]"]))
    assert "heads do not divide channels" in line
    assert problems(lambda: read_config("tiny", ["model=swin"]))[0].startswith("model is 'swin', expected a table")
    with pytest.raises(MissingFileError, match="one of base, mini, tiny"):
        read_config("mni")


CONTRADICTIONS = {
    "steps=5 minutes=3": "both steps=5 and minutes=3 are set",
    "steps=auto": "length of the run is missing",
    "batch_size=5 accumulate=2": "does not divide into 2 parts",
    "views.globals=1": "at least 2",
    "views.global_side=24": "below the deepest stride 32",
    "views.local_side=32 model.residual_blocks=true": "need more than 32 voxels",
    "views.shift_mm=40": "share too little",
    "views.level_hu=[100,-100]": "the lower one first",
    "views.noise_share=1.5": "expected 0 to 1",
    "teacher.temperature=0": "above 0",
    "objective.masked.block=6": "no multiple of strides",
    "objective.masked.views=3": "between 1 and views.globals",
    "objective.tokens.strides=[3]": "has no strides [3]",
    "objective.dino.weight=0 objective.tokens.weight=0 objective.koleo.weight=0": "no term",
    "deterministic=true device=cuda": "needs device=cpu",
    "precision=fp16 device=cpu": "needs a GPU",
    "evaluation.every=5": "nothing to measure on",
    'evaluation.every=5 evaluation.phantom=true evaluation.tasks=["x"]': "unknown x",
    "evaluation.every=5 evaluation.phantom=true evaluation.metric=luck": "unknown luck",
    "evaluation.every=5 evaluation.data=/nowhere": "no such file or folder",
    "data=/nowhere": "no such folder",
}


@pytest.mark.parametrize("settings_", CONTRADICTIONS)
def test_contradictions(tmp_path, settings_):
    config = read(tmp_path, *settings_.split())
    assert any(CONTRADICTIONS[settings_] in line for line in problems(lambda: check(config)))


def test_processes_must_share_places_and_queues(tmp_path):
    config = read(tmp_path, "batch_size=4", "objective.dino.queue=33")
    check(config)
    found = problems(lambda: check(config, world=3))
    assert any("on 3 processes" in line for line in found)
    assert problems(lambda: check(config, world=2)) == ["objective.dino.queue 33 does not divide into 2 processes"]


def test_auto_values_say_why(tmp_path):
    resolved = resolve(read(tmp_path, "device=cpu", "batch_size=24"))
    assert resolved.config.optimizer.learning_rate == pytest.approx(1e-3)
    assert resolved.config.loader.workers == 0
    assert resolved.reasons["loader.workers"] == "0: training on the CPU"
    assert set(resolved.reasons) >= {"precision", "optimizer.learning_rate", "loader.memory_gb", "threads"}
    left = [name for name, value in dataclasses.asdict(resolved.config).items() if value == "auto"]
    assert not left


def test_the_command_prints_a_line_each_and_exits_with_2(tmp_path, capsys):
    assert run(["pretrain", "tiny", "optimizer.clp=3", "batch_size=many"]) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 2
    assert all(line.startswith("error: ") for line in err)
    assert run(["pretrain", "tiny", "views.globals=1", f"output={tmp_path}"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


@settings(max_examples=40)
@given(steps=st.integers(1, 300), warmup=st.floats(0, 1), freeze=st.floats(0, 1))
def test_schedules_are_arrays_over_all_steps(steps, warmup, freeze):
    made = make_schedules(
        steps,
        1e-3,
        OptimizerConfig(warmup=warmup, freeze_last=freeze, final_weight_decay=0.4),
        TeacherConfig(temperature_start=0.04, temperature=0.07, temperature_warmup=warmup),
    )
    lengths = {f.name: len(getattr(made, f.name)) for f in dataclasses.fields(made)}
    assert set(lengths.values()) == {steps} == {len(made)}
    assert (made.learning_rate > 0).all()
    assert made.learning_rate.max() <= 1e-3
    assert (np.diff(made.momentum) >= 0).all()
    assert (np.diff(made.weight_decay) >= 0).all()
    assert (np.diff(made.teacher_temperature) >= -1e-12).all()
    assert made.last_layer_learns.sum() == steps - round(freeze * steps)


def test_a_schedule_by_hand():
    np.testing.assert_allclose(cosine(1, 0, 3), [1, 0.5, 0])
    made = make_schedules(6, 1.0, OptimizerConfig(warmup=1 / 3, final_learning_rate=0.0), TeacherConfig())
    np.testing.assert_allclose(made.learning_rate, [1 / 3, 2 / 3, 1, 0.75, 0.25, 0], atol=1e-9)


def test_weight_decay_spares_biases_norms_and_position_biases():
    backbone = Swin3D(Swin3DConfig(embed_dim=12, window=4))
    decayed, spared = decay_groups(backbone)
    names = {id(p): name for name, p in backbone.named_parameters()}
    assert all("norm" not in names[id(p)] and "bias" not in names[id(p)] for p in decayed["params"])
    assert any("bias_table" in names[id(p)] for p in spared["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(names)
    assert all(isinstance(p, torch.Tensor) for p in decayed["params"])


def test_every_setting_is_explained():
    """Docstrings are the reference: each field of each table has a line there."""
    from coralbay_core.pretrain.settings_docs import tables

    for table, rows in tables().items():
        assert rows, table
        assert all(row.meaning for row in rows), (table, [row.name for row in rows if not row.meaning])
    assert {row.name for row in tables()["objective.dino"]} >= {"weight", "strides", "prototypes"}
    assert PretrainConfig.__doc__


def test_the_documentation_lists_the_settings_as_they_are():
    from coralbay_core.pretrain.settings_docs import renewed

    path = ROOT / "docs" / "reference" / "pretraining-settings.md"
    page = path.read_text("utf-8")
    assert renewed(page) == page, f"run: python -m coralbay_core.pretrain.settings_docs {path}"


@pytest.mark.parametrize("text", ["two", "-1", "1.5", ""])
def test_variables_of_torchrun_that_are_no_numbers(monkeypatch, text):
    from coralbay_core.errors import InputError
    from coralbay_core.pretrain.distributed import environment_number

    monkeypatch.setenv("WORLD_SIZE", text)
    with pytest.raises(InputError, match="environment variable WORLD_SIZE"):
        environment_number("WORLD_SIZE", 1)
