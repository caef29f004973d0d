"""Preparation of a distillation: an encoder's features of all volumes of a store, computed once and reduced.

::

    STORE/distilled/<name>.safetensors              basis: principal directions, fitted on the first volumes
    STORE/<key>/distilled/<name>.safetensors        reduced vectors of a volume's cells
    STORE/.distilling-<name>/<key>.safetensors      full vectors, until the basis is fitted

A run that was interrupted continues; volumes that were added to the store later are reduced with the same basis.
"""

import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..extraction.sliding_window import extract
from ..models.encoder import Encoder, check_strides
from ..spatial import Grid, Volume, geometry
from ..util.tensor_file import read_tensors, write_tensors
from .distillation import CELLS, COMPONENTS, DistilledVectors, joint_vectors, principal_directions, sample_cells
from .label_free_descriptors import STRIDE
from .store import StoreSource, distilled_path

DEFAULT_WEIGHTS = {4: 1.0, 8: 2.0, 16: 2.0}
_KIND, _VERSION = "distillation basis", 1
_SPL = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], float)  # axes of a store, in RAS+
_SAMPLE = 8_000  # cells per volume that the basis is fitted on


@dataclass(frozen=True)
class Prepared:
    """Outcome of `prepare_distillation`.

    Attributes
    ----------
    added, known : int
        Numbers of volumes that were computed now, and before.
    kept : float or None
        Share of the squared lengths that the reduction keeps; None if the basis was fitted before.
    """

    added: int
    known: int
    kept: float | None


def prepare_distillation(
    folder: Path,
    encoder: Encoder,
    name: str,
    *,
    weights: Mapping[int, float] | None = None,
    cells: int = CELLS,
    components: int = COMPONENTS,
    report: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Compute an encoder's features of all volumes of a store, reduce them, and save them in the store.

    Parameters
    ----------
    folder : Path
        Store that `prepare_data` wrote.
    encoder : Encoder
    name : str
        Name under which ``objective.relations.distill`` finds the features.
    weights : mapping of int to float, optional
        Weights of the strides in the mean cosine; by default 1 for stride 4 and 2 for strides 8 and 16.
    cells, components : int
        Number of cells per volume, and of numbers per cell.
    report : callable, optional
        Gets the number of finished volumes and of all volumes.
    """
    source = StoreSource(folder)
    weights = dict(weights or DEFAULT_WEIGHTS)
    strides = check_strides(encoder, list(weights))
    basis_file, raw = folder / "distilled" / f"{name}.safetensors", folder / f".distilling-{name}"
    directions = _open_basis(basis_file, encoder) if basis_file.is_file() else None
    missing = [number for number, key in enumerate(source.names) if not distilled_path(folder, key, name).is_file()]
    for done, number in enumerate(missing):
        if report is not None:
            report(done, len(missing))
        key = source.names[number]
        if (raw / f"{key}.safetensors").is_file():
            continue
        hu = source.read(number, np.zeros(3, int), np.array(source.shape(number)))
        chosen = sample_cells(source.body(number), key, cells)
        rows = features_of_cells(hu, chosen, encoder, strides, source.spacing_mm)
        full = DistilledVectors(chosen, joint_vectors(rows, weights).astype(np.float16))
        if directions is None:
            full.save(raw / f"{key}.safetensors")
        else:
            _reduced(full, directions).save(distilled_path(folder, key, name))
    kept = None
    if directions is None and missing:
        directions, kept = _fit(sorted(raw.glob("*.safetensors")), components)
        about = {"fingerprint": encoder.fingerprint, "model": encoder.name, "weights": _keys_as_text(weights)}
        write_tensors(basis_file, _KIND, _VERSION, {"directions": directions}, about)
    if raw.is_dir() and directions is not None:
        for file in sorted(raw.glob("*.safetensors")):
            _reduced(DistilledVectors.load(file), directions).save(distilled_path(folder, file.stem, name))
        shutil.rmtree(raw)
    if report is not None:
        report(len(missing), len(missing))
    return Prepared(len(missing), len(source.names) - len(missing), kept)


def features_of_cells(
    hu: NDArray[np.int16], cells: NDArray[np.integer], encoder: Encoder, strides: Collection[int], spacing_mm: float
) -> dict[int, NDArray[np.float32]]:
    """Compute an encoder's features (N, C) at cells (N, 3) of a volume, by stride."""
    affine = geometry.scale(spacing_mm) @ _SPL
    grid = Grid(hu.shape, affine)
    features = extract(Volume(hu, grid), encoder, strides=strides)
    return features.sample(grid.coarsen(STRIDE).to_world(cells), strides)


def _fit(files: list[Path], components: int) -> tuple[NDArray[np.float32], float]:
    moment: NDArray | float = 0.0
    for file in files:
        rows = DistilledVectors.load(file).vectors
        rows = rows[:: max(1, len(rows) // _SAMPLE)].astype(np.float32)
        moment = moment + rows.T @ rows / len(rows) / len(files)
    return principal_directions(np.asarray(moment), components)


def _reduced(full: DistilledVectors, directions: NDArray[np.float32]) -> DistilledVectors:
    return DistilledVectors(full.cells, (full.vectors.astype(np.float32) @ directions).astype(np.float16))


def _open_basis(path: Path, encoder: Encoder) -> NDArray[np.float32]:
    arrays, about = read_tensors(path, _KIND, _VERSION, hint="remove it, then prepare the distillation again")
    if about.get("fingerprint") != encoder.fingerprint:
        raise InputError(
            "features of another encoder have this name",
            where=path,
            found=about.get("model"),
            expected=encoder.name,
            hint="choose another --name",
        )
    return np.asarray(arrays["directions"], np.float32)


def _keys_as_text(weights: Mapping[int, float]) -> dict[str, float]:
    return {str(stride): weight for stride, weight in weights.items()}
