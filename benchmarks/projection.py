"""UMAP of all cells of a scan from a sample: how well, how fast.

    make bench-projection
    python benchmarks/projection.py [--ct CT] [--cells 250000] [--threads 2]

UMAP is fitted on a seeded sample of a scan's principal coordinates. Its own ``transform`` of cells that were not in the
sample is what the fast ways are compared with, on the same cells: trustworthiness (scikit-learn), the share of each
cell's 15 nearest neighbors in the coordinates that stay among its 15 nearest in the plane, and the median distance to
where ``transform`` puts the cell, in parts of the plane's spread. Times of the three ways are taken in turn in one
process, medians; the time for `--cells` cells is measured for the fast ways and is that of the compared cells, scaled,
for ``transform``.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from coralbay_core import load_encoder, load_volume
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.projection import UmapModel, cells_inside, fit_basis, fit_umap
from coralbay_core.projection.embedding import FIT_CELLS, interpolate_nearest, train_regressor

CT = Path("../shared/ct/labelled/totalseg_example/ct.nii.gz")
COMPARED = 4000
NEIGHBORS = 15
REPEATS = 3

Way = Callable[[NDArray], NDArray]


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
    print(f"{len(cells)} cells of {arguments.ct}, {cells.shape[1]} components, sample {FIT_CELLS}", end=", ")
    print(f"{arguments.threads} thread(s); {COMPARED} cells compared\n")
    for dimensions in (2, 3):
        started = time.perf_counter()
        model = fit_umap(features, dimensions, basis=basis)
        print(f"{dimensions}-D: fit of the sample {time.perf_counter() - started:.1f} s\n")
        compare(model, cells, arguments.cells)


def compare(model: UmapModel, cells: NDArray, count: int) -> None:
    """Print the table of one embedding."""
    known = {point.tobytes() for point in model.sample}
    others = np.array([cell.tobytes() not in known for cell in cells])
    rng = np.random.default_rng(1)
    asked = cells[np.sort(rng.permutation(np.flatnonzero(others))[:COMPARED])]
    many = cells[rng.integers(len(cells), size=count)]
    started = time.perf_counter()
    network = train_regressor(model.sample, model.embedded)
    training = time.perf_counter() - started
    ways: dict[str, Way] = {
        "umap.transform": lambda x: np.asarray(model.reducer.transform(x), np.float32),
        "neighbors": lambda x: interpolate_nearest(model.sample, model.embedded, x),
        f"network ({training:.1f} s to train)": lambda x: network(torch.from_numpy(x)).detach().numpy(),
    }
    found: dict[str, NDArray] = {}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ways["umap.transform"](asked[:10])  # compiles
        for _ in range(REPEATS):
            for name, way in ways.items():
                inputs = asked if name == "umap.transform" else many
                started = time.perf_counter()
                made = way(inputs)
                spent[name].append(time.perf_counter() - started)
                found[name] = made if inputs is asked else way(asked)
    print(f"| | trustworthiness | neighbors kept | distance to transform | s for {count} cells |")
    print("|---|---|---|---|---|")
    reference = found["umap.transform"]
    size = float(np.linalg.norm(reference - reference.mean(0), axis=1).mean())
    for name, plane in found.items():
        seconds = statistics.median(spent[name]) * (count / len(asked) if name == "umap.transform" else 1)
        away = float(np.median(np.linalg.norm(plane - reference, axis=1))) / size
        print(f"| {name} | {trust(asked, plane):.3f} | {kept(asked, plane):.3f} | {away:.3f} | {seconds:.1f} |")
    print(flush=True)


def trust(cells: NDArray, plane: NDArray) -> float:
    """Trustworthiness (Venna and Kaski 2001)."""
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(cells, plane, n_neighbors=NEIGHBORS))


def kept(cells: NDArray, plane: NDArray) -> float:
    """Mean share of the nearest neighbors that stay so."""
    from sklearn.neighbors import NearestNeighbors

    near = [NearestNeighbors(n_neighbors=NEIGHBORS).fit(x).kneighbors(return_distance=False) for x in (cells, plane)]
    return float(np.mean([len(set(a) & set(b)) / NEIGHBORS for a, b in zip(*near, strict=True)]))


if __name__ == "__main__":
    main()
