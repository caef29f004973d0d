"""Radiology tasks of eva's leaderboard, their support in release 0.4.5, and CoralBay's configurations."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ...errors import InputError

RELEASE = "0.4.5"


@dataclass(frozen=True)
class EvaTask:
    """A task of eva's leaderboard.

    Parameters
    ----------
    name : str
        Name of the task in eva's published table, and of its configuration.
    title : str
    dataset : str
        Name of eva's class.
    metric : str
        Main metric, by eva's name.
    command : str
        Command of eva that runs the configuration.
    lacks : str
        Parts that the release of eva lacks.
    """

    name: str
    title: str
    dataset: str
    metric: str
    command: str
    lacks: str = ""


_NO_CONFIG = "a published configuration, as far as we found"


def _segmentation(name: str, title: str, dataset: str, lacks: str = "") -> EvaTask:
    return EvaTask(name, title, dataset, "DiceScore", "fit", lacks)


def _classification(name: str, title: str, dataset: str, metric: str, lacks: str) -> EvaTask:
    return EvaTask(name, title, dataset, metric, "predict_fit", lacks)


TASKS = {
    task.name: task
    for task in (
        _segmentation("btcv", "BTCV", "BTCV"),
        _segmentation("lits17", "LiTS17", "LiTS17"),
        _segmentation("msd_task7_pancreas", "MSD Task 7 Pancreas", "MSDTask7Pancreas"),
        _segmentation("flare22", "FLARE22", "FLARE22", _NO_CONFIG),
        _segmentation("word", "WORD", "WORD", _NO_CONFIG),
        _segmentation("kits23", "KiTS23", "KiTS23", "a published 3-D configuration, as far as we found"),
        _segmentation("chaos", "CHAOS", "CHAOS", "the data set"),
        _classification(
            "organ_mnist_3d",
            "OrganMNIST3D",
            "OrganMNIST3D",
            "MulticlassAccuracy",
            f"{_NO_CONFIG}, and names of items, without which predict_fit fails",
        ),
        _classification(
            "nodule_mnist_3d",
            "NoduleMNIST3D",
            "NoduleMNIST3D",
            "BinaryBalancedAccuracy",
            f"{_NO_CONFIG}, and names of items, without which predict_fit fails",
        ),
        _classification(
            "luna25",
            "LUNA25",
            "LUNA25",
            "BinaryBalancedAccuracy",
            f"{_NO_CONFIG}, names of items, and the use of its own split",
        ),
        _classification(
            "cc_ccii",
            "CC-CCII",
            "CC_CCII",
            "MulticlassAccuracy",
            f"{_NO_CONFIG}, names of items that are no absolute paths, and the range of values",
        ),
    )
}
"""All tasks of the leaderboard, by name."""


def has_config(name: str) -> bool:
    """Whether there is a configuration for a task, i.e. eva's release can run it."""
    return _path(name).is_file()


def config_path(name: str) -> Path:
    """Path of the configuration of a task, for ``eva fit --config`` or ``eva predict_fit --config``.

    Raises
    ------
    InputError
        If the task is unknown, or eva's release cannot run it.
    """
    if name not in TASKS:
        raise InputError("unknown task of eva", found=name, expected=f"one of {', '.join(TASKS)}")
    if not has_config(name):
        raise InputError("no configuration", where=TASKS[name].title, hint=f"eva {RELEASE} lacks {TASKS[name].lacks}")
    return _path(name)


def _path(name: str) -> Path:
    return Path(str(files(__package__) / "configs" / f"{name}.yaml"))
