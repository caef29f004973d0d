"""The command ``evaluate``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .options import Device, Json, model_names
from .output import Progress, emit, note


def evaluate(
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="REPORT", help="Folder for the report: tables, plots and pictures.")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Folder of labeled CTs; may be repeated.  [default: only the phantom]"),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            autocompletion=model_names,
            help="Model name or path; may be repeated.  [default: coralbay-mini]",
        ),
    ] = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published", help="Also measure all models of `coralbay models list` whose weights are downloaded."
        ),
    ] = False,
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Tasks out of retrieval, structure, across, transfer, fewshot, changes, regions.  [default: all]",
        ),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Layout of the data folders: folders, totalsegmentator, btcv, amos, msd, or auto."
        ),
    ] = "auto",
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Maximum number of scans per folder.")] = None,
    phantom: Annotated[bool, typer.Option(help="Also measure on the synthetic phantom, in separate columns.")] = True,
    baselines: Annotated[bool, typer.Option(help="Also measure baselines that need no training.")] = True,
    names: Annotated[
        bool,
        typer.Option(
            "--names",
            help="Name scans as their files and folders in the report, instead of case-01, case-02, ... in that order."
            "  [default: numbers, since names often contain that of a patient]",
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Random seed of clicks, image changes and confidence intervals.")
    ] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure models and baselines on labeled CTs.

    The tasks are retrieval, segmentation of a clicked structure, matching across scans, few-shot segmentation,
    robustness and k-NN region classification.
    """
    if out.exists() and not out.is_dir():
        raise InputError("output is not a folder", where=out, hint="choose another folder with -o")
    if not data and not phantom:
        raise InputError("no scans to measure on", expected="--data DIR, or --phantom")
    from ..evaluate import find, headline_lines, measure, open_cases, open_methods, published_models, write_report
    from ..evaluate.run import check_tasks
    from ..util.json_values import MILLIONTHS, plain

    chosen = check_tasks(None if tasks is None else tasks.split(","))
    downloaded, absent = published_models()
    wanted = [*(model or []), *(downloaded if published else [])]
    if published and absent:
        note(f"not measured, because their weights are not downloaded: {', '.join(absent)}")
    methods = open_methods(wanted, device=device, store=True, baselines=baselines)
    for method in methods:
        if method.notice:
            note(method.notice)
    cases = open_cases(data or [], layout=layout, phantom=phantom, limit=limit, names=names, report=_progress())
    evaluation = measure(methods, cases, tasks=chosen, seed=seed, report=_progress())
    findings = find(evaluation)
    written = write_report(evaluation, out, findings)
    emit(
        "evaluate",
        as_json=as_json,
        inputs={"data": data, "models": [m.name for m in methods if not m.is_baseline], "tasks": chosen, "seed": seed},
        outputs=written,
        results=plain(asdict(findings), MILLIONTHS),
        lines=headline_lines(findings),
    )


def _progress():
    """Progress of several consecutive steps, each counted under its own title."""
    known: dict[str, Progress] = {}

    def report(what: str, done: int, total: int) -> None:
        known.setdefault(what, Progress(what))(done, total)

    return report
