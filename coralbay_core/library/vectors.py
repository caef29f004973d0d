"""Compact descriptors in LanceDB: embedded in a folder, or in an object store that several machines search."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CoralBayError
from ..util.extras import import_extra, require_extra

TABLE = "tokens"
# A brute-force scan is quick below this, and exact.
INDEX_FROM = 200_000
PROBES = 30
CELLS_PER_PROBES = 2000
"""Number of nearest cells that `PROBES` lists suffice for; more cells need more lists."""


class Vectors:
    """Vectors of the cells of many scans.

    Parameters
    ----------
    where : str or Path
        Folder, or a URI of LanceDB.
    dimensions : int
    """

    def __init__(self, where: str | Path, dimensions: int):
        self._where, self._dimensions = str(where), dimensions

    def add(self, scan: str, vectors: NDArray[np.float32], position_mm: NDArray[np.float64]) -> None:
        """Add the cells (N, d) of a scan with their positions (N, 3); they replace earlier ones of this scan."""
        import pyarrow as pa

        table = self._table()
        table.delete(f"scan = '{scan}'")
        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), self._dimensions)
        place = pa.FixedSizeListArray.from_arrays(pa.array(position_mm.astype(np.float32).reshape(-1)), 3)
        scans = pa.array([scan] * len(vectors))
        table.add(pa.table({"scan": scans, "position_mm": place, "vector": flat}))

    def remove(self, scan: str) -> None:
        """Remove the cells of a scan."""
        self._table().delete(f"scan = '{scan}'")

    def settle(self) -> None:
        """Compact the table and update its index, which is created if there are many cells."""
        import lancedb.index

        table = self._table()
        if table.count_rows() >= INDEX_FROM and not table.list_indices():
            table.create_index("vector", config=lancedb.index.IvfFlat(distance_type="dot"))
        table.optimize()

    def __len__(self) -> int:
        return int(self._table().count_rows())

    @property
    def indexed(self) -> bool:
        """Whether searches go through an index."""
        return bool(self._table().list_indices())

    def best_scans(self, query: NDArray[np.float32], count: int) -> tuple[dict[str, float], float]:
        """Find the scans of the cells nearest to a compact query (d,): the highest inner product of each.

        Parameters
        ----------
        query : (d,) float32 array
        count : int
            Number of cells.

        Returns
        -------
        best : dict of str to float
            By hash of the scan.
        floor : float
            Product of the last cell: no scan that was not found has a higher one. Minus infinity if all were read.
        """
        request = self._table().search(query, vector_column_name="vector").distance_type("dot").limit(count)
        probes = PROBES * -(-count // CELLS_PER_PROBES)
        found = request.nprobes(probes).select(["scan", "_distance"]).to_arrow()
        if not len(found):
            return {}, -np.inf
        nearest = found.group_by("scan").aggregate([("_distance", "min")]).to_pydict()
        best = {scan: 1 - nearest["_distance_min"][number] for number, scan in enumerate(nearest["scan"])}
        return best, 1 - float(found["_distance"].to_numpy().max()) if len(found) == count else -np.inf

    def _table(self) -> Any:
        lancedb = _import()
        import pyarrow as pa

        try:
            database = lancedb.connect(self._where)
            row = pa.list_(pa.float32(), self._dimensions)
            schema = pa.schema([("scan", pa.string()), ("position_mm", pa.list_(pa.float32(), 3)), ("vector", row)])
            return database.create_table(TABLE, schema=schema, exist_ok=True)
        except (OSError, RuntimeError, ValueError) as error:
            line = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            raise CoralBayError("vectors of the library cannot be opened", where=self._where, found=line) from error


_NEED = "libraries need"


def require_library() -> None:
    """Raise unless the packages of the extra ``library`` are installed."""
    require_extra("library", "lancedb", "pyarrow", need=_NEED)


def _import() -> Any:
    for name in ("LANCE_LOG", "LANCEDB_LOG"):  # it logs to stderr what is of no use to a user
        os.environ.setdefault(name, "error")
    return import_extra("library", "lancedb", need=_NEED)
