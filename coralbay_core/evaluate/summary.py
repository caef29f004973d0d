"""Aggregation of records: one estimate with a confidence interval per method, metric and domain."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metrics import Statistic, bootstrap_interval, difference_interval
from .records import Record


@dataclass(frozen=True)
class Measure:
    """Metric in one column of the tables.

    Parameters
    ----------
    key, title : str
    task : str
        Task of the records.
    value : str
        Name of the value in the records.
    statistic : callable
        Mean or median of the pooled values.
    unit : str
        ``mm`` where lower is better, empty where higher is.
    only : tuple of pairs
        Keys that a record must have, e.g. ``(("shots", "5"),)``.
    grouped_by : tuple of str
        Keys whose values are drawn together in the bootstrap.
    """

    key: str
    title: str
    task: str
    value: str
    statistic: Statistic = np.mean
    unit: str = ""
    only: tuple[tuple[str, str], ...] = ()
    grouped_by: tuple[str, ...] = ("case", "target", "structure", "landmark", "change")

    def groups(self, records: Iterable[Record]) -> dict[tuple, NDArray[np.float64]]:
        """Finite values of matching records, grouped by the unit of the bootstrap."""
        pooled: dict[tuple, list[float]] = {}
        for record in records:
            if record.task == self.task and all(record.keys.get(k) == v for k, v in self.only):
                key = tuple(record.keys.get(k) for k in self.grouped_by)
                pooled.setdefault(key, []).extend(_finite(record.values.get(self.value)))
        return {key: np.array(values) for key, values in pooled.items() if values}


def _finite(value: Any) -> list[float]:
    values = value if isinstance(value, (list, tuple, np.ndarray)) else [value]
    return [float(v) for v in values if v is not None and np.isfinite(float(v))]


@dataclass(frozen=True)
class Estimate:
    """Estimate in a table.

    Parameters
    ----------
    value, low, high : float
        With the ends of its 95 % bootstrap interval (NaN where there are fewer than two groups).
    groups, values : int
        Number of structures or cases, and of single measurements.
    """

    value: float
    low: float
    high: float
    groups: int
    values: int


def _change(name: str) -> tuple[tuple[str, str], ...]:
    return (("change", name),)


def _measures() -> tuple[Measure, ...]:
    from .tasks.changes import CHANGES, TOGETHER

    shots = {"1": "1 click", "5": "5 clicks", "20": "20 clicks", "strokes": "strokes"}
    kinds = dict.fromkeys(change.kind for change in CHANGES)
    probe = [
        Measure(f"{task}_{value}_{shot}", f"{scan}, {words}", task, value, only=(("shots", shot),))
        for task, scan in (("fewshot", "same scan"), ("fewshot_across", "other patient"))
        for value in ("dice", "dice_gap")
        for shot, words in shots.items()
        if value == "dice" or (task == "fewshot" and shot == "strokes")
    ]
    surfaces = [
        Measure(f"{task}_surface", f"{scan}, strokes", task, "surface_mm", np.median, "mm", (("shots", "strokes"),))
        for task, scan in (("fewshot", "same scan"), ("fewshot_across", "other patient"))
    ]
    across = [
        Measure(f"{key}{tail}", f"{title}{words}", "across", value, unit=unit, only=only)
        for tail, words, only in (("", "", (("pair", "alike"),)), ("_partly", ", other region", (("pair", "partly"),)))
        for key, title, value, unit in (
            ("across_ap", "mAP", "ap", ""),
            ("across_precision", "precision at size", "precision_at_size", ""),
            ("match_hit", "in the structure", "hit", ""),
            ("match_mm", "distance to it", "distance_mm", "mm"),
            ("match_confirmed", "confirmed", "confirmed", ""),
            ("match_confirmed_hit", "in the structure, if confirmed", "confirmed_hit", ""),
            ("match_confirmed_mm", "distance to it, if confirmed", "confirmed_distance_mm", "mm"),
        )
    ]
    each = [
        Measure(f"changes_{value}_{change.name}", change.name, "changes", value, statistic, unit, _change(change.name))
        for value, statistic, unit in (
            ("error_mm", np.median, "mm"),
            ("near", np.mean, ""),
            ("rank_correlation", np.mean, ""),
        )
        for change in (*CHANGES, TOGETHER)
    ]
    cosines = [
        Measure(f"cosine_{kind}_{s}", f"{kind}, stride {s}", "changes", f"cosine_{s}", only=(("kind", kind),))
        for kind in kinds
        for s in (4, 8, 16)
    ]
    return (
        Measure("retrieval_ap", "mAP", "retrieval", "ap"),
        Measure("retrieval_precision", "precision at size", "retrieval", "precision_at_size"),
        Measure("structure_ap", "mAP", "structure", "ap"),
        Measure("structure_dice_1", "Dice after 1 click", "structure", "dice_1"),
        Measure("structure_dice_3", "Dice after 3 clicks", "structure", "dice_3"),
        Measure("structure_dice_5", "Dice after 5 clicks", "structure", "dice_5"),
        Measure("structure_largest", "one-click Dice of the eight largest", "structure", "dice_largest"),
        *across,
        Measure("landmark_mm", "error at landmarks", "landmarks", "error_mm", np.median, "mm"),
        Measure("landmark_confirmed", "confirmed", "landmarks", "confirmed"),
        Measure("landmark_confirmed_mm", "error if confirmed", "landmarks", "confirmed_error_mm", np.median, "mm"),
        Measure("transfer_dice", "labels that travelled", "transfer", "dice"),
        Measure("transfer_warp", "without the probe", "transfer", "dice_warp"),
        Measure("transfer_affine", "affine", "transfer", "dice_affine"),
        Measure("transfer_identity", "centers", "transfer", "dice_identity"),
        Measure("transfer_probe", "probe alone", "transfer", "dice_probe"),
        Measure("transfer_mm", "landmarks", "transfer_landmarks", "error_mm", unit="mm"),
        Measure("transfer_affine_mm", "landmarks, affine", "transfer_landmarks", "error_affine_mm", unit="mm"),
        *probe,
        *surfaces,
        Measure("copy_mm", "all together, whole scans", "changes", "error_mm", np.median, "mm", (("extent", "whole"),)),
        Measure("copy_near", "within 12 mm", "changes", "near", only=(("extent", "whole"),)),
        Measure("copies_mm", "each alone, blocks", "changes", "error_mm", np.median, "mm", (("extent", "block"),)),
        Measure("copies_near", "within 12 mm", "changes", "near", only=(("extent", "block"),)),
        *each,
        Measure("rank_correlation", "all changes", "changes", "rank_correlation"),
        *cosines,
        Measure("regions_right", "same scan, 24 mm gap", "regions", "right"),
        Measure("regions_across_right", "other patient", "regions_across", "right"),
    )


def measures() -> tuple[Measure, ...]:
    """List all reported metrics, in order."""
    return _measures()


Summary = dict[str, dict[str, dict[str, Estimate]]]
"""Estimates by domain, method and key of the measure."""


def summarize(records: Sequence[Record], seed: int = 0) -> Summary:
    """Estimate all metrics that have records; real and phantom data are never mixed."""
    summary: Summary = {}
    owned: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        owned.setdefault((record.domain, record.method), []).append(record)
    for (domain, method), own in owned.items():
        found = {measure.key: estimate(measure, own, seed) for measure in measures()}
        summary.setdefault(domain, {})[method] = {key: made for key, made in found.items() if made is not None}
    return summary


def estimate(measure: Measure, records: Iterable[Record], seed: int = 0) -> Estimate | None:
    """Estimate one metric; None without values."""
    groups = list(measure.groups(records).values())
    if not groups:
        return None
    pooled = np.concatenate(groups)
    low, high = bootstrap_interval(groups, measure.statistic, seed=seed)
    return Estimate(float(measure.statistic(pooled)), low, high, len(groups), len(pooled))


Differences = dict[str, dict[str, dict[str, dict[str, Estimate]]]]
"""Differences between models and baselines, by domain, model, key of the measure and baseline."""


def compare(
    records: Sequence[Record], models: Sequence[str], baselines: Sequence[str], keys: Sequence[str], seed: int = 0
) -> Differences:
    """Compare models with baselines on the same structures or scans: differences with intervals."""
    chosen = [measure for measure in measures() if measure.key in keys]
    result: Differences = {}
    for domain in dict.fromkeys(record.domain for record in records):
        own = {name: [r for r in records if (r.domain, r.method) == (domain, name)] for name in (*models, *baselines)}
        for measure in chosen:
            groups = {name: measure.groups(found) for name, found in own.items()}
            for model in models:
                for baseline in baselines:
                    made = _difference(groups[model], groups[baseline], measure.statistic, seed)
                    if made is not None:
                        result.setdefault(domain, {}).setdefault(model, {}).setdefault(measure.key, {})[baseline] = made
    return result


def _difference(
    own: dict[tuple, NDArray], other: dict[tuple, NDArray], statistic: Statistic, seed: int
) -> Estimate | None:
    both = [key for key in own if key in other]
    if not both:
        return None
    pair = [own[key] for key in both], [other[key] for key in both]
    pooled = [np.concatenate(groups) for groups in pair]
    low, high = difference_interval(*pair, statistic, seed=seed)
    value = float(statistic(pooled[0]) - statistic(pooled[1]))
    return Estimate(value, low, high, len(both), len(pooled[0]))


def chance(records: Iterable[Record], domain: str) -> dict[str, float]:
    """Compute the result of a random ranking, if known: the share of voxels that belong to the structure."""
    first: dict[tuple, Record] = {}
    for record in records:
        if record.domain == domain:
            first.setdefault((record.task, *sorted(record.keys.items())), record)
    result = {}
    for key, task in (("retrieval_ap", "retrieval"), ("across_ap", "across")):
        shares = [
            record.values["prevalence"]
            for record in first.values()
            if record.task == task and record.keys.get("pair") != "partly"
        ]
        if shares:
            result[key] = float(np.mean(shares))
    choices = {"regions_right": "regions", "regions_across_right": "regions_across"}
    for key, task in choices.items():
        shares = [1 / record.values["choices"] for record in first.values() if record.task == task]
        if shares:
            result[key] = float(np.mean(shares))
    if "across_ap" in result:
        result["match_hit"] = result["across_ap"]
    if "retrieval_ap" in result:
        result["retrieval_precision"] = result["retrieval_ap"]
    return result
