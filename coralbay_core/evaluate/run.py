"""Evaluation run: methods x cases x tasks, to records."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..extraction.cache import FeatureStore
from ..models.encoder import Encoder
from ..models.loading import is_here, load_encoder, untrained
from ..models.model_card import list_cards, load_card
from ..models.names import DEFAULT_MODEL
from ..models.swin_encoder import SwinEncoder
from .cases import Case, load_case, phantom_case
from .environment import describe_cases, describe_environment, describe_methods
from .layouts import find_cases
from .methods import Method, encoder_method, patch_and_position_method, position_method
from .records import ProgressReport, Record
from .tasks import TASKS, Setting

PHANTOM_SEEDS = (0, 1)


@dataclass(eq=False)
class Evaluation:
    """Records of an evaluation, with its methods and cases.

    Parameters
    ----------
    records : list of Record
    about : dict
        Environment, cases, methods, seed, seconds.
    settings : dict of str to Setting
        Settings of the models (not the baselines), with their features, for pictures.
    """

    records: list[Record]
    about: dict[str, Any]
    settings: dict[str, Setting]


def open_cases(
    data: Sequence[str | Path],
    *,
    layout: str = "auto",
    phantom: bool = True,
    limit: int | None = None,
    names: bool = False,
    report: ProgressReport | None = None,
) -> list[Case]:
    """Open the cases of folders, and the phantom.

    Parameters
    ----------
    data : sequence of path
    layout : str
        As in `find_cases`.
    phantom : bool
    limit : int, optional
        Maximum number of scans per folder.
    names : bool
        Whether cases have the names of their files or folders, which often name a patient, in a report, too; otherwise
        they are numbered in the order of those.
    report : callable, optional
    """
    files = [case for folder in data for case in find_cases(folder, layout)[:limit]]
    total = len(files) + len(PHANTOM_SEEDS) * phantom
    cases: list[Case] = []
    for number, case in enumerate(files):
        _report(report, "reading scans", number, total)
        cases.append(load_case(case))
    for number, seed in enumerate(PHANTOM_SEEDS if phantom else ()):
        _report(report, "reading scans", len(files) + number, total)
        cases.append(phantom_case(seed))
    _report(report, "reading scans", total, total)
    _require_usable(cases, data)
    if not names:
        cases = [
            replace(case, name=f"case-{number:02d}", draws_by=case.name) if case.domain == "real" else case
            for number, case in enumerate(cases, 1)
        ]
    return [case for case in cases if case.structures]


def _require_usable(cases: list[Case], data: Sequence[str | Path]) -> None:
    names = [case.name for case in cases]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(
            "several scans have the same name", where="--data", found=", ".join(twice), hint="rename one of them"
        )
    if not any(case.structures for case in cases):
        raise InputError(
            "nothing to measure",
            where=", ".join(map(str, data)) or "phantom",
            found="no labeled structure that is large enough and not a lesion",
        )


def open_methods(
    models: Sequence[str], *, device: str = "auto", store: FeatureStore | bool = False, baselines: bool = True
) -> list[Method]:
    """Open models by name or path, then baselines: random weights of each architecture, and methods without network."""
    encoders = {name: load_encoder(name, device=device) for name in dict.fromkeys(models or [DEFAULT_MODEL])}
    methods = [encoder_method(encoder, store=store) for encoder in encoders.values()]
    if baselines:
        methods += _untrained(list(encoders.values()), device, store)
        patch, context = (load_encoder(name, device=device) for name in ("hu-patch", "hu-context"))
        methods += [
            encoder_method(context, is_baseline=True),
            encoder_method(patch, is_baseline=True),
            position_method(),
            patch_and_position_method(patch),
        ]
    # A baseline that is also given as a model is evaluated once.
    known: dict[str, Method] = {}
    for method in methods:
        known.setdefault(method.fingerprint, method)
    names = [method.name for method in known.values()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(
            "several models have the same name", where="--model", found=", ".join(twice), hint="rename one of the files"
        )
    return list(known.values())


def _untrained(encoders: list[Encoder], device: str, store: FeatureStore | bool) -> Iterator[Method]:
    """Random weights in each evaluated architecture, with the same inference."""
    twins: dict[str, tuple[str, SwinEncoder]] = {}
    for encoder in encoders:
        if isinstance(encoder, SwinEncoder) and encoder.name != "random":
            twin = untrained(encoder, device=device)
            twins.setdefault(twin.fingerprint, (encoder.name, twin))
    for name, twin in twins.values():
        shown = "random" if len(twins) == 1 else f"random ({name})"
        yield encoder_method(twin, name=shown, is_baseline=True, store=store)


def published_models() -> tuple[list[str], list[str]]:
    """List the models whose weights are downloaded, and those whose weights are not."""
    here = {name: is_here(load_card(name)) for name in list_cards()}
    return [name for name, there in here.items() if there], [name for name, there in here.items() if not there]


def check_tasks(tasks: Collection[str] | None) -> list[str]:
    """Names of the tasks to run, in order; all of them for None."""
    if tasks is not None and (not tasks or not set(tasks) <= set(TASKS)):
        unknown = sorted(set(tasks) - set(TASKS))
        raise InputError(
            "unknown tasks", where="--tasks", found=", ".join(unknown) or None, expected=f"some of {', '.join(TASKS)}"
        )
    return [name for name in TASKS if tasks is None or name in tasks]


def measure(
    methods: Sequence[Method],
    cases: Sequence[Case],
    *,
    tasks: Collection[str] | None = None,
    seed: int = 0,
    report: ProgressReport | None = None,
) -> Evaluation:
    """Run tasks for all methods.

    Parameters
    ----------
    methods : sequence of Method
    cases : sequence of Case
    tasks : collection of str, optional
        Among `TASKS`; all by default.
    seed : int
    report : callable, optional
        Called with a method's name, tasks done and in all.
    """
    chosen = check_tasks(tasks)
    records: list[Record] = []
    settings: dict[str, Setting] = {}
    seconds: dict[str, dict[str, float]] = {}
    for method in methods:
        setting = Setting(method, list(cases), seed)
        spent = seconds[method.name] = {}
        started = time.perf_counter()
        for case in cases:
            setting.features(case)
        spent["features"] = time.perf_counter() - started
        for number, name in enumerate(chosen):
            _report(report, method.name, number, len(chosen))
            started = time.perf_counter()
            records += TASKS[name](setting)
            spent[name] = time.perf_counter() - started
        _report(report, method.name, len(chosen), len(chosen))
        if not method.is_baseline:
            settings[method.name] = setting
    about = {
        "environment": describe_environment(),
        "seed": seed,
        "tasks": chosen,
        "methods": describe_methods(methods),
        "cases": describe_cases(cases),
        "seconds": {name: {k: round(v, 1) for k, v in spent.items()} for name, spent in seconds.items()},
        "models_without_weights_here": published_models()[1],
    }
    return Evaluation(records, about, settings)


def _report(report: ProgressReport | None, what: str, done: int, total: int) -> None:
    if report:
        report(what, done, total)
