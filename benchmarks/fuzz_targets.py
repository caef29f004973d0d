"""Sound files of each kind that CoralBay reads beside scans, and what reads and damages them."""

import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.fuzz_damage import damaged_document, damaged_lines, damaged_tensors
from coralbay_core.extraction.cache import Entry, EntryMetadata
from coralbay_core.io import load_volume, save_map
from coralbay_core.io.label_tables import find_table
from coralbay_core.library import manifest as manifests
from coralbay_core.library.reduction import Compact, load_compact
from coralbay_core.matching.landmarks import read_landmarks, write_landmarks
from coralbay_core.models.model_card import load_card, open_card
from coralbay_core.models.names import DEFAULT_MODEL
from coralbay_core.probe import KINDS, fit_probe, load_probe
from coralbay_core.projection.basis import Basis, load_basis
from coralbay_core.projection.embedding import UmapModel
from coralbay_core.similarity.query import load_query, make_query
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from coralbay_viz.persistence import session_file
from coralbay_viz.persistence.snapshot import validate
from tests.support.made_features import CT_GRID, made_features, strokes, world

Target = tuple[Path, bytes, Callable[[Path], object], Callable[[bytes, random.Random], bytes]]


def targets(folder: Path) -> dict[str, Target]:
    """Write one sound file of each kind."""
    found = {}
    for make in (_probes, _query, _bases, _cache_entry, _manifest, _card, _tables, _session):
        for name, path, load, damage in make(folder):
            found[name] = path, path.read_bytes(), load, damage
    return found


Made = Iterator[tuple[str, Path, Callable[[Path], object], Callable[[bytes, random.Random], bytes]]]


def _probes(folder: Path) -> Made:
    for kind in KINDS:
        path = fit_probe(made_features(), strokes((1, 2, 3)), kind=kind).save(folder / f"{kind}.safetensors")
        yield f"probe {kind}", path, load_probe, damaged_tensors


def _query(folder: Path) -> Made:
    path = make_query(made_features(), world("left"), name="x").save(folder / "x.query")
    yield "query", path, load_query, damaged_tensors


def _basis() -> Basis:
    vector = np.arange(1, 3, dtype=np.float32)
    return Basis({4: np.eye(8, 2, dtype=np.float32)}, vector, vector, vector + 1, (0.5, 0.2), "m", "f")


def _bases(folder: Path) -> Made:
    yield "basis", _basis().save(folder / "basis.safetensors"), load_basis, damaged_tensors
    path = Compact(np.eye(8, 2, dtype=np.float32), 0.9).save(folder / "compact.safetensors")
    yield "basis of a library", path, load_compact, damaged_tensors


def _cache_entry(folder: Path) -> Made:
    affine = tuple(tuple(float(v) for v in row) for row in np.diag([1.5, -1.5, -1.5, 1.0]))
    about = EntryMetadata({"schema": 2}, (16, 16, 16), affine, "m", "", {4: 8})
    path = Entry.create(folder / "entry", about, np.ones((16, 16, 16), bool)).folder / "zarr.json"
    yield "cache entry", path, _read_entry, damaged_document


def _read_entry(path: Path) -> None:
    """Read all that opening an entry of the cache reads."""
    entry = Entry.open(path.parent)
    entry.needed(entry.whole)


def _manifest(folder: Path) -> Made:
    scan = manifests.LibraryEntry("ab12" * 8, "one", "/scans/one.nii.gz", "cd34" * 8, 100, "1.2.3", "2026-01-01")
    made = manifests.Manifest("m", "f", (4, 8), {4: 8, 8: 16}, scans=(scan,), identifier="ab12")
    path = manifests.write(folder / "library", made)
    yield "library", path, lambda path: manifests.read(path.parent), damaged_document


def _card(folder: Path) -> Made:
    path = folder / "card.toml"
    path.write_text(load_card(DEFAULT_MODEL).to_toml(), "utf-8")
    yield "model card", path, open_card, damaged_lines


def _tables(folder: Path) -> Made:
    rows = [{"name": f"place {n}", "x_mm": n, "y_mm": -n, "z_mm": 0.5, "more": "text"} for n in range(4)]
    yield "landmarks in CSV", write_landmarks(folder / "a.csv", rows), read_landmarks, damaged_lines
    path = folder / "a.json"
    path.write_text(json.dumps({row["name"]: [1.5, -2, 3] for row in rows}))
    yield "landmarks in JSON", path, read_landmarks, damaged_document
    path = folder / "labels.json"
    path.write_text(json.dumps({"1": "liver", "2": "spleen"}))
    yield "label names", path, lambda path: find_table(path.with_name("labels.nii.gz")), damaged_document


def _session(folder: Path) -> Made:
    """A session file with each of its parts; it is read and validated as `Session.load` does before it computes."""
    hu = np.zeros(CT_GRID.shape, np.int16)
    scan = load_volume(save_map(folder / "scan.nii.gz", hu, LabelVolume(hu, CT_GRID)))
    session = Session(model="hu-patch", store=False)
    session.open(folder / "scan.nii.gz")
    session.click(scan.grid.center_mm)
    data = np.zeros(session.scan.label_grid.shape, np.uint8)
    data[2:4], data[8:9] = 1, 2
    painted = LabelVolume(data, session.scan.label_grid, names={1: "one"})
    session.paint(painted)
    session.protect_labels(painted)
    session.scan.skipped = (tuple(scan.grid.center_mm),)
    basis, rows = _basis(), np.ones((4, 2), np.float32)
    session.controllers.projections.set_basis(basis, UmapModel(basis, rows, rows[:, [0, 0, 0]]))
    session.controllers.queries.restore({"kept": make_query(made_features(), world("left"), name="kept")})
    path = session.save(folder / "work.coralbay").result
    state = session_file.read(path)
    about, arrays = fit_probe(made_features(), strokes((1, 2, 3))).content()
    place = {"at_mm": [float(v) for v in scan.grid.center_mm]}
    table = {"rows": [{"name": "a", "x_mm": 1.0, "y_mm": 2.0, "z_mm": 3.0}]}
    parts = {"probe": json.loads(json.dumps(about)), "mirror": place, "pca": {"method": "umap"}, "followup": table}
    state.scans[0].parts.update(parts)
    state.scans[0].arrays["probe"] = arrays
    session_file.write(path, state)
    yield "session", path, partial(_read_session, scan), damaged_tensors


def _read_session(scan: object, path: Path) -> None:
    state = session_file.read(path)
    validate(state, [scan] * len(state.scans), "hu-patch", path)
