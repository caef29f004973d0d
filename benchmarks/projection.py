"""UMAP of all cells of a scan from a sample: how well, how fast.

    make bench-projection
    python benchmarks/projection.py [--ct CT] [--cells 250000] [--threads 2]

Ours (a fit to a sample whose neighbors are given, then all other cells placed among their nearest of the sample) beside
the library's own fit of the same sample with its defaults, and its ``transform``. Cells that were not in the sample are
compared: trustworthiness (scikit-learn), and the share of each cell's 15 nearest neighbors in the coordinates that stay
among its 15 nearest in the embedding. Seconds of the first fit in a process include imports and compilation.
``transform`` is timed on the compared cells, and its time scaled to `--cells` cells; ours is measured on so many.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from coralbay_core import load_encoder, load_volume
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.projection import UmapModel, cells_inside, fit_basis, fit_umap
from coralbay_core.projection.embedding import FIT_CELLS

CT = Path("../shared/ct/labelled/totalseg_example/ct.nii.gz")
COMPARED = 4000
NEIGHBORS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ct", type=Path, default=CT)
    parser.add_argument("--cells", type=int, default=250_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    features = features_for(load_volume(arguments.ct), load_encoder())
    basis, inside = fit_basis(features), cells_inside(features)
    cells = np.ascontiguousarray(basis.coordinates(features)[:, inside].T)
    print(
        f"{len(cells)} cells of {arguments.ct.parent.name}, {cells.shape[1]} components, sample {FIT_CELLS}", end=", "
    )
    print(f"{arguments.threads} thread(s); {COMPARED} cells compared")
    started = time.perf_counter()
    fit_umap(features, 2, basis=basis)
    print(f"first fit of the process, ours: {time.perf_counter() - started:.1f} s\n")
    print("| | fit, s | placing, s | trustworthiness | neighbors preserved |\n|---|---|---|---|---|")
    for dimensions in (2, 3):
        started = time.perf_counter()
        model = fit_umap(features, dimensions, basis=basis)
        compare(model, cells, arguments.cells, time.perf_counter() - started)


def compare(model: UmapModel, cells: NDArray, count: int, fit_s: float) -> None:
    """Print the rows of one number of dimensions."""
    import umap

    known = {point.tobytes() for point in model.sample}
    others = np.array([cell.tobytes() not in known for cell in cells])
    rng = np.random.default_rng(1)
    asked = cells[np.sort(rng.permutation(np.flatnonzero(others))[:COMPARED])]
    many = cells[rng.integers(len(cells), size=count)]
    dimensions = model.embedded.shape[1]
    started = time.perf_counter()
    model.embed(many)
    row(f"ours, {dimensions}-D", fit_s, time.perf_counter() - started, asked, model.embed(asked))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = umap.UMAP(n_components=dimensions, random_state=0, n_jobs=1)
        library.fit(model.sample[:1000]).transform(asked[:10])  # compiles
        started = time.perf_counter()
        library.fit(model.sample)
        library_s = time.perf_counter() - started
        started = time.perf_counter()
        placed = np.asarray(library.transform(asked), np.float32)
    placing_s = (time.perf_counter() - started) * count / len(asked)
    row(f"umap-learn, {dimensions}-D", library_s, placing_s, asked, placed)


def row(name: str, fit_s: float, placing_s: float, asked: NDArray, placed: NDArray) -> None:
    figures = f"{trustworthiness_of(asked, placed):.3f} | {preserved(asked, placed):.3f}"
    print(f"| {name} | {fit_s:.1f} | {placing_s:.1f} | {figures} |", flush=True)


def trustworthiness_of(cells: NDArray, placed: NDArray) -> float:
    """Trustworthiness (Venna and Kaski 2001)."""
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(cells, placed, n_neighbors=NEIGHBORS))


def preserved(cells: NDArray, placed: NDArray) -> float:
    """Mean share of the nearest neighbors that stay so."""
    from sklearn.neighbors import NearestNeighbors

    near = [NearestNeighbors(n_neighbors=NEIGHBORS).fit(x).kneighbors(return_distance=False) for x in (cells, placed)]
    return float(np.mean([len(set(a) & set(b)) / NEIGHBORS for a, b in zip(*near, strict=True)]))


if __name__ == "__main__":
    main()
