"""UMAP of a scan: similar descriptors near each other, as colors (3-D) or as a scatter plot (2-D).

UMAP (McInnes, Healy, Melville 2018, arXiv 1802.03426) is fitted on a seeded sample of principal coordinates. Its own
transform of all other cells takes minutes; a small network that has learned the embedding of the sample, or an
interpolation between the nearest cells of the sample, takes seconds (docs/measurements/benchmarks.md). Both apply to
other scans.
"""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import Cancelled, InputError
from ..features import FeatureMaps
from ..spatial import Grid
from ..util.arguments import checked
from ..util.extras import import_extra, require_extra
from .basis import Basis, fit_basis
from .colors import RgbMap, color_range, continued, scaled
from .selection import cells_inside, sample_cells

Spread = Literal["neighbors", "network"]
SPREADS: tuple[Spread, ...] = ("neighbors", "network")
FIT_CELLS = 5000
NEIGHBORS = 15
NEAREST = 4
_BLOCK = 1024
_NEED = "UMAP needs"
_INSTEAD = "or use PCA, which is always installed"


@dataclass(frozen=True, eq=False)
class Embedding:
    """Coordinates of each cell of a scan in a UMAP.

    Parameters
    ----------
    coordinates : (D, z, y, x) float32 array
        0 where `inside` is not.
    inside : (z, y, x) bool array
        Cells that were embedded.
    grid : Grid
        The finest stage's.
    model : UmapModel
    features : FeatureMaps
    """

    coordinates: NDArray[np.float32]
    inside: NDArray[np.bool_]
    grid: Grid
    model: "UmapModel"
    features: FeatureMaps

    def rgb(self, components: tuple[int, int, int] = (0, 1, 2)) -> RgbMap:
        """Map the three coordinates to colors; equal coordinates have equal colors in every scan.

        Parameters
        ----------
        components : tuple of int
            Coordinates shown as red, green and blue, from 0.
        """
        if len(self.coordinates) != 3:
            raise InputError("colors need another embedding", found=f"{len(self.coordinates)}-D", expected="3-D")
        chosen = list(components)
        if len(chosen) != 3 or not all(0 <= c < 3 for c in chosen):
            raise InputError("no such coordinates", found=[c + 1 for c in chosen], expected="three numbers from 1 to 3")
        colors = continued(scaled(self.coordinates, *self.model.range)[chosen], self.inside)
        whole = np.array_equal(self.inside, self.features.body_at(self.features.strides[0]))
        return RgbMap(colors, self.grid, (), self.features, None if whole else self.inside)


