"""Many scans: a folder on Dask with a worker that is killed, a library, a cache with very many chunks.

    make bench-scale                                  (ARGS="--part dask --scans 100")

- *dask*: small scans, embedded by the code of ``coralbay embed FOLDER --cluster``; a worker process is killed at a
  random moment. Scans that are done, and scans whose task ended more than once.
- *library*: features of a few phantoms become those of many scans by augmentation (mixed channels, noise). Seconds per
  search, and the share of the ten best regions of an exhaustive search, with full heat maps, found: the same regions,
  and regions that score within .002 of the tenth best, since descriptors are stored at 8 bits. Beside it the share
  that the ten first scans of the index hold.
- *store*: milliseconds to look up, to verify and to add an entry beside many others, and to keep the limit.
"""

import argparse
import os
import random
import shutil
import signal
import statistics
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from coralbay_core.extraction.cache import Entry, EntryMetadata, FeatureStore, key_of
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.features import FeatureMap, FeatureMaps
from coralbay_core.io import save_map
from coralbay_core.matching import SimilarityRequest, answer
from coralbay_core.models.loading import load_encoder
from coralbay_core.phantom import make_phantom
from coralbay_core.spatial import Grid
from tests.support.scans import cut

HALF_MM = 48.0
NEAR = 0.002
CHUNKS_PER_ENTRY = 135
"""Of a scan of 512 x 512 x 600 voxels, three stages."""


def small_volumes(count: int) -> list[Any]:
    """Parts of phantoms that differ, of one shape."""
    made = [make_phantom(seed, 5.0) for seed in range(4)]
    parts = [cut(phantom.volume, phantom.landmarks["L3"], HALF_MM) for phantom in made]
    shape = tuple(np.min([part.shape for part in parts], axis=0).tolist())
    inside = tuple(slice(n) for n in shape)
    parts = [replace(part, data=part.data[inside], grid=Grid(shape, part.affine), source=None) for part in parts]
    rng = np.random.default_rng(0)
    chosen = (parts[n % len(parts)] for n in range(count))
    return [replace(part, data=(part.data + rng.normal(0, 5, part.shape)).astype(np.int16)) for part in chosen]


