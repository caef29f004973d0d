"""Reader of eva's scores: ``results.json`` of a run, and the published table."""

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import InputError, MissingFileError
from ...models.names import DEFAULT_MODEL
from ..rows import EVA_PUBLISHED, EVA_RUN, Row, model_of, registered_model
from .protocol import deviations, encoder_of
from .tasks import TASKS
from .yaml_files import load_yaml

_METRICS = ("DiceScore", *dict.fromkeys(task.metric for task in TASKS.values()), "BinaryAccuracy")
_OF_DATASET = {task.dataset: task.name for task in TASKS.values()} | {"CCCCII": "cc_ccii"}
_HINT = "expected a results.json that eva wrote, with its config.yaml next to it"


def find_results(path: Path) -> list[Path]:
    """List the file itself, or all ``results.json`` in a folder.

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
    """Read the main score of a run: of the test set if there is one, else of the validation set, as eva reports it.

    Model, task and settings are read from the ``config.yaml`` that eva writes beside the results.

    Raises
    ------
    InputError
        If the file is none of eva's, has no such number, or does not say what it is of.
    """
    splits = _splits(path)
    model, task, deviates = _what_of(path.with_name("config.yaml"))
    for split in ("test", "val"):
        for metric in _preferred(task):
            for measured in splits[split]:
                if f"{split}/{metric}" in measured:
                    mean, sd, runs = _numbers(measured[f"{split}/{metric}"], f"{path}, {split}/{metric}")
                    return Row(model, task, metric, mean, path, EVA_RUN, split, sd, runs, deviates=deviates)
    raise InputError("no score in the results", where=path, expected=" or ".join(_METRICS))


def _splits(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        metrics = json.loads(path.read_text("utf-8-sig"))["metrics"]
        splits = {split: list(metrics.get(split) or []) for split in ("val", "test")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        splits = {"": [None]}
    if not all(isinstance(measured, dict) for split in splits.values() for measured in split):
        raise InputError("not a results file of eva", where=path, hint=_HINT)
    return splits


def _preferred(task: str) -> tuple[str, ...]:
    return (TASKS[task].metric,) if task in TASKS else _METRICS


def _numbers(found: Any, where: str) -> tuple[float, float | None, int]:
    try:
        mean, runs = found["mean"], len(found["values"])
        sd = float(found["stdev"]) if runs > 1 else None
        if sd is not None and not math.isfinite(sd):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise InputError("unreadable score", where=where, found=found, hint=_HINT) from None
    return _score(mean, where), sd, runs


def _score(found: Any, where: str) -> float:
    """Convert a score of eva, which must lie between 0 and 1."""
    try:
        score = float(found)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise InputError("score is not a number", where=where, found=found)
    if not 0 <= score <= 1:
        raise InputError("score out of range", where=where, found=found, expected="0 to 1")
    return score


def _what_of(path: Path) -> tuple[str, str, str]:
    try:
        content = load_yaml(path.read_text("utf-8"))
        model, dataset = _model_of(content), _dataset_of(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        model = dataset = None
    if not model or not dataset:
        raise InputError("model or data set of the results is unknown", where=path, hint=_HINT)
    task = _OF_DATASET.get(dataset, dataset.lower())
    return model, task, deviations(content, task)


def _model_of(content: Any) -> str | None:
    part = encoder_of(content)
    if part is None:
        return None
    kind, arguments = part["class_path"].rpartition(".")[2], part.get("init_args") or {}
    if kind == "CoralBayEncoder":
        return model_of(arguments.get("model", DEFAULT_MODEL))
    return registered_model(str(arguments.get("model_name", kind)))


def _dataset_of(content: Any) -> str | None:
    sets = content["data"]["init_args"]["datasets"]
    for split in ("predict", "val", "train"):
        first = sets.get(split)
        first = first[0] if isinstance(first, list) else first
        if first:
            return str(first["class_path"]).rpartition(".")[2]
    return None


def read_published(path: Path) -> list[Row]:
    """Read the rows of eva's published table (``tools/data/leaderboards/radiology.csv`` of its repository).

    Raises
    ------
    InputError
        If the file is not such a table, or a line of it is none.
    """
    head, *lines = _table(path)
    rows = [row for line in lines for row in _published(path, head, line)]
    if not rows:
        raise InputError("no score in the table", where=path)
    return rows


def _table(path: Path) -> list[list[str]]:
    """Read header and lines; raise unless each line has a model and one cell per column, and columns are unique."""
    try:
        text = path.read_text("utf-8-sig")
        lines = [[cell.strip() for cell in line] for line in csv.reader(text.splitlines(), strict=True) if line]
    except (UnicodeDecodeError, csv.Error):
        lines = []
    head = lines[0] if lines else []
    if len(head) < 2 or head.count("model") != 1 or not all(head):
        raise InputError("not a table of eva", where=path, expected="columns model, btcv, lits17, ...")
    if len(set(head)) < len(head):
        raise InputError("duplicate column", where=path, found=next(name for name in head if head.count(name) > 1))
    for number, line in enumerate(lines[1:], 1):
        where = f"{path}, line {number} below the header"
        if len(line) != len(head):
            raise InputError("wrong number of cells", where=where, found=f"{len(line)} cells", expected=len(head))
        if not line[head.index("model")]:
            raise InputError("line without a model name", where=where, found=",".join(line))
    return lines


def _published(path: Path, head: list[str], line: list[str]) -> Iterator[Row]:
    model = line[head.index("model")]
    for column, text in zip(head, line, strict=True):
        if column == "model" or not text:
            continue
        task, _, split = column.partition("/")
        metric = TASKS[task].metric if task in TASKS else "score"
        mean = _score(text, f"{path}, {model}, {column}")
        yield Row(registered_model(model), task, metric, mean, path, EVA_PUBLISHED, split)