@dataclass(frozen=True, eq=False)
class UmapModel:
    """A UMAP of sampled cells that can embed all other cells.

    Parameters
    ----------
    basis : Basis
        Basis whose coordinates are embedded.
    sample : (N, K) float32 array
        Coordinates of the sampled cells.
    embedded : (N, D) float32 array
        Coordinates of the sample in the UMAP.
    spread : str
        ``neighbors``, interpolation between the nearest of the sample, or ``network``, a regression.
    reducer : umap.UMAP
        The library's own model.
    """

    basis: Basis
    sample: NDArray[np.float32]
    embedded: NDArray[np.float32]
    spread: Spread
    reducer: Any
    _network: torch.nn.Module | None = None

    @property
    def range(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """1st and 99th percentile of each coordinate of the sample."""
        return color_range(self.embedded.T)

    def embed(self, coordinates: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed principal coordinates (M, K); (M, D)."""
        if self._network is not None:
            with torch.inference_mode():
                return self._network(torch.from_numpy(coordinates)).numpy()
        return interpolate_nearest(self.sample, self.embedded, coordinates)

    def apply(self, features: FeatureMaps, inside: NDArray[np.bool_] | None = None) -> Embedding:
        """Embed the cells of a scan, the fitted one or another."""
        inside = cells_inside(features) if inside is None else inside
        maps = self.basis.coordinates(features)
        out = np.zeros((self.embedded.shape[1], *inside.shape), np.float32)
        out[:, inside] = self.embed(np.ascontiguousarray(maps[:, inside].T)).T
        return Embedding(out, inside, features.finest.grid, self, features)


@checked
def fit_umap(
    features: FeatureMaps,
    dimensions: int = 3,
    *,
    inside: NDArray[np.bool_] | None = None,
    basis: Basis | None = None,
    spread: Spread = "neighbors",
    fit_cells: int = FIT_CELLS,
    neighbors: int = NEIGHBORS,
    min_dist: float = 0.1,
    seed: int = 0,
    cancelled: Callable[[], bool] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> UmapModel:
    """Fit UMAP on a sample of a scan.

    Parameters
    ----------
    features : FeatureMaps
    dimensions : int
        3 for colors, 2 for a scatter plot.
    inside : (z, y, x) bool array, optional
        Cells of the finest stage to fit on; by default the body.
    basis : Basis, optional
        Basis whose coordinates are embedded; by default fitted on the same cells.
    spread : str
        Method to embed all other cells: see `UmapModel`.
    fit_cells : int
        Size of the sample.
    neighbors, min_dist : optional
        UMAP's ``n_neighbors`` and ``min_dist``.
    seed : int
        Seed of the sample and of UMAP.
    cancelled : callable, optional
        Returns whether the result is not wanted any more; checked before UMAP starts and, outside of notebooks, in each
        of its epochs.
    progress : callable, optional
        Called with the number of epochs that are done and that of all, outside of notebooks.

    Raises
    ------
    MissingExtraError
        If umap-learn is not installed.
    Cancelled
        Soon after `cancelled` returns true.
    """
    if spread not in SPREADS:
        raise InputError("unknown spread of an embedding", found=spread, expected=f"one of {', '.join(SPREADS)}")
    chosen = cells_inside(features) if inside is None else inside
    basis = basis or fit_basis(features, inside=inside, seed=seed)
    cells = sample_cells(chosen, fit_cells, seed)
    if len(cells) <= neighbors:
        raise InputError("selection too small for UMAP", found=f"{len(cells)} cells", expected=f"more than {neighbors}")
    maps = basis.coordinates(features)
    sample = np.ascontiguousarray(maps.reshape(len(maps), -1)[:, cells].T)
    watch = _EpochWatch(cancelled, progress)
    reducer, embedded = _umap(sample, dimensions, neighbors, min_dist, seed, watch)
    network = train_regressor(sample, embedded, seed=seed) if spread == "network" else None
    return UmapModel(basis, sample, embedded, spread, reducer, network)


class _EpochWatch:
    """Text stream for UMAP's progress bar, which is written in each epoch: the only place where UMAP can be stopped."""

    encoding = "utf-8"

    def __init__(
        self, cancelled: Callable[[], bool] | None, progress: Callable[[int, int], None] | None = None
    ) -> None:
        self._cancelled = cancelled or (lambda: False)
        self._progress = progress
        self.wanted = cancelled is not None or progress is not None

    def check_cancelled(self, where: str) -> None:
        if self._cancelled():
            raise Cancelled(f"stopped {where} UMAP")

    def write(self, text: str) -> int:
        self.check_cancelled("in")
        numbers = re.search(r"(\d+)/(\d+)", text)
        if numbers and self._progress is not None:
            self._progress(int(numbers[1]), int(numbers[2]))
        return len(text)

    def flush(self) -> None:
        pass


def _progress_bar(watch: _EpochWatch) -> dict[str, Any] | None:
    """Return settings of UMAP's progress bar that report its epochs, and can stop it in one.

    None in a notebook: its bar is a widget that would appear in the page and writes to no stream, so there UMAP can be
    stopped only before it starts.
    """
    from tqdm.auto import tqdm

    if any(base.__name__ == "tqdm_notebook" for base in tqdm.__mro__):
        return None
    return {"disable": False, "mininterval": 0, "file": watch}


def require_umap() -> None:
    """Raise unless umap-learn is installed."""
    require_extra("umap", "umap", need=_NEED, instead=_INSTEAD)


def _umap(
    sample: NDArray,
    dimensions: int,
    neighbors: int,
    min_dist: float,
    seed: int,
    watch: _EpochWatch,
) -> tuple[Any, NDArray[np.float32]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap and numba warn of their own choices, such as threads under a seed
        umap = import_extra("umap", "umap", need=_NEED, instead=_INSTEAD)
        watch.check_cancelled("before")
        reducer = umap.UMAP(
            n_components=dimensions,
            n_neighbors=neighbors,
            min_dist=min_dist,
            random_state=seed,
            n_jobs=1,
            tqdm_kwds=_progress_bar(watch) if watch.wanted else None,
        )
        threads = torch.get_num_threads()
        try:
            embedded = reducer.fit_transform(sample)
        finally:
            torch.set_num_threads(threads)  # numba, which shares OpenMP with torch, sets its own number
    return reducer, np.asarray(embedded, np.float32)


def interpolate_nearest(
    sample: NDArray[np.float32], values: NDArray[np.float32], points: NDArray[np.float32], nearest: int = NEAREST
) -> NDArray[np.float32]:
    """Mean of the values at the nearest samples, weighted by inverse squared distance.

    Parameters
    ----------
    sample : (N, K) array
    values : (N, D) array
    points : (M, K) array
    nearest : int

    Returns
    -------
    (M, D) float32 array
    """
    known, target = torch.from_numpy(sample), torch.from_numpy(values)
    half = 0.5 * (known**2).sum(1)
    parts = []
    for block in torch.from_numpy(points).split(_BLOCK):
        # Half the squared distance, less what all samples share.
        distance = torch.addmm(half, block, known.T, alpha=-1)
        closest = distance.topk(min(nearest, len(known)), largest=False).indices
        square = (known[closest] - block[:, None]).pow(2).sum(2)
        weight = 1 / square.clamp_min(1e-8)
        parts.append((weight[..., None] * target[closest]).sum(1) / weight.sum(1, keepdim=True))
    return torch.cat(parts).numpy()


def train_regressor(
    sample: NDArray[np.float32], values: NDArray[np.float32], *, hidden: int = 128, steps: int = 1500, seed: int = 0
) -> torch.nn.Module:
    """Train a small network from (N, K) coordinates to (N, D) values, including their scaling."""
    from torch import nn

    x, y = torch.from_numpy(sample), torch.from_numpy(values)
    size, shift, spread = x.std(), y.mean(0), y.std(0).clamp_min(1e-6)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        layers = [nn.Linear(x.shape[1], hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()]
        body = nn.Sequential(*layers, nn.Linear(hidden, y.shape[1]))
        optimizer = torch.optim.Adam(body.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        wanted, scaled_x = (y - shift) / spread, x / size
        for _ in range(steps):
            chosen = torch.randint(len(x), (512,))
            optimizer.zero_grad()
            nn.functional.smooth_l1_loss(body(scaled_x[chosen]), wanted[chosen]).backward()
            optimizer.step()
            schedule.step()
    return _Scaled(body, size, shift, spread)


class _Scaled(torch.nn.Module):
    """Network whose inputs and outputs have their original units."""

    def __init__(self, body: torch.nn.Module, size: Tensor, shift: Tensor, spread: Tensor):
        super().__init__()
        self.body, self.size, self.shift, self.spread = body, size, shift, spread

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x / self.size) * self.spread + self.shift
