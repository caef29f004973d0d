"""Tables of a report as rows of text, for Markdown and HTML."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .metrics import RESAMPLES
from .summary import Differences, Estimate, Measure, Summary, measures

DOMAINS = {"real": "real", "phantom": "phantom"}
WIDEST = 14


@dataclass(frozen=True)
class Section:
    """Definition of one table.

    Parameters
    ----------
    title, text : str
    keys : tuple of str
        Keys of the metrics in its columns.
    """

    title: str
    text: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """Cell of a table: a number as text, whether it is the best of its column, and its basis."""

    text: str
    best: bool = False
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of a section: the name of a method, then one cell per column; a wide table is transposed."""

    section: Section
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    corner: str = "method"

    def fitted(self) -> "Table":
        """Transpose a table with too many columns, so that methods become columns."""
        if len(self.columns) <= WIDEST:
            return self
        turned = zip(self.columns, zip(*(cells for _, cells in self.rows), strict=True), strict=True)
        return Table(self.section, tuple(name for name, _ in self.rows), tuple(turned), "")


HEADLINE = Section(
    "At a glance",
    "The measures that decide, each explained below. Best of each column in bold; arrows show which way is better.",
    (
        "retrieval_ap",
        "structure_ap",
        "structure_dice_1",
        "structure_dice_3",
        "structure_dice_5",
        "structure_largest",
        "across_ap",
        "match_hit",
        "landmark_mm",
        "transfer_dice",
        "fewshot_dice_5",
        "fewshot_dice_gap_strokes",
        "fewshot_across_dice_strokes",
        "copy_mm",
        "copy_near",
        "regions_across_right",
    ),
)

_TITLES = {
    "retrieval_ap": "click retrieval, mAP",
    "structure_ap": "clicked structure, mAP",
    "structure_dice_1": "clicked structure, Dice after 1 click",
    "structure_dice_3": "Dice after 3 clicks",
    "structure_dice_5": "Dice after 5 clicks",
    "structure_largest": "one-click Dice of the eight largest structures",
    "across_ap": "the same across patients, mAP",
    "match_hit": "best match in the structure",
    "landmark_mm": "landmark error",
    "transfer_dice": "labels of another patient, Dice",
    "fewshot_dice_5": "probe, 5 clicks, Dice",
    "fewshot_dice_gap_strokes": "probe, strokes, Dice beyond 24 mm",
    "fewshot_across_dice_strokes": "probe on another patient, Dice",
    "copy_mm": "changed copy, error",
    "copy_near": "changed copy, within 12 mm",
    "regions_across_right": "k-NN across patients",
}

_RETRIEVAL = """One click in a structure (its deepest point and four seeded ones from its deeper half); all body voxels
of the same scan, every 3 mm, ranked by the heat map: average precision, and precision among as many voxels as the
structure has."""

_STRUCTURE = """The map of the clicked structure, by features, connections and HU: average precision of three single
clicks, and Dice of its mask at its own threshold after 1, 3 and 5 clicks. The first click is the deepest point of the
structure, each further one the deepest point of the largest error. At most 20 structures per scan: the eight largest,
and others drawn with the seed."""

_RETRIEVAL_ACROSS = """The same clicks, voxels of another patient. Pairs of one region share at least half of their
structures; other pairs share few (such as the spinal cord), and are much harder."""

_MATCHING = """The best match of a click: share inside the right structure, mean distance to it in mm. A match is
confirmed if, looked for in the first scan again, it is found within 24 mm of the click."""

_LANDMARKS = (
    "Median distance in mm of the best match from the corresponding point, which is known for the phantom only."
)

_TRANSFER = """All labels of one patient carried to another one of the same region, mean Dice over structures in both
directions: over the deformable alignment with borders drawn by a probe, as users get them; without the probe; over the
affine alignment; with the centers of the scans on each other; and a probe fitted to the labels, without alignment. Mean
distance of aligned landmarks in mm, which are known for the phantom only."""

_PROBE = """Dice of the default probe, mean over structures, on all voxels every 3 mm. Beyond the gap only voxels count
that are 24 mm or more from any stroke."""

_PROBE_ACROSS = """The same probes on patients that share at least three of its structures. Surface distance is the
median in mm over structures of which anything was found."""

_COPY = """Median error in mm of the best match of a body point in the changed scan, and share within 12 mm: whole scans
scaled by 0.9, turned by 8 degrees about each axis and with 40 HU of noise; and blocks of 192 mm changed in one way at a
time."""

_HEAT = """Spearman's rank correlation of the heat map of a click before and after the change, at the same places of the
patient."""

