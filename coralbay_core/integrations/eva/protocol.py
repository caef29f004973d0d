"""Deviations of a run of eva from the protocol of its task, as stated in CoralBay's configuration of the task."""

import re
from collections.abc import Iterator
from typing import Any

from .tasks import TASKS, config_path, has_config
from .yaml_files import load_yaml

_VARIABLE = re.compile(r"\$\{oc\.env:\w+,\s*(.*)\}")
_ONE = re.compile(r"(?<=^{} )(\w+)s\b")  # one run, not one runs
_ABSENT = object()

# Path of a setting, and text of a deviation. ``init_args`` are left out of paths; an item of a list is given by its
# number or its class.
_SETTINGS = {
    "trainer.max_steps": "{} steps",
    "trainer.n_runs": "{} runs",
    "trainer.val_check_interval": "measured every {} steps",
    "trainer.checkpoint_type": "{} checkpoint",
    "trainer.callbacks.ModelCheckpoint.monitor": "chosen by {}",
    "trainer.callbacks.ModelCheckpoint.mode": "chosen by {}",
    "trainer.callbacks.EarlyStopping.patience": "patience {}",
    "model.inferer.roi_size": "windows of {}",
    "model.inferer.overlap": "overlap {}",
    "model.decoder.project_dims": "project_dims {}",
    "model.optimizer.lr": "learning rate {}",
    "model.optimizer.weight_decay": "weight decay {}",
    "model.lr_scheduler.scheduler.eta_min": "last learning rate {}",
    "data.datasets.train.transforms.num_samples": "{} crops a scan",
    "data.datasets.train.transforms.ratios": "crop ratios {}",
    "data.datasets.predict.0.input_range": "values {}",
    "data.datasets.predict.0.size": "scans of {}",
    "data.dataloaders.train.batch_size": "batches of {}",
    "encoder.input_hu": "input_hu {}",
}


def deviations(content: Any, task: str) -> str:
    """Describe how a run's ``config.yaml`` deviates from CoralBay's configuration of the task; empty if it does not.

    Settings that one of the two does not state are not compared, so eva's own configurations can be read as well.

    Parameters
    ----------
    content : object
        Content of the file.
    task : str
        Name in `tasks.TASKS`; other tasks have no known protocol.
    """
    if task not in TASKS or not has_config(task):
        return ""
    stated = load_yaml(config_path(task).read_text("utf-8"))
    return ", ".join(_differences(content, stated))


def _differences(content: Any, stated: Any) -> Iterator[str]:
    for place, text in _SETTINGS.items():
        found, expected = (_plain(_at(_with_encoder(part), place.split("."))) for part in (content, stated))
        if _ABSENT not in (found, expected) and found != expected:
            yield (_ONE.sub(r"\1", text) if found == 1 else text).format(_as_text(found))


def encoder_of(content: Any) -> dict[str, Any] | None:
    """Find the part of a configuration that defines the network, of a module or of a writer of embeddings."""
    for key, part in _walk(content):
        if key in ("encoder", "backbone") and isinstance(part, dict) and "class_path" in part:
            return part
    return None


def _walk(content: Any) -> Iterator[tuple[str, Any]]:
    for key, part in content.items() if isinstance(content, dict) else enumerate(content):
        yield str(key), part
        if isinstance(part, (dict, list)):
            yield from _walk(part)


def _with_encoder(content: Any) -> Any:
    return {**content, "encoder": encoder_of(content)} if isinstance(content, dict) else content


def _at(content: Any, place: list[str]) -> Any:
    for key in place:
        if isinstance(content, dict) and key not in content:
            content = content.get("init_args")
        if isinstance(content, list):
            content = _item(content, key)
        elif isinstance(content, dict) and key in content:
            content = content[key]
        else:
            return _ABSENT
    return content


def _item(parts: list[Any], key: str) -> Any:
    if key.isdigit():
        return parts[int(key)] if int(key) < len(parts) else _ABSENT
    named = (part for part in parts if isinstance(part, dict) and str(part.get("class_path")).endswith(f".{key}"))
    return next(named, _ABSENT)


def _plain(value: Any) -> Any:
    """Normalize a value, which may be a text, or the default of an environment variable."""
    if isinstance(value, str):
        match = _VARIABLE.fullmatch(value)
        try:
            value = load_yaml(match[1] if match else value)
        except ValueError:
            return value
    if isinstance(value, (list, tuple)):
        return tuple(_plain(part) for part in value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _as_text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(dict.fromkeys(map(_as_text, value)) if len(set(value)) == 1 else map(_as_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
