"""Objectives of pretraining compared: same network, same steps, two seeds, on scans that chose none of them.

    make bench-objectives ARGS="--store STORE --out RUNS"
    python -m benchmarks.objectives --store STORE --out RUNS [--data ../shared/ct/labelled] [--steps 120]
        [--rows relations,distilled] [--seeds 0,1] [--only train|judge]

Each row is a run of ``coralbay pretrain mini`` from random weights, with four global crops of 64 voxels per step. Runs
that are already in RUNS are kept, so the rows can be trained in several calls. Rows with "distilled" need
``coralbay prepare-distillation STORE --model astra``.

Columns: click retrieval, mean average precision across patients, best match, as `coralbay evaluate` computes them,
first on the scans of `JUDGES`, then on the phantom; effective rank of each stage's pooled maps at the last logged step.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from coralbay_core.evaluate import measure, open_cases, summarize
from coralbay_core.evaluate.cases import Case
from coralbay_core.evaluate.methods import encoder_method
from coralbay_core.models.loading import load_encoder

JUDGES = ("lung1_002", "lung1_003", "totalseg_example")
"""Split of the labeled scans: these judge, the two scans of heads and necks are for choosing settings."""

MEASURED = ("retrieval_ap", "across_ap", "match_hit")
DOMAINS = ("real", "phantom")
STRIDES = (4, 8, 16, 32)
_COMMAND = "from coralbay_core.cli import main; main()"

# Two views of each of two places instead of one view of each of four: the same number of crops for a student.
_VIEWS = ("views.places_per_volume=1", "views.globals=2", "batch_size=2")
_DINO = (*_VIEWS, "views.locals=4", "objective.dino.weight=1")
_DISTILLED = ("objective.relations.distill=astra",)


@dataclass(frozen=True)
class Row:
    """One objective: its title and what it changes in the configuration ``mini``."""

    title: str
    settings: tuple[str, ...]


ROWS = {
    "dino": Row("DINO alone, as in the paper", (*_DINO, "objective.relations.weight=0")),
    "relations": Row("relations", ()),
    "relations-overlapping": Row("relations, two overlapping crops per place", _VIEWS),
    "dino-relations": Row("DINO + relations", _DINO),
    "distilled": Row("relations, distilled", _DISTILLED),
    "dino-distilled": Row("DINO + relations, distilled", (*_DINO, *_DISTILLED)),
    "tokens-distilled": Row(
        "tokens matched by position + relations, distilled", (*_VIEWS, *_DISTILLED, "objective.tokens.weight=1")
    ),
}


def weights_of(out: Path, row: str, seed: int) -> Path:
    return out / f"{row}-{seed}" / f"{row}-{seed}.safetensors"


def train(options: argparse.Namespace, row: str, seed: int) -> None:
    """Train one row, unless its weights are there."""
    weights = weights_of(options.out, row, seed)
    if weights.is_file():
        return
    command = [sys.executable, "-c", _COMMAND, "pretrain", "mini", f"data={options.store}"]
    command += [f"output={weights.parent}", f"name={weights.stem}", f"steps={options.steps}", f"seed={seed}"]
    command += [f"threads={options.threads}", "monitor.every=10", *ROWS[row].settings]
    print(" ".join(command[3:]), flush=True)
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": str(options.threads)})


def last_line(weights: Path) -> dict[str, float]:
    lines = (weights.parent / "log.jsonl").read_text().splitlines()
    return next(record for record in map(json.loads, reversed(lines)) if "rank.8" in record)


def judged(weights: Path, cases: list[Case]) -> dict[tuple[str, str], float]:
    """Measured values by measure and domain."""
    method = encoder_method(load_encoder(weights, device="cpu"), name=weights.stem)
    summary = summarize(measure([method], cases, tasks=("retrieval", "across")).records)
    return {(key, domain): summary[domain][method.name][key].value for key in MEASURED for domain in DOMAINS}


def judge(options: argparse.Namespace) -> None:
    """Print one row per objective: mean of the seeds, with their values in brackets."""
    cases = [c for c in open_cases([options.data], names=True) if c.domain == "phantom" or c.name in JUDGES]
    print(f"judged on {', '.join(case.name for case in cases)}; {options.steps} steps; seeds {options.seeds}\n")
    columns = [(key, domain) for domain in DOMAINS for key in MEASURED]
    titles = " | ".join(f"{key} ({domain})" for key, domain in columns)
    print(f"| objective | {titles} | rank {' / '.join(map(str, STRIDES))} |")
    print("|---" * (len(columns) + 2) + "|")
    for row in options.rows:
        runs = [weights_of(options.out, row, seed) for seed in options.seeds]
        values = [judged(weights, cases) for weights in runs]
        logs = [last_line(weights) for weights in runs]
        cells = [_cell([value[column] for value in values]) for column in columns]
        ranks = " / ".join(_rank([log.get(f"rank.{stride}") for log in logs]) for stride in STRIDES)
        print(f"| {ROWS[row].title} | {' | '.join(cells)} | {ranks} |", flush=True)


def _cell(values: list[float]) -> str:
    return f"{statistics.fmean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})"


def _rank(values: list[float | None]) -> str:
    """Mean rank of a stage; a dash if an objective does not use the stage."""
    known = [value for value in values if value is not None]
    return f"{statistics.fmean(known):.0f}" if known else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/ct/labelled"))
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=lambda text: text.split(","), default=list(ROWS))
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1])
    parser.add_argument("--only", choices=("train", "judge"))
    options = parser.parse_args()
    if unknown := sorted(set(options.rows) - set(ROWS)):
        parser.error(f"unknown rows: {', '.join(unknown)}; expected some of {', '.join(ROWS)}")
    if options.only != "judge":
        for seed in options.seeds:
            for row in options.rows:
                train(options, row, seed)
    if options.only != "train":
        judge(options)


if __name__ == "__main__":
    main()