_COSINE = "Mean cosine of the standardized features of a stage before and after changes of a kind."

_REGIONS = """Share of tokens whose five nearest labeled tokens vote for their structure: in the same scan without
those within 24 mm, and across patients among the structures that both have."""

_SHOTS = ("1", "5", "20", "strokes")


def _section(title: str, text: str, *keys: str) -> Section:
    return Section(title, " ".join(text.split()), keys)


def sections() -> tuple[Section, ...]:
    """List the definitions of all tables, the most important one first."""
    from .tasks.changes import CHANGES, TOGETHER

    changes = [change.name for change in (*CHANGES, TOGETHER)]
    kinds = dict.fromkeys(change.kind for change in CHANGES)
    ranking = ("across_ap", "across_precision")
    match = ("match_hit", "match_mm", "match_confirmed", "match_confirmed_hit", "match_confirmed_mm")
    probe, probe_across = ([f"{task}_dice_{shot}" for shot in _SHOTS] for task in ("fewshot", "fewshot_across"))
    return (
        HEADLINE,
        _section("Click retrieval", _RETRIEVAL, "retrieval_ap", "retrieval_precision"),
        _section(
            "Clicked structure",
            _STRUCTURE,
            "structure_ap",
            "structure_dice_1",
            "structure_dice_3",
            "structure_dice_5",
            "structure_largest",
        ),
        _section("Click retrieval across patients", _RETRIEVAL_ACROSS, *ranking, *(f"{key}_partly" for key in ranking)),
        _section("Point matching across patients", _MATCHING, *match),
        _section("Point matching between other regions", "", *(f"{key}_partly" for key in match)),
        _section("Landmarks", _LANDMARKS, "landmark_mm", "landmark_confirmed", "landmark_confirmed_mm"),
        _section(
            "Transfer of labels",
            _TRANSFER,
            "transfer_dice",
            "transfer_warp",
            "transfer_affine",
            "transfer_identity",
            "transfer_probe",
            "transfer_mm",
            "transfer_affine_mm",
        ),
        _section("Few-shot probe, same scan", _PROBE, *probe, "fewshot_dice_gap_strokes", "fewshot_surface"),
        _section("Few-shot probe, another patient", _PROBE_ACROSS, *probe_across, "fewshot_across_surface"),
        _section("Same voxel in a changed copy", _COPY, "copy_mm", "copy_near", "copies_mm", "copies_near"),
        _section("Error by change, mm", "", *(f"changes_error_mm_{name}" for name in changes)),
        _section("Stability of heat maps", _HEAT, *(f"changes_rank_correlation_{name}" for name in changes)),
        _section("Stability of features", _COSINE, *(f"cosine_{kind}_{s}" for kind in kinds for s in (4, 8, 16))),
        _section("Region k-NN", _REGIONS, "regions_right", "regions_across_right"),
    )


def make_table(section: Section, summary: Summary, chance: dict[str, dict[str, float]]) -> Table | None:
    """Make the table of a section; None without data. Real and phantom data have separate columns."""
    known = {measure.key: measure for measure in measures()}
    columns = [(d, known[key]) for key in section.keys for d in DOMAINS if _measured(summary, d, key)]
    if not columns:
        return None
    methods = list(dict.fromkeys(name for domain in DOMAINS for name in summary.get(domain, {})))
    best = [_best(summary, domain, measure) for domain, measure in columns]
    rows = []
    for method in methods:
        made = [summary.get(domain, {}).get(method, {}).get(measure.key) for domain, measure in columns]
        cells = [_cell(e, m, e is not None and e.value == b) for e, (_, m), b in zip(made, columns, best, strict=True)]
        rows.append((method, tuple(cells)))
    if any(measure.key in chance.get(domain, {}) for domain, measure in columns):
        rows.append(("(chance)", tuple(_chance_cell(chance, domain, measure) for domain, measure in columns)))
    several = len({domain for domain, _ in columns}) > 1 or columns[0][0] == "phantom"
    titles = tuple(_column_title(section, measure) + (f" ({domain})" if several else "") for domain, measure in columns)
    return Table(section, titles, tuple(rows)).fitted()


def headline_titles() -> dict[str, str]:
    """Titles of the headline metrics, by key, with an arrow in the direction of better values."""
    known = {measure.key: measure for measure in measures()}
    return {key: _column_title(HEADLINE, known[key]) for key in HEADLINE.keys}


def _measured(summary: Summary, domain: str, key: str) -> bool:
    return any(key in found for found in summary.get(domain, {}).values())


