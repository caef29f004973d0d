"""Files of a report: JSON lines, summary, Markdown, plots, pictures and one HTML page."""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..util.atomic_file import write_atomically
from ..util.json_values import MILLIONTHS, plain
from .html import page
from .pictures import pictures
from .plots import plots
from .records import write_lines
from .run import Evaluation
from .summary import Differences, Estimate, Summary, chance, compare, summarize
from .tables import DOMAINS, HEADLINE, Table, counted, make_table, markdown, reading, sections

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Findings:
    """All numbers of a report.

    Parameters
    ----------
    about : dict
        Environment, cases, methods, seed, seconds.
    summary : Summary
    differences : Differences
        Models less baselines, for the measures that decide.
    chance : dict
        Results of a random ranking by domain and metric, if known.
    """

    about: dict[str, Any]
    summary: Summary
    differences: Differences
    chance: dict[str, dict[str, float]]

    @property
    def models(self) -> list[str]:
        """Names of the methods that are not baselines."""
        return [method["name"] for method in self.about["methods"] if not method["baseline"]]

    def tables(self) -> list[Table]:
        """Make all tables that have data."""
        return [table for section in sections() if (table := make_table(section, self.summary, self.chance))]

    def lists(self) -> dict[str, list[str]]:
        """Headings and sentences."""
        absent = self.about["models_without_weights_here"]
        texts = {
            "What it says": list(reading(self.summary, self.differences)),
            "What was counted": counted(self.about["cases"], self.summary),
            # What is known by name and has no weights here gets no numbers.
            "Not measured": [f"No weights on this machine, so no numbers: {', '.join(absent)}."] if absent else [],
        }
        return {heading: lines for heading, lines in texts.items() if lines}


def find(evaluation: Evaluation) -> Findings:
    """Compute the findings of an evaluation."""
    records, seed = evaluation.records, evaluation.about["seed"]
    names = {flag: [m["name"] for m in evaluation.about["methods"] if m["baseline"] == flag] for flag in (False, True)}
    differences = compare(records, names[False], names[True], HEADLINE.keys, seed)
    by_chance = {domain: chance(records, domain) for domain in DOMAINS}
    return Findings(evaluation.about, summarize(records, seed), differences, by_chance)


def write_report(evaluation: Evaluation, folder: Path, findings: Findings | None = None) -> dict[str, Path]:
    """Write all files of a report.

    Returns
    -------
    dict of str to Path
        ``lines``, ``summary``, ``markdown`` and ``html``; plots and pictures lie in folders beside them.
    """
    findings = findings or find(evaluation)
    drawn = {name: _png(figure) for name, figure in plots(findings.summary, findings.models).items()}
    shown = {
        f"{_file_name(name)}-{picture}": _png(figure)
        for name, setting in evaluation.settings.items()
        for picture, figure in pictures(setting, evaluation.records).items()
    }
    for part, images in (("plots", drawn), ("pictures", shown)):
        for name, png in images.items():
            write_atomically(folder / part / f"{name}.png", png)
    title = f"Evaluation of {', '.join(findings.models) or 'the baselines'}"
    web = page(
        title,
        findings.tables(),
        {"Plots": drawn, "Best and worst cases": shown},
        models=findings.models,
        lines=findings.lists(),
        about=json.dumps(plain(findings.about, MILLIONTHS), indent=1),
    )
    return {
        "lines": write_lines(folder / "results.jsonl", findings.about, evaluation.records),
        "summary": write_atomically(folder / "summary.json", summary_json(findings)),
        "markdown": write_atomically(folder / "report.md", f"# {title}\n\n{as_markdown(findings)}"),
        "html": write_atomically(folder / "report.html", web),
    }


def as_markdown(findings: Findings) -> str:
    """Format all tables in Markdown, with a summary in words after the first one."""
    first, *rest = [markdown(table) for table in findings.tables()] or [""]
    lists = [f"## {title}\n\n" + "\n".join(_bullets(lines)) + "\n" for title, lines in findings.lists().items()]
    return "\n".join([first, *lists, *rest])


def summary_json(findings: Findings) -> str:
    """Format all numbers and their provenance as JSON, for `read_findings`."""
    return json.dumps(plain(asdict(findings), MILLIONTHS), indent=1, allow_nan=False) + "\n"


def read_findings(path: Path) -> Findings:
    """Read the findings of a ``summary.json``."""
    content = json.loads(path.read_text("utf-8"))
    summary, differences = _estimates(content["summary"]), _estimates(content["differences"])
    return Findings(content["about"], summary, differences, content["chance"])


def _estimates(content: dict[str, Any]) -> Any:
    """Nested tables with an `Estimate` at each leaf."""
    if "groups" not in content:
        return {key: _estimates(value) for key, value in content.items()}
    value, low, high = (float("nan") if content[k] is None else float(content[k]) for k in ("value", "low", "high"))
    return Estimate(value, low, high, content["groups"], content["values"])


def headline_lines(findings: Findings) -> list[str]:
    """Format the first table for a terminal."""
    table = make_table(HEADLINE, findings.summary, findings.chance)
    return markdown(table, intervals=False).splitlines()[4:] if table else []


def _bullets(lines: list[str]) -> list[str]:
    return [f"  - {line.strip()}" if line.startswith("  ") else f"- {line}" for line in lines]


def _png(figure: "Figure") -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
