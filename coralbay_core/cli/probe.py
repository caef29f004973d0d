"""The command group ``probe``: ``fit``, ``apply``, ``suggest`` and ``stats``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from ..errors import InputError
from ..spatial import LabelVolume, Volume
from . import options
from .command_line import CommandLine
from .common import features_of, open_ct, open_labels, open_model, require_outputs, weights_files
from .labels import examples_with_rest, note_background, only
from .options import CtPath, Device, Json, Model, ProbeModel, Report, Series, Stages
from .output import Progress, emit, position, table
from .scans import Batch, Source, scans_in

if TYPE_CHECKING:
    from ..features import FeatureMaps
    from ..probe import LabelStatistics, Probe, ScoreMap, Segmentation, Suggestion

app = CommandLine(help="Segment CTs from a few painted strokes.")

ProbePath = Annotated[Path, typer.Argument(metavar="PROBE", help="Probe file written by `coralbay probe fit`.")]
_LARGE_VOXELS = 20_000_000
# The names in `probe.KINDS`, written out so that `--help` need not import torch; a test compares them.
ProbeKind = Literal["discriminant", "prototype", "ridge", "logistic", "knn", "mlp"]


# --- fit ----------------------------------------------------------------------------------------------------------


@app.command("fit")
def fit(
    cts: Annotated[
        list[Path],
        typer.Argument(metavar="CT", help="CT scans: NIfTI files, DICOM folders or any file of a DICOM series."),
    ],
    labels: Annotated[
        list[Path],
        typer.Option(
            metavar="STROKES.nii.gz", help="Label map on the CT's grid, 0 = unlabeled; one per CT, in the same order."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="PROBE.safetensors", help="File for the probe.")],
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="VALUE|NAME", help="Label to learn; may be repeated.  [default: all labels]"),
    ] = None,
    background: Annotated[
        Literal["unlabeled", "rest"],
        typer.Option(
            metavar="unlabeled|rest",
            help="Meaning of 0: unlabeled, as in strokes, or the rest of the body, as in segmentations; "
            "rest is learned as a class of its own, with the value 0.",
        ),
    ] = "unlabeled",
    kind: Annotated[
        ProbeKind,
        typer.Option(
            metavar="discriminant|prototype|ridge|logistic|knn|mlp",
            help="Type of classifier; discriminant is best for few strokes.",
        ),
    ] = "discriminant",
    stages: Stages = None,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Random seed of sampling and fitting.")] = 0,
    as_json: Json = False,
) -> None:
    """Fit a probe to strokes, points or label maps on CTs.

    A probe is a small classifier on the features of one model.
    """
    from ..probe import fit_examples, gather

    strides = options.strides(stages)
    options.require_safetensors(out, "probe")
    if len(cts) != len(labels):
        raise InputError(
            "numbers of CTs and label maps differ",
            found=f"{len(labels)} label maps for {len(cts)} CTs",
            expected="one --labels per CT",
        )
    require_outputs([out], *cts, *weights_files(model), labels=labels)
    volumes = [open_ct(path, series if len(cts) == 1 else None) for path in cts]
    strokes = [open_labels(path, like=volume) for path, volume in zip(labels, volumes, strict=True)]
    if label:
        strokes = [only(drawn, label) for drawn in strokes]
    _require_classes(strokes, labels, background)
    encoder = open_model(model, device)
    examples = []
    for volume, drawn in zip(volumes, strokes, strict=True):
        features = features_of(volume, encoder, strides)
        if background == "rest":
            examples.append(examples_with_rest(features, drawn, strides, seed))
        else:
            note_background(drawn, features)
            examples.append(gather(features, drawn, strides=strides, seed=seed))
    fitted = fit_examples(examples, kind=kind, seed=seed, where=", ".join(map(str, labels)))
    labeled = sum(int(np.count_nonzero(drawn.data)) for drawn in strokes)
    emit(
        "probe fit",
        as_json=as_json,
        inputs={"cts": cts, "labels": labels, "kind": kind, "background": background},
        outputs={"probe": fitted.save(out)},
        results={
            "model": fitted.model,
            "kind": fitted.kind,
            "values": fitted.values,
            "names": fitted.names,
            "stages": fitted.strides,
            "labelled_voxels": labeled,
            "scans": fitted.scans,
        },
        lines=table({"classes": ", ".join(map(str, fitted.values)), "labeled": f"{labeled} voxels"}),
    )


def _require_classes(strokes: list[LabelVolume], labels: list[Path], background: str) -> None:
    """Raise before features are computed if there is nothing to tell apart."""
    values = {int(value) for drawn in strokes for value in np.unique(drawn.data) if value}
    least = 1 if background == "rest" else 2
    if len(values) < least:
        raise InputError(
            "strokes need two classes or more" if values else "nothing is painted",
            where=", ".join(map(str, labels)),
            found=f"values {sorted(values)}",
            expected="e.g. 1 = background, 2 = organ",
            hint="where 0 means background, add --background rest" if values else "",
        )


# --- apply --------------------------------------------------------------------------------------------------------


@app.command("apply")
def apply(
    probe: ProbePath,
    ct: Annotated[
        Path, typer.Argument(metavar="CT|FOLDER", help="CT scan, or folder of scans of any format, at any depth.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="SEG.nii.gz|DIR", help="File for the label map; a folder if CT is a folder."
        ),
    ],
    probability: Annotated[
        Path | None,
        typer.Option(
            metavar="P.nii.gz|DIR", help="File for the probability of each voxel's label; a folder if CT is a folder."
        ),
    ] = None,
    margin: Annotated[
        Path | None,
        typer.Option(
            metavar="M.nii.gz|DIR",
            help="File for the margin: probability of the best label minus that of the second best.",
        ),
    ] = None,
    refine: Annotated[bool, typer.Option(help="Align label borders with edges in the CT.")] = True,
    protect: Annotated[
        Path | None,
        typer.Option(metavar="LABELS.nii.gz|DIR", help="Label map to copy into the result wherever it is above 0."),
    ] = None,
    strokes: Annotated[
        Path | None,
        typer.Option(
            metavar="STROKES.nii.gz|DIR",
            help="Strokes on this CT, e.g. those of `probe fit`: labels then spread from them to what is connected.",
        ),
    ] = None,
    report: Report = None,
    model: ProbeModel = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Segment a CT, or every CT in a folder, with a probe.

    Label values are those of the strokes. Scans of a folder that cannot be read are reported at the end (exit code 1).
    """
    from ..probe import load_probe

    fitted = load_probe(probe)
    found = scans_in(ct, series)
    several = found.is_folder and not (len(found.sources) == 1 and _is_map(out))
    jobs = [_Job(source, several, out, probability, margin, protect, strokes) for source in found.sources]
    inputs = (ct, probe, *found.files, *weights_files(model), *(job.protect for job in jobs))
    inputs += tuple(job.strokes for job in jobs)
    options.require_csv(report)
    for job in jobs:
        job.require_names()
    require_outputs(
        [*(path for job in jobs for path in job.outputs), report],
        *inputs,
        labels=[*(j.protect for j in jobs), *(j.strokes for j in jobs)],
    )
    encoder = open_model(model or fitted.model, device)
    batch = Batch("segmentations", len(jobs), several, found.passed_over, report)
    done = []
    for job in jobs:
        with batch.scan(job.source):
            done.append(job.run(fitted, encoder, refine))
    if not done:
        batch.finish()
    first = done[0]
    results: dict[str, Any] = {"model": fitted.model, "refined": refine}
    if not several:
        results |= {"classes": first["classes"], "notes": first["notes"]}
    emit(
        "probe apply",
        as_json=as_json,
        inputs={"probe": probe, "ct": ct, "protect": protect, "strokes": strokes},
        outputs={"folder": out} if several else first["outputs"],
        results=results | ({"scans": done, "failed": batch.failed} if several else {}),
        lines=[line for entry in done for line in _lines(entry, several)],
    )
    batch.finish()