def _column_title(section: Section, measure: Measure) -> str:
    title = _TITLES.get(measure.key, measure.title) if section is HEADLINE else measure.title
    return f"{title}, mm ↓" if measure.unit else f"{title} ↑"


def _best(summary: Summary, domain: str, measure: Measure) -> float | None:
    found = [own[measure.key].value for own in summary.get(domain, {}).values() if measure.key in own]
    return (min if measure.unit else max)(found, default=None)


def _number(value: float, measure: Measure) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:.1f}" if measure.unit else f"{value:.3f}"


def _cell(estimate: Estimate | None, measure: Measure, best: bool) -> Cell:
    if estimate is None:
        return Cell("-")
    interval = f"95 % interval {_number(estimate.low, measure)}..{_number(estimate.high, measure)}"
    return Cell(
        _number(estimate.value, measure), best, f"{interval}, {estimate.groups} groups, {estimate.values} values"
    )


def _chance_cell(chance: dict[str, dict[str, float]], domain: str, measure: Measure) -> Cell:
    value = chance.get(domain, {}).get(measure.key)
    return Cell("-" if value is None else _number(value, measure))


def markdown(table: Table, *, intervals: bool = True) -> str:
    """Format a table in Markdown, with intervals in its cells."""
    lines = (
        [f"## {table.section.title}", "", table.section.text, ""]
        if table.section.text
        else [
            f"## {table.section.title}",
            "",
        ]
    )
    lines += [f"| {table.corner} | " + " | ".join(table.columns) + " |", "|---" * (len(table.columns) + 1) + "|"]
    for method, cells in table.rows:
        lines.append(f"| {method} | " + " | ".join(_markdown_cell(cell, intervals) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _markdown_cell(cell: Cell, intervals: bool) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    if intervals and cell.note.startswith("95 % interval") and "-..-" not in cell.note:
        text += " (" + cell.note.removeprefix("95 % interval ").split(",")[0] + ")"
    return text


def counted(records_about: Sequence[dict], summary: Summary) -> list[str]:
    """Describe the amounts of data behind the numbers, in lines."""
    lines = []
    for domain in DOMAINS:
        cases = [case for case in records_about if case["domain"] == domain]
        if not cases:
            continue
        structures = sum(len(case["structures"]) for case in cases)
        named = ", ".join(f"{case['name']} ({len(case['structures'])})" for case in cases)
        lines.append(f"{domain}: {len(cases)} scans with {structures} structures: {named}.")
        first = next(iter(summary.get(domain, {}).values()), {})
        for key, what in (
            ("retrieval_ap", "clicks in {groups} structures"),
            ("across_ap", "clicks across patients of one region, in {groups} directed pairs of structures"),
            ("across_ap_partly", "clicks across patients of other regions, in {groups} directed pairs of structures"),
            ("landmark_mm", "landmarks"),
            ("copy_mm", "points in {groups} changed scans"),
            ("copies_mm", "points in {groups} changed blocks"),
        ):
            if key in first:
                lines.append(f"  {first[key].values} " + what.format(groups=first[key].groups))
    lines.append(f"Intervals: 95 %, bootstrap over structures or scans ({RESAMPLES} resamples, seeded).")
    return lines


def reading(summary: Summary, differences: Differences) -> Iterator[str]:
    """Compare each model with the other methods in words, for each headline metric."""
    known = {measure.key: measure for measure in measures()}
    for domain, models in differences.items():
        for model, found in models.items():
            for key in HEADLINE.keys:
                if key in found:
                    yield _verdict(summary[domain], known[key], domain, model, found[key])


def _verdict(
    found: dict[str, dict[str, Estimate]], measure: Measure, domain: str, model: str, apart: dict[str, Estimate]
) -> str:
    """Make one sentence per metric; a difference counts if its interval does not contain zero."""
    sign = -1 if measure.unit else 1
    sides: dict[str, list[str]] = {"worse than": [], "not told apart from": [], "better than": []}
    for name, difference in apart.items():
        low, high = sorted((sign * difference.low, sign * difference.high))
        side = "better than" if low > 0 else "worse than" if high < 0 else "not told apart from"
        sides[side].append(f"{name} ({_number(found[name][measure.key].value, measure)})")
    title, unit = _TITLES.get(measure.key, measure.title), " mm" if measure.unit else ""
    verdicts = "; ".join(f"{side} {', '.join(names)}" for side, names in sides.items() if names)
    return f"{model}, {title}, {domain}: {_number(found[model][measure.key].value, measure)}{unit}, {verdicts}."
