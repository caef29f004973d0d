"""Files of a report: JSON lines, summary, Markdown, plots, pictures and one HTML page."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .html import page
from .pictures import pictures
from .plots import plots
from .records import plain, write_lines, write_whole
from .run import Evaluation
from .summary import Estimate, Summary, chance, summarize
from .tables import DOMAINS, HEADLINE, counted, make_table, markdown, reading, sections

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(evaluation: Evaluation, folder: Path) -> dict[str, Path]:
    """Write all files of a report.

    Returns
    -------
    dict of str to Path
        ``lines``, ``summary``, ``markdown``, ``html``, and the folders ``plots`` and ``pictures``.
    """
    summary = summarize(evaluation.records, evaluation.about["seed"])
    by_chance = {domain: chance(evaluation.records, domain) for domain in DOMAINS}
    tables = [table for section in sections() if (table := make_table(section, summary, by_chance))]
    models = [method["name"] for method in evaluation.about["methods"] if not method["baseline"]]
    baselines = [method["name"] for method in evaluation.about["methods"] if method["baseline"]]
    verdicts = list(reading(summary, models, baselines))
    numbers = counted(evaluation.about["cases"], summary)
    lists = {"What it says": verdicts, "What was counted": numbers, "Not measured": not_measured(evaluation.about)}
    drawn = {name: _png(figure) for name, figure in plots(summary, models).items()}
    shown = {
        f"{_file_name(name)}-{picture}": _png(figure)
        for name, setting in evaluation.settings.items()
        for picture, figure in pictures(setting, evaluation.records).items()
    }
    for part, images in (("plots", drawn), ("pictures", shown)):
        for name, png in images.items():
            write_whole(folder / part / f"{name}.png", png)
    text = "\n".join([markdown(table, summary) for table in tables])
    text += "".join(f"\n## {title}\n\n" + "\n".join(_bullets(lines)) + "\n" for title, lines in lists.items() if lines)
    title = f"Evaluation of {', '.join(models) or 'the baselines'}"
    about = json.dumps(plain(evaluation.about), indent=1)
    web = page(
        title,
        tables,
        {"Plots": drawn, "Best and worst cases": shown},
        models=models,
        lines={heading: lines for heading, lines in lists.items() if lines},
        about=about,
    )
    return {
        "lines": write_lines(folder / "results.jsonl", evaluation.about, evaluation.records),
        "summary": write_whole(folder / "summary.json", summary_json(summary, by_chance, evaluation.about)),
        "markdown": write_whole(folder / "report.md", f"# {title}\n\n{text}"),
        "html": write_whole(folder / "report.html", web),
    }


def summary_json(summary: Summary, by_chance: dict[str, dict[str, float]], about: dict[str, Any]) -> str:
    """Estimates by domain, method and measure, and where they come from."""
    estimates = {
        domain: {method: {key: asdict(e) for key, e in own.items()} for method, own in found.items()}
        for domain, found in summary.items()
    }
    content = {"about": about, "chance": by_chance, "estimates": estimates}
    return json.dumps(plain(content), indent=1, allow_nan=False) + "\n"


def read_summary(path: Path) -> tuple[Summary, dict[str, Any], dict[str, dict[str, float]]]:
    """Estimates, where they come from, and what chance gives, from a `summary.json`."""
    content = json.loads(path.read_text("utf-8"))
    summary = {
        domain: {method: {key: _estimate(values) for key, values in own.items()} for method, own in found.items()}
        for domain, found in content["estimates"].items()
    }
    return summary, content["about"], content["chance"]


def _estimate(values: dict[str, Any]) -> Estimate:
    value, low, high = (float("nan") if values[key] is None else float(values[key]) for key in ("value", "low", "high"))
    return Estimate(value, low, high, values["groups"], values["values"])


def headline_lines(evaluation: Evaluation) -> list[str]:
    """The first table, for a terminal."""
    summary = summarize(evaluation.records, evaluation.about["seed"])
    by_chance = {domain: chance(evaluation.records, domain) for domain in DOMAINS}
    table = make_table(HEADLINE, summary, by_chance)
    return markdown(table, summary, intervals=False).splitlines()[4:] if table else []


def not_measured(about: dict[str, Any]) -> list[str]:
    """What is known by name and has no weights here: it gets no numbers."""
    absent = about["models_without_weights_here"]
    return [f"No weights on this machine, so no numbers: {', '.join(absent)}."] if absent else []


def _bullets(lines: list[str]) -> list[str]:
    return [line if line.startswith("  ") else f"- {line}" for line in lines]


def _png(figure: "Figure") -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
