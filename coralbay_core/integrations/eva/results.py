"""Numbers out of eva's files: ``results.json`` of a run, and the published table."""

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...card import DEFAULT_MODEL
from ...errors import InputError, MissingFileError
from ..rows import EVA_PUBLISHED, EVA_RUN, Row, model_name
from .tasks import TASKS

_METRICS = ("DiceScore", *dict.fromkeys(task.metric for task in TASKS.values()), "BinaryAccuracy")
_OF_DATASET = {task.dataset: task.name for task in TASKS.values()} | {"CCCCII": "cc_ccii"}
_HINT = "expected a results.json that eva wrote, with its config.yaml beside it"


def find_results(path: Path) -> list[Path]:
    """The file itself, or all ``results.json`` below a folder.

    Raises
    ------
    MissingFileError
    """
    if path.is_file():
        return [path]
    found = sorted(path.rglob("results.json")) if path.is_dir() else []
    if not found:
        raise MissingFileError("no results of eva", where=path, hint="expected a results.json, or a folder with some")
    return found


def read_run(path: Path) -> Row:
    """The deciding number of a run: of the test set where there is one, else of the validation set, as eva reports.

    Model and task are read from the ``config.yaml`` that eva writes beside the results.

    Raises
    ------
    InputError
        If the file is none of eva's, has no such number, or does not say what it is of.
    """
    splits = _splits(path)
    model, task = _what_of(path.with_name("config.yaml"))
    for split in ("test", "val"):
        for metric in _preferred(task):
            for measured in splits[split]:
                if f"{split}/{metric}" in measured:
                    return _row(path, model, task, metric, split, measured[f"{split}/{metric}"])
    raise InputError("no score in the results", where=path, expected=" or ".join(_METRICS))


def _splits(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        metrics = json.loads(path.read_text("utf-8"))["metrics"]
        return {split: list(metrics.get(split) or []) for split in ("val", "test")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError("not a results file of eva", where=path, hint=_HINT) from None


def _preferred(task: str) -> tuple[str, ...]:
    return (TASKS[task].metric,) if task in TASKS else _METRICS


def _row(path: Path, model: str, task: str, metric: str, split: str, found: Any) -> Row:
    try:
        mean, sd, runs = float(found["mean"]), float(found["stdev"]), len(found["values"])
    except (KeyError, TypeError, ValueError):
        raise InputError("unreadable score", where=f"{path}, {split}/{metric}", found=found, hint=_HINT) from None
    if not math.isfinite(mean):
        raise InputError("score is no number", where=f"{path}, {split}/{metric}", found=mean)
    return Row(model, task, metric, mean, path, EVA_RUN, split, sd if runs > 1 else None, runs)


def _what_of(path: Path) -> tuple[str, str]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text("utf-8"))
        model, dataset = _model_of(content), _dataset_of(content)
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        model = dataset = None
    if not model or not dataset:
        raise InputError("the results do not say what they are of", where=path, hint=_HINT)
    return model_name(model), _OF_DATASET.get(dataset, dataset.lower())


def _model_of(content: Any) -> str | None:
    for key, part in _walk(content):
        if key in ("encoder", "backbone") and isinstance(part, dict) and "class_path" in part:
            kind, arguments = part["class_path"].rpartition(".")[2], part.get("init_args") or {}
            if kind == "CoralBayEncoder":
                return str(arguments.get("model", DEFAULT_MODEL))
            return str(arguments.get("model_name", kind))
    return None


def _dataset_of(content: Any) -> str | None:
    sets = content["data"]["init_args"]["datasets"]
    for split in ("predict", "val", "train"):
        first = sets.get(split)
        first = first[0] if isinstance(first, list) else first
        if first:
            return str(first["class_path"]).rpartition(".")[2]
    return None


def _walk(content: Any) -> Iterator[tuple[str, Any]]:
    for key, part in content.items() if isinstance(content, dict) else enumerate(content):
        yield str(key), part
        if isinstance(part, (dict, list)):
            yield from _walk(part)


def read_published(path: Path) -> list[Row]:
    """Rows of eva's published table (``tools/data/leaderboards/radiology.csv`` of its repository).

    Raises
    ------
    InputError
        If the file is not such a table, or has a model twice.
    """
    try:
        lines = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    except (UnicodeDecodeError, csv.Error):
        lines = []
    if not lines or "model" not in lines[0] or len(lines[0]) < 2:
        raise InputError("not a table of eva", where=path, expected="columns model, btcv, lits17, ...")
    return [row for line in lines for row in _published(path, line)]


def _published(path: Path, line: dict[str, Any]) -> Iterator[Row]:
    for column, text in line.items():
        if column == "model" or not (text or "").strip():
            continue
        try:
            mean = float(text)
        except (TypeError, ValueError):
            mean = math.nan
        if column is None or not math.isfinite(mean):
            raise InputError("score is no number", where=f"{path}, {line['model']}, {column}", found=text)
        task, _, split = column.partition("/")
        metric = TASKS[task].metric if task in TASKS else "score"
        yield Row(model_name(line["model"]), task, metric, mean, path, EVA_PUBLISHED, split)