def _progress(title: str, scan: Volume | LabelVolume) -> Progress | None:
    """Progress of work on voxels; None where it takes seconds only."""
    return Progress(title) if scan.data.size > _LARGE_VOXELS else None


def _is_map(path: Path) -> bool:
    from ..io.map_files import is_map_name

    return is_map_name(path)


class _Job:
    """Input and output files of one scan."""

    def __init__(
        self,
        source: Source,
        several: bool,
        out: Path,
        probability: Path | None,
        margin: Path | None,
        protect: Path | None,
        strokes: Path | None,
    ):
        def place(path: Path | None) -> Path | None:
            return path / f"{source.name}.nii.gz" if several and path is not None else path

        self.source = source
        self.seg = out / f"{source.name}.nii.gz" if several else out
        self.probability, self.margin = place(probability), place(margin)
        self.protect, self.strokes = (
            # Of a folder, some scans may have no such file.
            None if several and path is not None and not path.exists() else path
            for path in (place(protect), place(strokes))
        )

    @property
    def outputs(self) -> tuple[Path | None, ...]:
        return self.seg, self.probability, self.margin

    def require_names(self) -> None:
        from ..io import require_output

        require_output(self.seg)
        for path in (self.probability, self.margin):
            require_output(path, labels=False)

    def run(self, fitted: "Probe", encoder: Any, refine: bool) -> dict[str, Any]:
        from ..io import save_labels, save_map
        from ..provenance import provenance, write_provenance

        volume = open_ct(self.source.path, self.source.series)
        protected = None if self.protect is None else open_labels(self.protect, like=volume)
        features = features_of(volume, encoder, fitted.strides)
        made: Segmentation = self._scores(fitted, features, volume).segment(
            volume.grid,
            guide=volume if refine else None,
            protected=protected,
            probability=self.probability is not None,
            margin=self.margin is not None,
            progress=_progress(f"slices of {self.source.name}", volume),
        )
        names = fitted.names | ({} if protected is None else protected.names)
        colors = {} if protected is None else protected.colors
        labels = LabelVolume(made.labels, volume.grid, source=volume.source_grid, names=names, colors=colors)
        outputs = {"seg": save_labels(self.seg, labels)}
        maps = {"probability": (self.probability, made.probability), "margin": (self.margin, made.margin)}
        outputs |= {
            key: save_map(path, data, volume)
            for key, (path, data) in maps.items()
            if path is not None and data is not None
        }
        about = provenance(
            volume,
            model=encoder.name,
            fingerprint=encoder.fingerprint,
            probe=fitted.kind,
            probe_scans=fitted.scans,
            stages=fitted.strides,
            refined=refine,
            protected=True if protected else None,
            strokes=True if self.strokes else None,
        )
        for path in outputs.values():
            write_provenance(path, about)
        return {
            "name": self.source.name,
            "outputs": outputs,
            "classes": _sizes(made.labels, volume, names),
            "notes": volume.notes,
        }

    def _scores(self, fitted: "Probe", features: "FeatureMaps", volume: Volume) -> "ScoreMap":
        """Scores of the probe; from strokes on this scan they follow connections."""
        from ..probe import connected_scores

        if self.strokes is None:
            return fitted.scores(features)
        return connected_scores(fitted, features, open_labels(self.strokes, like=volume), volume)


