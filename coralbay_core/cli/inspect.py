"""The commands ``info`` and ``phantom``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from ..spatial import LabelVolume, Volume, geometry
from ..util.atomic_file import write_atomically
from .options import CtPath, Json, Series
from .output import emit, table


def info(ct: CtPath, series: Series = None, as_json: Json = False) -> None:
    """Print the geometry, HU range, modality and warnings of a CT."""
    from ..io import load_volume

    volume = load_volume(ct, series=series)
    results = describe(volume)
    emit("info", as_json=as_json, inputs={"ct": ct, "series": series}, results=results, lines=_info_lines(results))


def describe(volume: Volume) -> dict[str, Any]:
    """Collect the results of `info` for a volume."""
    from ..spatial.preprocessing import model_grid

    source = volume.source_grid
    low, high = volume.grid.bounds_mm
    return {
        "name": volume.name,
        "shape": volume.shape,
        "spacing_mm": volume.grid.spacing_mm,
        "axis_codes": geometry.axis_codes(volume.affine),
        "affine": volume.affine,
        "bounds_mm": {"low": low, "high": high},
        "file_shape": source.shape,
        "file_orientation": "".join(geometry.axis_codes(source.affine)),
        "oblique_degrees": geometry.obliqueness_degrees(source.affine),
        "hu_range": [volume.data.min(), volume.data.max()],
        "dtype": str(volume.data.dtype),
        "modality": volume.modality,
        "model_grid_shape": model_grid(volume.grid).shape,
        "notes": volume.notes,
    }


def _info_lines(results: dict[str, Any]) -> list[str]:
    low, high = results["bounds_mm"]["low"], results["bounds_mm"]["high"]
    bounds = ", ".join(f"{axis} {a:.1f}..{b:.1f}" for axis, a, b in zip("RAS", low, high, strict=True))
    rows = {
        "name": results["name"],
        "shape": f"{_times(results['shape'])} (z, y, x; axes {' '.join(results['axis_codes'])})",
        "spacing": f"{_times(f'{v:.4g}' for v in results['spacing_mm'])} mm (z, y, x)",
        "bounds": f"{bounds} mm",
        "file": f"{_times(results['file_shape'])}, axes {' '.join(results['file_orientation'])}",
        "oblique": f"{results['oblique_degrees']:.1f} degrees",
        "HU": "{:g}..{:g}".format(*results["hu_range"]) + f" ({results['dtype']})",
        "modality": results["modality"],
        "model grid": f"{_times(results['model_grid_shape'])} at 1.5 mm",
    }
    return table(rows) + [f"warning:       {text}" for text in results["notes"]]


def _times(values: Any) -> str:
    return " x ".join(map(str, values))


def phantom(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder to write.")],
    seed: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Number of the synthetic subject; the same number gives the same subject."
        ),
    ] = 0,
    spacing: Annotated[float, typer.Option(metavar="MM", min=0.5, max=10, help="Voxel size in mm.")] = 1.5,
    as_json: Json = False,
) -> None:
    """Write a synthetic torso CT with labels and landmarks."""
    from ..io import save_map
    from ..phantom import make_phantom

    if out.exists() and not out.is_dir():
        raise InputError("output is not a folder", where=out, hint="choose another folder with -o")
    made = make_phantom(seed=seed, spacing_mm=(spacing,) * 3)
    outputs = {
        "ct": save_map(out / "ct.nii.gz", made.volume.data, made.volume),
        "labels": save_map(out / "labels.nii.gz", made.labels.data, made.labels),
        "names": _write_json(out / "labels.json", label_names(made.labels)),
        "landmarks": _write_json(out / "landmarks.json", {k: [*map(float, v)] for k, v in made.landmarks.items()}),
    }
    counts = f"{len(made.labels.names)} structures, {len(made.landmarks)} landmarks"
    results = {"shape": made.volume.shape, "labels": len(made.labels.names), "landmarks_mm": made.landmarks}
    lines = [f"phantom {seed}: {_times(made.volume.shape)} voxels of {spacing:g} mm, {counts}"]
    emit(
        "phantom",
        as_json=as_json,
        inputs={"seed": seed, "spacing_mm": spacing},
        outputs=outputs,
        results=results,
        lines=lines,
    )


def label_names(labels: LabelVolume) -> dict[str, str]:
    """Names by value, in the form that `load_labels` reads."""
    return {str(value): name for value, name in sorted(labels.names.items())}


def _write_json(path: Path, content: Any) -> Path:
    return write_atomically(path, json.dumps(content, indent=1) + "\n")
