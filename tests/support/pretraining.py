"""What tests of pretraining share: a tiny run, in this process or in others."""

import json
import os
import signal
import subprocess
import sys

import numpy as np

from coralbay_core.pretrain.source import ArraySource
from tests.support.waiting import wait_until

COMMAND = [sys.executable, "-c", "from coralbay_core.cli import main; main()", "pretrain"]
# Small, in float32, the same in every bit.
TINY = ["tiny", "deterministic=true", "threads=1", "monitor.every=1", "views.global_side=32"]
ALL_TERMS = [
    "objective.token_dino.prototypes=32",
    "objective.token_dino.points=24",
    "objective.token_dino.queue=96",
    "objective.masked.prototypes=32",
    "objective.masked.assignment=centring",
    "objective.relations.points=24",
]


def array_source(*phantoms):
    """Phantoms as training volumes."""
    volumes = [np.ascontiguousarray(phantom.volume.data, np.int16) for phantom in phantoms]
    return ArraySource([f"p{i}" for i in range(len(volumes))], volumes, 3.0)


def read_log(folder):
    """Lines of a run's log that say what a step did."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]


def start(*arguments, processes=1):
    """Start ``coralbay pretrain`` in one process, or in several under torchrun."""
    command = [*COMMAND, *map(str, arguments)]
    if processes > 1:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--no-python", "--standalone"]
        command = [*launcher, "--nproc-per-node", str(processes), *command]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, timeout=240):
    """Wait for a process; its exit code and what it wrote on stderr."""
    try:
        _, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, err


def wait_for_step(folder, step, timeout=120):
    """Until the log of a run has come to a step."""

    def reached():
        return (folder / "log.jsonl").is_file() and any(line["step"] >= step for line in read_whole_lines(folder))

    wait_until(reached, timeout)


def read_whole_lines(folder):
    """Lines of a log that is being written."""
    text = (folder / "log.jsonl").read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


__all__ = ["ALL_TERMS", "TINY", "array_source", "finish", "read_log", "signal", "start", "wait_for_step"]


def finished_run(phantom, folder, steps=6, every=2):
    """A run of tiny steps in a folder, by default six with a checkpoint after each two."""
    from coralbay_core.pretrain import pretrain, read_config

    more = [
        "spacing_mm=3",
        "views.shift_mm=18",
        f"steps={steps}",
        f"checkpoint.every={every}",
        "checkpoint.keep=9",
        "card.tile=64",
    ]
    config = read_config(TINY[0], [*TINY[1:], f"output={folder}", f"data={folder.parent}", "card.step=32", *more])
    pretrain(config, source=array_source(phantom))
    return folder