def _lines(entry: dict[str, Any], several: bool) -> list[str]:
    head = [f"{entry['name']}:"] if several else []
    return head + [f"label {c['value']:<4} {c['size_ml']:>10.1f} ml  {c['name']}".rstrip() for c in entry["classes"]]


def _sizes(segmentation: np.ndarray, volume: Volume, names: dict[int, str]) -> list[dict[str, Any]]:
    values, counts = np.unique(segmentation, return_counts=True)
    return [
        {"value": int(value), "name": names.get(int(value), ""), "size_ml": float(count * volume.grid.voxel_ml)}
        for value, count in zip(values, counts, strict=True)
        if value
    ]


# --- suggest ------------------------------------------------------------------------------------------------------


@app.command("suggest")
def suggest(
    probe: ProbePath,
    ct: CtPath,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="STROKES.nii.gz", help="Label map of the strokes so far; suggestions keep a distance from them."
        ),
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="X,Y,Z", help="Earlier suggestion to skip, in mm; may be repeated.")
    ] = None,
    count: Annotated[int, typer.Option(metavar="N", min=1, help="Number of positions to suggest.")] = 5,
    model: ProbeModel = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Suggest positions where the next stroke would help a probe most."""
    from ..probe import load_probe, suggest_next

    skipped = options.points(skip, "--skip")
    fitted = load_probe(probe)
    volume = open_ct(ct, series)
    painted = np.zeros((0, 3))
    if labels is not None:
        drawn = open_labels(labels, like=volume)
        painted = _thinned(drawn)
    features = features_of(volume, open_model(model or fitted.model, device), fitted.strides)
    found = suggest_next(fitted.scores(features), painted, skipped, count=count)
    emit(
        "probe suggest",
        as_json=as_json,
        inputs={"probe": probe, "ct": ct, "labels": labels, "skip_mm": skipped},
        results={"suggestions": [vars(place) for place in found]},
        lines=_suggested(found, fitted.names),
    )


def _thinned(drawn: LabelVolume, most: int = 2000) -> np.ndarray:
    """World mm of labeled voxels, subsampled if there are very many."""
    cells = np.flatnonzero(drawn.data)
    return drawn.grid.cell_positions(cells[:: max(1, len(cells) // most)])


def _suggested(found: "list[Suggestion]", names: dict[int, str]) -> list[str]:
    head = ["doubt   position (mm, RAS)         between"] if found else ["nothing left to suggest"]
    return head + [
        f"{place.doubt:>5.2f}   {position(place.position_mm):<26} "
        + " and ".join(f"{value} {names.get(value, '')}".strip() for value in place.candidates)
        for place in found
    ]


# --- stats --------------------------------------------------------------------------------------------------------


@app.command("stats")
def stats(
    seg: Annotated[Path, typer.Argument(metavar="SEG.nii.gz", help="Segmentation to measure.")],
    reference: Annotated[
        Path | None, typer.Option(metavar="REF.nii.gz", help="Reference segmentation on the same grid.")
    ] = None,
    ct: Annotated[Path | None, typer.Option(metavar="CT", help="CT of the segmentation, to report mean HU.")] = None,
    table_path: Annotated[Path | None, typer.Option("--csv", metavar="TABLE.csv", help="File for the table.")] = None,
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Measure the labels of a segmentation.

    Reports volume, mean HU, and Dice and surface distance to a reference.
    """
    from ..probe import label_statistics, require_table_name, save_statistics

    if table_path is not None:
        require_table_name(table_path)
    require_outputs([table_path], ct, labels=[seg, reference])
    volume = None if ct is None else open_ct(ct, series)
    found = open_labels(seg, like=volume) if volume is not None else open_labels(seg)
    wanted = None if reference is None else open_labels(reference, like=found)
    rows = label_statistics(found, volume, wanted, _progress("labels", found))
    emit(
        "probe stats",
        as_json=as_json,
        inputs={"seg": seg, "reference": reference, "ct": ct},
        outputs={"csv": None if table_path is None else save_statistics(table_path, rows)},
        results={"labels": [row.as_row() for row in rows]},
        lines=_rows(rows),
    )


def _rows(rows: "list[LabelStatistics]") -> list[str]:
    return ["label          ml   Dice  surface (mm)  mean HU  name"] + [
        f"{r.value:<6} {r.volume_ml:>10.1f}  {_number(r.dice, 5, 3)}  {_number(r.surface_mm, 12, 2)}  "
        f"{_number(r.mean_hu, 7, 1)}  {r.name}".rstrip()
        for r in rows
    ]


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}f}"
