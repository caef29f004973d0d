"""Engines for vector search, on compact descriptors of many scans: which one a library of scans should use.

    python benchmarks/library.py [--data ../shared/ct/labelled] [--scans 100] [--dims 64] [--queries 50]

Real tokens (all body cells of the scans under --data, or of phantoms) become many scans by augmentation of vectors: a
scan is drawn, its vectors are mixed with those of another one and get noise, so that neighbors are near but never
equal. Each engine runs in a process of its own: seconds to build, MB on disk and in memory beyond the bare process, ms
a query for 200 hits, recall of the exact 200 best, seconds to add and to remove a scan. What is not installed is left
out.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

HITS = 200
SEED = 0


class Engine(Protocol):
    def build(self, folder: Path, vectors: NDArray, scans: NDArray) -> None: ...
    def search(self, query: NDArray, k: int) -> NDArray: ...
    def add(self, vectors: NDArray, scan: int, first: int) -> None: ...
    def remove(self, scan: int) -> None: ...


class Exact:
    """A product of matrices over everything; nothing is kept on disk but the vectors."""

    def build(self, folder: Path, vectors: NDArray, scans: NDArray) -> None:
        np.save(folder / "vectors.npy", vectors)
        self.vectors, self.scans = vectors, scans

    def search(self, query: NDArray, k: int) -> NDArray:
        scores = self.vectors @ query
        best = np.argpartition(-scores, k)[:k]
        return best[np.argsort(-scores[best])]

    def add(self, vectors: NDArray, scan: int, first: int) -> None:
        self.vectors = np.concatenate([self.vectors, vectors])
        self.scans = np.concatenate([self.scans, np.full(len(vectors), scan)])

    def remove(self, scan: int) -> None:
        kept = self.scans != scan
        self.vectors, self.scans = self.vectors[kept], self.scans[kept]


class Lance:
    """LanceDB, embedded: tables on disk or in an object store."""

    def __init__(self, index: str | None, **options: Any):
        self.index, self.options = index, options

    def build(self, folder: Path, vectors: NDArray, scans: NDArray) -> None:
        import lancedb
        import lancedb.index
        import pyarrow as pa

        row = pa.list_(pa.float32(), vectors.shape[1])
        schema = pa.schema([("id", pa.int64()), ("scan", pa.int64()), ("vector", row)])
        self.table = lancedb.connect(folder).create_table("tokens", schema=schema)
        self._append(np.arange(len(vectors)), scans, vectors)
        if self.index:
            config = getattr(lancedb.index, self.index)(distance_type="dot", **self.options)
            self.table.create_index("vector", config=config)

    def _append(self, ids: NDArray, scans: NDArray, vectors: NDArray) -> None:
        import pyarrow as pa

        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        self.table.add(pa.table({"id": pa.array(ids), "scan": pa.array(scans), "vector": flat}))

    def search(self, query: NDArray, k: int) -> NDArray:
        asked = self.table.search(query).distance_type("dot").limit(k).select(["id", "_distance"])
        if self.index:
            asked = asked.nprobes(30)
            if self.index != "IvfFlat":
                asked = asked.refine_factor(10)
        return asked.to_arrow()["id"].to_numpy()

    def add(self, vectors: NDArray, scan: int, first: int) -> None:
        self._append(np.arange(first, first + len(vectors)), np.full(len(vectors), scan), vectors)
        if self.index:
            self.table.optimize()

    def remove(self, scan: int) -> None:
        self.table.delete(f"scan = {scan}")


class Faiss:
    """FAISS: an index in memory, written whole; which vector belongs to which scan is for the caller to keep."""

    def __init__(self, factory: str):
        self.factory = factory

    def build(self, folder: Path, vectors: NDArray, scans: NDArray) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self.folder, self.scans = folder, scans
        self.index = faiss.index_factory(vectors.shape[1], self.factory, faiss.METRIC_INNER_PRODUCT)
        self.index.train(vectors[:: max(1, len(vectors) // 100_000)])
        self.index.add(vectors)
        if hasattr(self.index, "nprobe"):
            self.index.nprobe = 20
        self._write()

    def _write(self) -> None:
        import faiss

        faiss.write_index(self.index, str(self.folder / "index.faiss"))

    def search(self, query: NDArray, k: int) -> NDArray:
        return self.index.search(query[None], k)[1][0]

    def add(self, vectors: NDArray, scan: int, first: int) -> None:
        self.index.add(vectors)
        self.scans = np.concatenate([self.scans, np.full(len(vectors), scan)])
        self._write()

    def remove(self, scan: int) -> None:
        self.index.remove_ids(np.flatnonzero(self.scans == scan))
        self._write()


class Qdrant:
    """Qdrant's local mode: the client's own exact search, without the server."""

    def build(self, folder: Path, vectors: NDArray, scans: NDArray) -> None:
        from qdrant_client import QdrantClient, models

        self.client = QdrantClient(path=str(folder))
        parameters = models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT)
        self.client.create_collection("tokens", vectors_config=parameters)
        self._append(np.arange(len(vectors)), scans, vectors)

    def _append(self, ids: NDArray, scans: NDArray, vectors: NDArray) -> None:
        payload = [{"scan": int(scan)} for scan in scans]
        self.client.upload_collection("tokens", vectors=vectors, payload=payload, ids=ids.tolist())

    def search(self, query: NDArray, k: int) -> NDArray:
        points = self.client.query_points("tokens", query=query.tolist(), limit=k, with_payload=False).points
        return np.array([point.id for point in points])

    def add(self, vectors: NDArray, scan: int, first: int) -> None:
        self._append(np.arange(first, first + len(vectors)), np.full(len(vectors), scan), vectors)

    def remove(self, scan: int) -> None:
        from qdrant_client import models

        condition = models.FieldCondition(key="scan", match=models.MatchValue(value=scan))
        self.client.delete("tokens", models.FilterSelector(filter=models.Filter(must=[condition])))


ENGINES: dict[str, tuple[str, Callable[[], Engine]]] = {
    "exact (numpy)": ("numpy", Exact),
    "LanceDB, no index": ("lancedb", lambda: Lance(None)),
    "LanceDB, IVF flat": ("lancedb", lambda: Lance("IvfFlat")),
    "LanceDB, IVF SQ": ("lancedb", lambda: Lance("IvfSq")),
    "LanceDB, IVF PQ": ("lancedb", lambda: Lance("IvfPq", num_sub_vectors=32)),
    "FAISS, flat": ("faiss", lambda: Faiss("Flat")),
    "FAISS, HNSW32": ("faiss", lambda: Faiss("HNSW32,Flat")),
    "FAISS, IVF1024,SQ8": ("faiss", lambda: Faiss("IVF1024,SQ8")),
    # A hundred scans take its upload more than half an hour: leave it out with --engine.
    "Qdrant, local": ("qdrant_client", Qdrant),
}


def real_tokens(data: Path | None, dims: int) -> list[NDArray]:
    """Compact vectors of real scans or phantoms, one array a scan."""
    from coralbay_core.evaluate import open_cases
    from coralbay_core.extraction.pipeline import features_for
    from coralbay_core.library.reduction import fit_compact
    from coralbay_core.models.loading import load_encoder
    from coralbay_core.similarity.cell_table import body_tokens

    encoder = load_encoder()
    cases = open_cases([data] if data else [], phantom=data is None)
    tokens = [body_tokens(features_for(case.volume, encoder)).vectors for case in cases]
    basis = fit_compact(tokens, dims)
    print(
        f"{len(tokens)} scans, {sum(map(len, tokens))} tokens, {basis.energy_share:.3f} of the energy in {dims} numbers"
    )
    return [basis.compact(rows) for rows in tokens]


def augmented(real: list[NDArray], scans: int) -> tuple[NDArray, NDArray]:
    """Vectors (N, D) of many scans, and the number of the scan of each."""
    rng = np.random.default_rng(SEED)
    rows, owners = [], []
    for scan in range(scans):
        own = real[int(rng.integers(len(real)))]
        other = real[int(rng.integers(len(real)))]
        nearest = other[(own[:, :16] @ other[::7, :16].T).argmax(1) * 7]
        mixed = own + rng.uniform(0, 0.3) * (nearest - own) + rng.normal(0, 0.02, own.shape)
        rows.append(mixed.astype(np.float32))
        owners.append(np.full(len(own), scan))
    return np.concatenate(rows), np.concatenate(owners)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measure(name: str, vectors: NDArray, scans: NDArray, queries: NDArray, truth: NDArray, pipe: Any) -> None:
    try:
        pipe.send(_measured(ENGINES[name][1](), vectors, scans, queries, truth))
    except Exception as error:  # an engine that fails is a row of the table
        pipe.send(f"{type(error).__name__}: {error}")


def _measured(engine: Engine, vectors: NDArray, scans: NDArray, queries: NDArray, truth: NDArray) -> list[float]:
    before = peak_mb()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        build = _seconds(lambda: engine.build(place, vectors, scans))
        disk = sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / 1e6
        engine.search(queries[0], HITS)
        times, recalls = [], []
        for query, expected in zip(queries, truth, strict=True):
            began = time.perf_counter()
            found = engine.search(query, HITS)
            times.append(1000 * (time.perf_counter() - began))
            recalls.append(len(np.intersect1d(found, expected)) / HITS)
        memory = peak_mb() - before
        last = vectors[scans == scans.max()]
        add = _seconds(lambda: engine.add(last, int(scans.max()) + 1, len(vectors)))
        try:
            remove = _seconds(lambda: engine.remove(0))
        except RuntimeError:  # FAISS says so of graphs: the index has to be built again
            remove = float("nan")
    return [build, disk, memory, float(np.median(times)), float(np.mean(recalls)), add, remove]


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--scans", type=int, default=100)
    parser.add_argument("--dims", type=int, default=64)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--engine", action="append", help="part of a name; may be repeated")
    arguments = parser.parse_args()
    vectors, scans = augmented(real_tokens(arguments.data, arguments.dims), arguments.scans)
    rng = np.random.default_rng(SEED + 1)
    queries = vectors[rng.integers(len(vectors), size=arguments.queries)] + rng.normal(0, 0.02, vectors.shape[1])
    queries = queries.astype(np.float32)
    truth = np.array([np.argpartition(-(vectors @ query), HITS)[:HITS] for query in queries])
    print(f"{arguments.scans} scans, {len(vectors)} vectors of {arguments.dims}\n")
    print("| engine | build, s | disk, MB | memory, MB | query, ms | recall | add a scan, s | remove one, s |")
    print("|---|---|---|---|---|---|---|---|")
    context = multiprocessing.get_context("fork")
    for name, (package, _) in ENGINES.items():
        if arguments.engine and not any(word.lower() in name.lower() for word in arguments.engine):
            continue
        if find_spec(package) is None:
            print(f"| {name} | not installed |||||||")
            continue
        ours, theirs = context.Pipe()
        process = context.Process(target=measure, args=(name, vectors, scans, queries, truth, theirs))
        process.start()
        result = ours.recv()
        process.join()
        cells = result if isinstance(result, str) else " | ".join(f"{value:.3g}" for value in result)
        print(f"| {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