def dask(folder: Path, scans: int) -> None:
    from distributed import Client, LocalCluster
    from distributed.diagnostics.plugin import SchedulerPlugin

    from coralbay_core.cli.embed_dask import embed_with_dask
    from coralbay_core.cli.scans import Batch, scans_in

    class Ends(SchedulerPlugin):
        """Number of times that each task ended."""

        def __init__(self) -> None:
            self.count: dict[Any, int] = {}

        def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
            if start == "processing" and finish == "memory":
                self.count[key] = self.count.get(key, 0) + 1

    os.environ["CORALBAY_CACHE"] = str(folder / "cache")
    for number, volume in enumerate(small_volumes(scans)):
        save_map(folder / "scans" / f"{number}.nii", volume.data, volume)
    ends, killed = Ends(), []
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        cluster.scheduler.add_plugin(ends)
        begin = time.perf_counter()

        def kill() -> None:
            after = random.uniform(0.3, 0.7) * scans
            while len(ends.count) < after:
                time.sleep(0.05)
            with Client(cluster.scheduler_address) as client:
                killed.append(random.choice(list(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        settings = {"model": "hu-context", "device": "cpu", "strides": (4, 8, 16), "memory_gb": None}
        found = scans_in(folder / "scans", None)
        batch = Batch("features", len(found.sources), True, found.passed_over, None)
        done = embed_with_dask(found.sources, settings, batch, out=None, jobs=None, address=cluster.scheduler_address)
        killer.join()
        seconds = time.perf_counter() - begin
    entries = FeatureStore(folder / "cache" / "features").entries()
    twice = sum(count > 1 for count in ends.count.values())
    print("| scans on Dask | killed workers | done | in the cache | tasks that ended twice | s |")
    print("|---|---|---|---|---|---|")
    print(f"| {scans} | {len(killed)} | {len(done)} | {len(entries)} | {twice} | {seconds:.0f} |", flush=True)


def store_features(store: FeatureStore, features: FeatureMaps, number: int) -> str:
    """Write features as those of another scan; returns their key."""
    about = {"schema": 2, "content": f"{number:032x}", "fingerprint": features.fingerprint}
    channels = {stride: len(stage.data) for stride, stage in features.stages.items()}
    affine = tuple(tuple(map(float, row)) for row in features.grid.affine)
    metadata = EntryMetadata(about, features.grid.shape, affine, features.model, "", channels)
    entry = Entry.create(store.folder(key_of(about)), metadata, np.asarray(features.body))
    for stride, stage in features.stages.items():
        entry.write(stride, (0, 0, 0), np.asarray(stage.data))
    store.note_size(key_of(about))
    return key_of(about)


def augmented(base: list[FeatureMaps], rng: np.random.Generator) -> FeatureMaps:
    """Features of a new scan: one of the base mixed with another, and noise."""
    own, other = (base[n] for n in rng.choice(len(base), 2, replace=False))
    share = rng.uniform(0, 0.3)
    stages = {}
    for stride, stage in own.stages.items():
        a, b = (np.asarray(found.stages[stride].data[:], np.float32) for found in (own, other))
        mixed = (1 - share) * a + share * b + rng.normal(0, 0.1, a.shape) * a.std()
        stages[stride] = FeatureMap(stride, mixed.astype(np.float16), stage.grid)
    return FeatureMaps(stages, own.grid, np.asarray(own.body), own.model, own.fingerprint)


def library(folder: Path, scans: int, queries: int = 20) -> None:
    """Search a library, and compare with the full heat maps of all scans from their features."""
    from coralbay_core.library import Library, LibraryEntry
    from coralbay_core.library import manifest as manifests
    from coralbay_core.library.scan_maps import ScanMaps
    from coralbay_core.similarity import make_query
    from coralbay_core.similarity.cell_table import body_tokens

    store, encoder, rng = FeatureStore(folder / "features", 10**15), load_encoder(), np.random.default_rng(0)
    base = [features_for(volume, encoder, store=False) for volume in small_volumes(4)]
    clicks = []
    for number in rng.integers(scans, size=queries):
        source = augmented(base, np.random.default_rng(int(number)))
        clicks.append(make_query(source, [source.grid.to_world(rng.integers(source.grid.shape))]))
    made = Library(folder / "library", store)
    made._begin(base[0], "")
    entries, built, best = [], 0.0, [[] for _ in clicks]
    for number in range(scans):
        features = augmented(base, np.random.default_rng(number))
        begin, scan = time.perf_counter(), f"{number:032x}"
        key, tokens = store_features(store, features, number), body_tokens(features)
        made.vectors.add(scan, made.basis.compact(tokens.vectors), tokens.position_mm)
        ScanMaps.of(features).save(made._maps_file(scan), {})
        entries.append(LibraryEntry(scan, f"scan {number}", "", key, len(tokens)))
        if number % 100 == 99:  # as after each call of `coralbay library add`
            made.settle()
        built += time.perf_counter() - begin
        for query, found in zip(clicks, best, strict=True):
            regions = answer(SimilarityRequest(target=features, queries=(query,), top=3)).regions
            found += [(region.score, (scan, region.position_mm)) for region in regions]
    manifests.write(made.folder, replace(made.manifest, scans=tuple(entries), names=True))
    begin = time.perf_counter()
    made.settle()
    built += time.perf_counter() - begin
    rows = [_searched(made, query, sorted(found, reverse=True)[:10]) for query, found in zip(clicks, best, strict=True)]
    wall, processor, scored, same, near, index = (np.array(row) for row in zip(*rows, strict=True))
    print(
        "| scans | vectors | built, s | search, s (median) | longest, s | of the processor, s | scans scored |"
        " recall@10: the same regions | scores within .002 | from the ten first of the index |\n|" + "---|" * 10
    )
    print(
        f"| {scans} | {len(made.vectors)} | {built:.0f} | {np.median(wall):.2f} | {wall.max():.2f} | "
        f"{np.median(processor):.2f} | {np.median(scored):.0f} | {same.mean():.2f} | {near.mean():.2f} | "
        f"{index.mean():.2f} |",
        flush=True,
    )


def _searched(made: Any, query: Any, best: list[Any]) -> tuple[float, ...]:
    """Seconds, seconds of the processor, scans scored, and shares of the ten best regions that one search found."""
    from coralbay_core.library import search_library

    wall, processor = time.perf_counter(), time.process_time()
    report = search_library(made, query, load_encoder)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    found = {(hit.scan.scan, hit.position_mm) for hit in report.hits}
    same = np.mean([place in found for _, place in best])
    near = np.mean([hit.score >= best[-1][0] - NEAR for hit in report.hits])
    first = set(sorted(report.coarse, key=lambda scan: -report.coarse[scan])[:10])
    return wall, processor, len(report.searched), same, near, np.mean([scan in first for _, (scan, _) in best])


def store(folder: Path, most: int, repeats: int = 20) -> None:
    """Entries beside many others; those others are folders of as many small files as a large scan has chunks."""
    encoder = load_encoder("hu-context")
    features = features_for(small_volumes(1)[0], encoder, store=False)
    kept = FeatureStore(folder / "features", 10**15)
    print("| chunks | look up, ms | look up and verify, ms | add, ms | keep the limit, ms |\n|---|---|---|---|---|")
    fillers = 0
    for chunks in (1000, 100_000, 1_000_000):
        if chunks > most:
            break
        for number in range(fillers, chunks // CHUNKS_PER_ENTRY):
            _fill(kept, number)
        fillers = chunks // CHUNKS_PER_ENTRY
        rows: dict[str, list[float]] = {"look up": [], "verify": [], "add": [], "prune": []}
        for number in range(repeats):
            _timed(rows["add"], lambda number=number: store_features(kept, features, number))
            key = store_features(kept, features, number)
            signature = Entry.open(kept.folder(key)).about.signature
            _timed(rows["look up"], lambda key=key, signature=signature: kept.open(key, signature))
            _timed(rows["verify"], lambda key=key: kept.complete(key, features.strides))
        for _ in range(3):
            _timed(rows["prune"], kept.prune)
        cells = (f"{1000 * statistics.median(row):.1f}" for row in rows.values())
        print(f"| {chunks:,} | {' | '.join(cells)} |", flush=True)


def _fill(kept: FeatureStore, number: int) -> None:
    at = kept.root / f"filler{number}" / "stride-4" / "c"
    at.mkdir(parents=True)
    for chunk in range(CHUNKS_PER_ENTRY):
        (at / str(chunk)).write_bytes(b"0")
    kept.note_size(f"filler{number}")


def _timed(row: list[float], work: Any) -> None:
    begin = time.perf_counter()
    work()
    row.append(time.perf_counter() - begin)


PARTS = {"dask": dask, "library": library, "store": store}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="may be repeated; by default all")
    parser.add_argument("--scans", type=int, default=1000)
    parser.add_argument("--chunks", type=int, default=1_000_000)
    arguments = parser.parse_args()
    random.seed(0)
    for name in arguments.part or PARTS:
        folder = Path(tempfile.mkdtemp(prefix="coralbay-scale-"))
        try:
            PARTS[name](folder, arguments.chunks if name == "store" else arguments.scans)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
