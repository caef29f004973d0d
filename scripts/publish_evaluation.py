"""Write the numbers of a report to docs/measurements/evaluation.md and to the card of the shipped model.

    python scripts/publish_evaluation.py REPORT

REPORT is a folder that `coralbay evaluate` wrote. `make evaluate` runs both.
"""

import json
import re
import sys
from pathlib import Path

from coralbay_core.evaluate.report import as_markdown, read_findings
from coralbay_core.evaluate.tables import HEADLINE
from coralbay_core.models.model_card import parse_card
from coralbay_core.models.names import DEFAULT_MODEL
from coralbay_core.util.atomic_file import write_atomically

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs" / "measurements" / "evaluation.md"
CARD = ROOT / "coralbay_core" / "models" / "cards" / f"{DEFAULT_MODEL}.toml"
COMMAND = "coralbay evaluate --data ../shared/ct/labelled --names -o evaluation"
BEGIN, END = "<!-- numbers: written by scripts/publish_evaluation.py -->", "<!-- end of numbers -->"


def numbers(report: Path) -> str:
    """Tables and sentences in Markdown, a heading level further down than in the report."""
    findings = read_findings(report / "summary.json")
    seconds = sum(sum(spent.values()) for spent in findings.about["seconds"].values())
    machine = findings.about["environment"]
    run = (
        f"Printed by `{COMMAND}` in {seconds / 60:.0f} minutes on {machine['threads']} thread(s) of a machine with "
        f"{machine['cores']} cores and {machine['gpu'] or 'no GPU'}; {', '.join(_named(findings.about))}."
    )
    return run + "\n\n" + re.sub(r"^## ", "### ", as_markdown(findings), flags=re.MULTILINE).rstrip() + "\n"


def _named(about: dict) -> list[str]:
    return [f"{m['name']} `{m['fingerprint'][:12]}`" for m in about["methods"] if not m["baseline"]]


def card_rows(report: Path) -> dict[str, str]:
    """The headline of the shipped model as values of its card, the best baseline beside each."""
    findings = read_findings(report / "summary.json")
    rows = {"command": COMMAND, "scans": ", ".join(case["name"] for case in findings.about["cases"])}
    baselines = [method["name"] for method in findings.about["methods"] if method["baseline"]]
    for domain, found in findings.summary.items():
        for key in HEADLINE.keys:
            own = found.get(DEFAULT_MODEL, {}).get(key)
            if own is None:
                continue
            sign, digits = (-1, 1) if key.endswith("_mm") else (1, 3)
            others = {name: found[name][key].value for name in baselines if key in found.get(name, {})}
            best = max(others, key=lambda name: sign * others[name], default="")
            text = f"{own.value:.{digits}f} ({own.low:.{digits}f}..{own.high:.{digits}f})"
            if best:
                text += f"; best baseline {best} {others[best]:.{digits}f}"
            rows[f"{domain}_{key}"] = text
    return rows


def with_evaluation(toml: str, rows: dict[str, str]) -> str:
    """A card's text with its table of measurements replaced, or added."""
    kept = re.sub(r"\n*^\[evaluation\]\n.*?(?=^\[|\Z)", "\n", toml, flags=re.MULTILINE | re.DOTALL)
    table = "\n".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in rows.items())
    text = f"{kept.rstrip()}\n\n[evaluation]\n{table}\n"
    parse_card(text)
    return text


def main(report: Path) -> None:
    before, rest = DOCS.read_text("utf-8").split(BEGIN)
    after = rest.split(END)[1]
    write_atomically(DOCS, f"{before}{BEGIN}\n\n{numbers(report)}\n{END}{after}")
    write_atomically(CARD, with_evaluation(CARD.read_text("utf-8"), card_rows(report)))
    print(f"written: {DOCS.relative_to(ROOT)}, {CARD.relative_to(ROOT)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
