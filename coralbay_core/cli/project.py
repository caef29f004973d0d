"""The command ``project``."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from ..errors import InputError
from ..spatial import LabelVolume, Volume
from ..util.atomic_file import atomic_path
from . import options
from .common import features_of, open_ct, open_labels, open_model, require_outputs, weights_files
from .options import CtPath, Device, Json, Model, Series, Stages
from .output import emit, note

if TYPE_CHECKING:
    from ..features import FeatureMaps
    from ..projection import Basis, Embedding, RgbMap, Scatter

OVERVIEW_WINDOW_HU = (-160.0, 240.0)


def project(
    ct: CtPath,
    method: Annotated[
        Literal["pca", "umap"], typer.Option(metavar="pca|umap", help="Method that turns features into colors.")
    ] = "pca",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="RGB.nii.gz", help="File for the color volume.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="OVERVIEW.png", help="File for an overview picture of three planes.")
    ] = None,
    components: Annotated[
        str, typer.Option(metavar="1,2,3", help="Components shown as red, green and blue (PCA only).")
    ] = "1,2,3",
    basis: Annotated[
        Path | None,
        typer.Option(
            metavar="BASIS.safetensors", help="Saved components to use, so that colors mean the same in every scan."
        ),
    ] = None,
    fit_with: Annotated[
        list[Path] | None, typer.Option(metavar="CT", help="Another CT to fit the components on; may be repeated.")
    ] = None,
    save_basis: Annotated[
        Path | None,
        typer.Option(metavar="BASIS.safetensors", help="File to save the components to, for use with other scans."),
    ] = None,
    inside: Annotated[
        Path | None, typer.Option(metavar="MASK.nii.gz", help="Mask on the CT's grid; only voxels above 0 are used.")
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=2,
            max=255,
            help="Also group the cells into clusters: their number (k-means) or resolution (hdbscan).",
        ),
    ] = None,
    cluster_method: Annotated[
        Literal["kmeans", "hdbscan"],
        typer.Option(
            metavar="kmeans|hdbscan",
            help="Clustering method. hdbscan chooses the number itself; a larger --clusters allows smaller clusters.",
        ),
    ] = "kmeans",
    labels: Annotated[
        Path | None, typer.Option(metavar="CLUSTERS.nii.gz", help="File for the label map of the clusters.")
    ] = None,
    scatter: Annotated[
        Path | None,
        typer.Option(
            metavar="POINTS.csv", help="File for the scatter plot: x, y and the position in mm of each point."
        ),
    ] = None,
    stages: Stages = None,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Random seed of sampling, UMAP and clustering.")] = 0,
    as_json: Json = False,
) -> None:
    """Show features as colors, clusters or a scatter plot.

    Regions that are similar for the model get similar colors.
    """
    chosen = _components(components)
    strides = options.strides(stages)
    _require_outputs(ct, out, png, labels, scatter, save_basis, clusters)
    require_outputs(
        (out, png, labels, scatter, save_basis), ct, basis, *(fit_with or ()), *weights_files(model), labels=[inside]
    )
    if basis is not None and (fit_with or save_basis):
        raise InputError(
            "a saved basis is not fitted again", where="--basis", hint="leave out --fit-with and --save-basis"
        )
    if inside is not None and fit_with:
        raise InputError("a mask applies to one scan only", where="--inside", hint="leave out --fit-with")
    from ..projection import cells_inside, load_basis
    from ..projection.embedding import require_umap

    if method == "umap":
        require_umap()
    known = None if basis is None else load_basis(basis)
    volume = open_ct(ct, series)
    mask = None if inside is None else open_labels(inside, like=volume)
    encoder = open_model(model, device)
    features = features_of(volume, encoder, known.strides if known else strides)
    selected = None if mask is None else cells_inside(features, mask.data, mask.grid)
    others = [features_of(open_ct(path), encoder, strides) for path in fit_with or ()]
    axes = known or _fit(features, others, selected, strides, max(chosen) + 1, seed)
    axes.require_fits(features)
    shown = Shown(features, axes, selected, seed)
    rgb = shown.colors(method, chosen) if out or png else None
    groups = shown.clusters(clusters, cluster_method, method) if clusters else None
    outputs = {
        "rgb": _save_rgb(out, rgb, volume),
        "png": None if png is None or rgb is None else _draw(png, rgb, volume, features),
        "labels": _save_labels(labels, groups, volume),
        "scatter": None if scatter is None else _write_scatter(scatter, shown.scatter(method)),
        "basis": None if save_basis is None else axes.save(save_basis),
    }
    _write_provenance(
        outputs,
        volume,
        encoder,
        method=method,
        stages=axes.strides,
        components=[c + 1 for c in chosen],
        basis_scans=axes.scans,
        clusters=clusters,
        seed=seed,
    )
    explained = [axes.explained[c] for c in chosen]
    emit(
        "project",
        as_json=as_json,
        inputs={"ct": ct, "method": method, "stages": axes.strides, "components": [c + 1 for c in chosen]},
        outputs=outputs,
        results={
            "model": encoder.name,
            "explained": explained,
            "basis_scans": axes.scans,
            "clusters": None if groups is None else _sizes(groups),
            "notes": volume.notes,
        },
        lines=["explained:     " + ", ".join(f"{share:.1%}" for share in explained)],
    )


class Shown:
    """Colors, clusters and scatter plot of one scan; UMAP embeddings are computed once.

    Parameters
    ----------
    features : FeatureMaps
    basis : Basis
    selected : (z, y, x) bool array, optional
    seed : int
    """

    def __init__(self, features: "FeatureMaps", basis: "Basis", selected: NDArray[np.bool_] | None, seed: int):
        from ..projection import cells_inside

        self.features, self.basis, self.selected, self.seed = features, basis, selected, seed
        self.cells = cells_inside(features) if selected is None else selected
        self._embeddings: dict[int, Embedding] = {}

    def embedding(self, dimensions: int) -> "Embedding":
        """UMAP of the scan, fitted once per number of dimensions."""
        from ..projection import fit_umap

        if dimensions not in self._embeddings:
            note(f"UMAP in {dimensions} dimensions: takes a minute or more")
            fitted = fit_umap(self.features, dimensions, inside=self.selected, basis=self.basis, seed=self.seed)
            self._embeddings[dimensions] = fitted.apply(self.features, self.cells)
        return self._embeddings[dimensions]

    def colors(self, method: str, chosen: tuple[int, int, int]) -> "RgbMap":
        """Color the scan by a method, from the chosen components."""
        if method == "umap":
            return self.embedding(3).rgb()
        return self.basis.rgb(self.features, chosen, self.selected)

    def scatter(self, method: str) -> "Scatter":
        """Make the scatter plot of a method."""
        from ..projection import scatter_of

        if method == "umap":
            return scatter_of(self.embedding(2))
        return scatter_of(self.basis, self.features, self.cells)

    def clusters(self, count: int, how: Any, method: str) -> LabelVolume:
        """Cluster the cells in the coordinates of a method."""
        from ..projection import cluster_cells

        maps = self.embedding(2).coordinates if method == "umap" else self.basis.coordinates(self.features)
        return cluster_cells(maps, self.cells, self.features.finest.grid, count, method=how, seed=self.seed)


def _fit(
    features: "FeatureMaps",
    others: "list[FeatureMaps]",
    selected: NDArray[np.bool_] | None,
    strides: tuple[int, ...] | None,
    least: int,
    seed: int,
) -> "Basis":
    from ..projection import fit_basis
    from ..projection.basis import COMPONENTS

    return fit_basis([features, *others], max(COMPONENTS, least), inside=selected, strides=strides, seed=seed)


def _components(text: str) -> tuple[int, int, int]:
    """Parse three component numbers, counted from 1, to indices from 0."""
    try:
        red, green, blue = (int(part) - 1 for part in text.split(","))
        if min(red, green, blue) < 0:
            raise ValueError
    except ValueError:
        raise InputError(
            "not a list of components", where="--components", found=text, expected="three numbers from 1, e.g. 1,2,3"
        ) from None
    return red, green, blue


def _require_outputs(
    ct: Path,
    out: Path | None,
    png: Path | None,
    labels: Path | None,
    scatter: Path | None,
    save_basis: Path | None,
    clusters: int | None,
) -> None:
    from ..io import require_output

    if all(path is None for path in (out, png, labels, scatter, save_basis)):
        raise InputError(
            "no output file", expected="at least one of -o RGB.nii.gz, --png, --labels, --scatter, --save-basis"
        )
    require_output(out, ct, labels=False)
    require_output(labels, ct)
    if (labels is None) != (clusters is None):
        raise InputError(
            "--clusters and --labels belong together", expected="both, e.g. --clusters 8 --labels CLUSTERS.nii.gz"
        )
    options.require_safetensors(save_basis, "basis")
    for path, suffix in ((png, ".png"), (scatter, ".csv")):
        if path is not None and path.suffix.lower() != suffix:
            what = "picture" if suffix == ".png" else "table"
            raise InputError(f"not a {what} name", where=path, expected=f"a name that ends in {suffix}")


def _save_rgb(path: Path | None, rgb: "RgbMap | None", volume: Volume) -> Path | None:
    from ..io import save_map

    return None if path is None or rgb is None else save_map(path, rgb.resample_to(volume.grid), volume)


def _save_labels(path: Path | None, groups: LabelVolume | None, volume: Volume) -> Path | None:
    from ..io import save_labels
    from ..projection import labels_on

    if path is None or groups is None:
        return None
    return save_labels(path, replace(labels_on(groups, volume.grid), source=volume.source_grid))


def _write_provenance(outputs: dict[str, Path | None], volume: Volume, encoder: Any, **parameters: Any) -> None:
    """Write a provenance file next to each result; a basis contains its own."""
    from ..provenance import provenance, write_provenance

    about = provenance(volume, model=encoder.name, fingerprint=encoder.fingerprint, **parameters)
    for name, path in outputs.items():
        if path is not None and name != "basis":
            write_provenance(path, about)


def _sizes(groups: LabelVolume) -> list[dict[str, Any]]:
    values, counts = np.unique(groups.data[groups.data > 0], return_counts=True)
    return [{"value": v, "size_ml": c * groups.grid.voxel_ml} for v, c in zip(values, counts, strict=True)]


def _draw(path: Path, rgb: "RgbMap", volume: Volume, features: "FeatureMaps") -> Path:
    from ..spatial.resampling import resample
    from .overview_image import overview, write_png

    hu = resample(volume.data, volume.grid, features.grid)
    return write_png(path, overview(np.asarray(hu), rgb.resample_to(features.grid), features.body, OVERVIEW_WINDOW_HU))


def _write_scatter(path: Path, points: "Scatter") -> Path:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "y", "R_mm", "A_mm", "S_mm"])
        for point, place in zip(points.points, points.position_mm, strict=True):
            writer.writerow([f"{v:.4f}" for v in point] + [f"{v:.2f}" for v in place])
    return path
