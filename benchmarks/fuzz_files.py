"""Damage to probe, query and basis files and to cache entries: each loads, or is refused in one error.

    python -m benchmarks.fuzz_files --seconds 600 --seed 1

Prints the number of files that were tried and refused. Anything but an InputError ends the run with its traceback, and
the file stays at the path that is printed. `make fuzz` runs it.
"""

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from coralbay_core.errors import InputError
from coralbay_core.extraction.cache import Entry, EntryMetadata
from coralbay_core.probe import KINDS, fit_probe, load_probe
from coralbay_core.projection.basis import Basis, load_basis
from coralbay_core.similarity.query import load_query, make_query
from tests.support.made_features import made_features, strokes, world

ODD = (None, True, "", "x", "\x00", -1, 0, 1, 10**400, 1e308, float("nan"), float("inf"), [], {}, [[]], {"4": "x"})


def damaged_json(value: Any, rng: random.Random) -> Any:
    """Replace, remove or descend into one value of a JSON document."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if rng.random() < 0.2:
            del value[key]
        else:
            value[key] = damaged_json(value[key], rng)
        return value
    return rng.choice(ODD)


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, cut, insert or lose some bytes."""
    at = rng.randrange(max(len(content), 1)) if rng.random() < 0.5 else rng.randrange(min(len(content), 400))
    kind = rng.randrange(4)
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    if kind == 2:
        return content[:at] + rng.randbytes(rng.randrange(1, 64)) + content[at:]
    return content[:at] + content[at + rng.randrange(1, 64) :]


def damaged_tensors(content: bytes, rng: random.Random) -> bytes:
    """Damage a safetensors file in its bytes, its header, or the JSON within its header."""
    if rng.random() < 0.3:
        return damaged_bytes(content, rng)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = header["__metadata__"]
    inner = [key for key, text in metadata.items() if text.startswith("{")]
    if inner and rng.random() < 0.7:
        metadata[inner[0]] = json.dumps(damaged_json(json.loads(metadata[inner[0]]), rng))
    else:
        header = damaged_json(header, rng)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def read_entry(path: Path) -> None:
    """Read all that opening an entry of the cache reads."""
    entry = Entry.open(path.parent)
    entry.needed(entry.whole)


def damaged_entry(content: bytes, rng: random.Random) -> bytes:
    """Damage the metadata of an entry."""
    if rng.random() < 0.3:
        return damaged_bytes(content, rng)
    return json.dumps(damaged_json(json.loads(content), rng)).encode()


Target = tuple[Path, bytes, Callable[[Path], object], Callable[[bytes, random.Random], bytes]]


def targets(folder: Path) -> dict[str, Target]:
    """Write one sound file of each kind."""
    features = made_features()
    found: dict[str, Target] = {}
    for kind in KINDS:
        path = fit_probe(features, strokes((1, 2, 3)), kind=kind).save(folder / f"{kind}.safetensors")
        found[f"probe {kind}"] = (path, path.read_bytes(), load_probe, damaged_tensors)
    path = make_query(features, world("left"), name="x").save(folder / "x.query")
    found["query"] = (path, path.read_bytes(), load_query, damaged_tensors)
    vector = np.arange(1, 3, dtype=np.float32)
    basis = Basis({4: np.eye(8, 2, dtype=np.float32)}, vector, vector, vector + 1, (0.5, 0.2), "m", "f")
    path = basis.save(folder / "basis.safetensors")
    found["basis"] = (path, path.read_bytes(), load_basis, damaged_tensors)
    affine = tuple(tuple(float(v) for v in row) for row in np.diag([1.5, -1.5, -1.5, 1.0]))
    about = EntryMetadata({"schema": 2}, (16, 16, 16), affine, "m", "", {4: 8})
    path = Entry.create(folder / "entry", about, np.ones((16, 16, 16), bool)).folder / "zarr.json"
    found["cache entry"] = (path, path.read_bytes(), read_entry, damaged_entry)
    return found


def fuzz(folder: Path, seconds: float, seed: int) -> dict[str, Counter[str]]:
    """Damage and load until the time is over; raises what is no InputError."""
    rng = random.Random(seed)
    made = targets(folder)
    counts: dict[str, Counter[str]] = {name: Counter() for name in made}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, (path, content, load, damage) in made.items():
            path.write_bytes(damage(content, rng))
            try:
                load(path)
                counts[name]["loaded"] += 1
            except InputError as error:
                if "\n" in str(error):
                    raise AssertionError(f"more than one line: {error}") from error
                counts[name]["refused"] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="coralbay-fuzz-"))
    print(f"files in {folder}, seed {options.seed}", flush=True)
    for name, counted in fuzz(folder, options.seconds, options.seed).items():
        print(f"{name}: {counted.total()} tried, {counted['refused']} refused, {counted['loaded']} loaded")


if __name__ == "__main__":
    main()
