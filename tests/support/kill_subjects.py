"""What is killed in the tests and in `make torture`: commands and sessions, on inputs of seconds per run."""

import json
import os
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import zarr
from pydicom import dcmread
from pydicom.uid import generate_uid

from coralbay_core.cli import run as run_command
from coralbay_core.cli.scans import scans_in
from coralbay_core.extraction.cache import FeatureStore
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.io import load_labels, load_volume, save_map
from coralbay_core.models.checkpoints import read_tensors
from coralbay_core.phantom import make_phantom
from coralbay_core.pretrain.checkpoint import Checkpoints
from coralbay_core.pretrain.store import StoreSource
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from coralbay_viz.persistence import session_file
from tests.support.dicom import write_series
from tests.support.encoders import PoolingEncoder
from tests.support.kills import Subject, digest_of, tree_digests
from tests.support.pretraining import TINY
from tests.support.scans import cut, ramp_volume

MODEL = "hu-patch"
STRIDES = (4, 8, 16)
_PLACE = "L3"


def command(*arguments: object) -> None:
    """Run a command that must succeed."""
    code = run_command([str(argument) for argument in arguments])
    assert code == 0, f"exit code {code}"


def write_bellies(folder: Path, count: int = 2, half_mm: float = 60.0) -> list[Path]:
    """Write small CTs that differ."""
    phantom = make_phantom(0, 5.0)
    part = cut(phantom.volume, phantom.landmarks[_PLACE], half_mm)
    return [save_map(folder / f"{n}.nii.gz", (part.data + 7 * n).astype(np.int16), part) for n in range(count)]


# --- features -----------------------------------------------------------------------------------------------------


class CacheWrites(Subject):
    """Extraction into a store, many chunks of several stages."""

    name = "extraction into the cache"
    folder = "cache"

    def run(self, place: Path) -> None:
        volume = ramp_volume((200, 140, 140))
        features_for(volume, PoolingEncoder(64, 64), strides=STRIDES, store=FeatureStore(place / self.folder))

    def finished(self, place: Path) -> dict[str, Any]:
        for check in FeatureStore(place / self.folder).verify():
            assert not check.damaged, check
            assert not check.trouble, check
        # A chunk is finished with its last stage: the encoder gives all stages of a tile at once.
        chunks = {path: (path.stat().st_mtime_ns, digest_of(path.read_bytes())) for path in self._chunks(place)}
        entries = {path.parents[5] for path in chunks}
        inner = {path.relative_to(path.parents[4]) for path in chunks}
        stages = [[entry / f"stride-{stride}" / chunk for stride in STRIDES] for entry in entries for chunk in inner]
        return {str(path): chunks[path] for paths in stages if chunks.keys() >= set(paths) for path in paths}

    def result(self, place: Path) -> dict[str, str]:
        entries = FeatureStore(place / self.folder).entries()
        digests = {f"{entry.name}/{name}": d for entry in entries for name, d in tree_digests(entry).items()}
        return {name: digest for name, digest in digests.items() if not name.endswith(".partial")}

    def _chunks(self, place: Path) -> list[Path]:
        files = (place / self.folder).glob("*/stride-*/c/**/*")
        return [path for path in files if path.is_file() and path.suffix != ".partial"]


class EmbedIntoCache(CacheWrites):
    """`coralbay embed FOLDER`."""

    name = "embed"
    folder = "cache/features"
    options: tuple[str, ...] = ()

    def make_inputs(self) -> None:
        write_bellies(self.inputs / "scans", half_mm=85)

    def run(self, place: Path) -> None:
        os.environ["CORALBAY_CACHE"] = str(place / "cache")
        out = [str(place / option) if option == self.folder else option for option in self.options]
        command("embed", self.inputs / "scans", "--model", "hu-context", *out)


class EmbedIntoFolder(EmbedIntoCache):
    """`coralbay embed FOLDER -o OUT`."""

    name = "embed -o"
    folder = "out"
    options = ("-o", "out")


# --- results ------------------------------------------------------------------------------------------------------


class Export(Subject):
    """A command that writes a file; an older result of that name is in its place, and a scan beside it."""

    file = "result.nii.gz"

    def make_inputs(self) -> None:
        os.environ["CORALBAY_CACHE"] = str(self.inputs / "cache")
        (scan,) = write_bellies(self.inputs, 1)
        volume = load_volume(scan)
        self._make(scan, volume)

    def _make(self, scan: Path, volume: Any) -> None:
        command("embed", scan, "--model", MODEL)

    def begin(self, place: Path) -> None:
        shutil.copy(self.inputs / "0.nii.gz", place / "scan.nii.gz")
        shutil.copy(self.inputs / "old" / self.file, place / self.file)

    def run(self, place: Path) -> None:
        os.environ["CORALBAY_CACHE"] = str(self.inputs / "cache")
        self._write(place / self.file)

    def _write(self, out: Path) -> None:
        raise NotImplementedError

    def finished(self, place: Path) -> dict[str, Any]:
        self.result(place)  # it can be read as a whole, the old or the new
        names = {source.path.name for source in scans_in(place).sources}
        assert names <= {"scan.nii.gz", self.file}, names
        return {}

    def result(self, place: Path) -> str:
        return digest_of(load_volume(place / self.file).data.tobytes())

    def _at(self, volume: Any, fraction: float) -> str:
        return ",".join(f"{mm:.1f}" for mm in volume.grid.to_world(np.array(volume.shape) * fraction))


class QueryExport(Export):
    """`coralbay query -o`."""

    name = "query -o"

    def _make(self, scan: Path, volume: Any) -> None:
        super()._make(scan, volume)
        (self.inputs / "click").write_text(self._at(volume, 0.5))
        old = self.inputs / "old" / self.file
        command("query", scan, "--at", self._at(volume, 0.3), "--model", MODEL, "-o", old)

    def _write(self, out: Path) -> None:
        click = (self.inputs / "click").read_text()
        command("query", self.inputs / "0.nii.gz", "--at", click, "--model", MODEL, "-o", out)


class ProbeExport(Export):
    """`coralbay probe apply -o`."""

    name = "probe apply -o"

    def _make(self, scan: Path, volume: Any) -> None:
        super()._make(scan, volume)
        strokes = np.zeros(volume.shape, np.uint8)
        strokes[4:8, 4:8, 4:8], strokes[14:18, 14:18, 14:18] = 1, 2
        painted = save_map(self.inputs / "strokes" / "s.nii.gz", strokes, volume)
        probe = self.inputs / "probe.safetensors"
        command("probe", "fit", scan, "--labels", painted, "-o", probe, "--model", MODEL)
        save_map(self.inputs / "old" / self.file, np.ones(volume.shape, np.uint8), volume)

    def _write(self, out: Path) -> None:
        command("probe", "apply", self.inputs / "probe.safetensors", self.inputs / "0.nii.gz", "-o", out)

    def result(self, place: Path) -> str:
        return digest_of(load_labels(place / self.file).data.tobytes())


class DicomExport(Export):
    """`coralbay export`, a DICOM-SEG."""

    name = "export (DICOM-SEG)"
    file = "result.dcm"

    def _make(self, scan: Path, volume: Any) -> None:
        hu = np.linspace(-900, 900, 12 * 32 * 32).reshape(12, 32, 32)
        uid = generate_uid()
        write_series(self.inputs / "series", hu, StudyInstanceUID=uid, FrameOfReferenceUID=uid)
        series = load_volume(self.inputs / "series")
        for folder, level in (("labels", 0), ("old-labels", 300)):
            labels = (series.data > level).astype(np.uint8) + (series.data > 500).astype(np.uint8)
            save_map(self.inputs / folder / "l.nii.gz", labels, series)
        self._export("old-labels", self.inputs / "old" / self.file)

    def _write(self, out: Path) -> None:
        self._export("labels", out)

    def _export(self, labels: str, out: Path) -> None:
        command("export", self.inputs / labels / "l.nii.gz", "--dicom", self.inputs / "series", "-o", out)

    def result(self, place: Path) -> str:
        return digest_of(dcmread(place / self.file).PixelData)


# --- sessions -----------------------------------------------------------------------------------------------------


class SessionSaves(Subject):
    """A session that is saved, and saved automatically, again and again; a next one recovers it and goes on."""

    name = "session save and autosave"
    saves = 40

    def make_inputs(self) -> None:
        write_bellies(self.inputs, 1, half_mm=85)

    def run(self, place: Path) -> None:
        os.environ |= self._environment(place)
        session = Session(model=MODEL, autosave=True)
        lost = Session.lost()
        if lost:
            session.recover(lost[0])
        elif (place / "work.coralbay").exists():
            session.load(place / "work.coralbay")
        else:
            session.open(self.inputs / "0.nii.gz")
        done = round(session.body_fraction * 1000) if lost or (place / "work.coralbay").exists() else 0
        for number in range(done + 1, self.saves + 1):
            session.body_fraction = number / 1000
            session.paint(_strokes(session.scan.label_grid, number))
            session.save(place / "work.coralbay")
            (place / "acknowledged").write_text(f"{number:4d}")  # one call to the system: never half of it
        session.save(place / "work.coralbay")
        session.close()

    def finished(self, place: Path) -> dict[str, Any]:
        said = place / "acknowledged"
        acknowledged = int(said.read_text() or 0) if said.exists() else 0
        if acknowledged or (place / "work.coralbay").exists():
            assert self._number(place / "work.coralbay") >= acknowledged
        with patch.dict(os.environ, self._environment(place)):
            lost = Session.lost()
        if 0 < acknowledged < self.saves:
            (newest,) = lost
            assert self._number(newest.path) >= acknowledged
        return {}

    def result(self, place: Path) -> tuple[int, list[str]]:
        return self._number(place / "work.coralbay"), sorted(
            str(path.relative_to(place)) for path in place.glob("state/autosave/*/*.coralbay")
        )

    def _number(self, path: Path) -> int:
        """Number of the last change that a session file holds."""
        state = session_file.read(path)
        return round(state.about["settings"]["share"] * 1000)

    def _environment(self, place: Path) -> dict[str, str]:
        return {"CORALBAY_STATE": str(place / "state"), "CORALBAY_CACHE": str(place / "cache")}


def _strokes(grid: Any, number: int) -> LabelVolume:
    data = np.zeros(grid.shape, np.uint8)
    data[2 : 3 + number % 20, 2:20, 2:20] = 1
    return LabelVolume(data, grid)


# --- training -----------------------------------------------------------------------------------------------------


class PrepareData(Subject):
    """`coralbay prepare-data`."""

    name = "prepare-data"

    def make_inputs(self) -> None:
        write_bellies(self.inputs / "scans", 3, half_mm=85)

    def run(self, place: Path) -> None:
        sources = sorted((self.inputs / "scans").iterdir())
        command("prepare-data", *sources, "-o", place / "store", "--spacing", "2", "--workers", "1")

    def finished(self, place: Path) -> dict[str, Any]:
        store = place / "store"
        names = [path.name for path in store.glob("[0-9a-f]*")]
        if names:
            source = StoreSource(store)
            assert sorted(source.names) == sorted(names)
            for number in range(len(names)):
                assert source.cells(number).any()
        lines = (store / "index.jsonl").read_text().split("\n")[:-1] if (store / "index.jsonl").is_file() else []
        volumes = {name: tree_digests(store / name) for name in names}
        times = {name: (store / name).stat().st_mtime_ns for name in names}
        return {name: (volumes[name], times[name]) for name in names} | {line: json.loads(line) for line in lines}

    def result(self, place: Path) -> dict[str, str]:
        store = place / "store"
        found = {
            name: digest_of(zarr.open_array(store / name / "hu", mode="r")[:].tobytes()) for name in _volumes(store)
        }
        return found | {"index": digest_of(*sorted((store / "index.jsonl").read_bytes().split()))}


def _volumes(store: Path) -> list[str]:
    return [path.name for path in store.iterdir() if path.is_dir() and not path.name.startswith(".")]


class Pretraining(Subject):
    """`coralbay pretrain tiny`, continued with --resume."""

    name = "pretrain tiny"

    def make_inputs(self) -> None:
        write_bellies(self.inputs / "scans", 2, half_mm=85)

    def run(self, place: Path) -> None:
        more = ["spacing_mm=3", "views.shift_mm=18", "steps=4", "checkpoint.every=1"]
        paths = [f"data={self.inputs / 'scans'}", f"output={place / 'run'}"]
        resume = ["--resume"] if (place / "run" / "run.json").is_file() else []
        command("pretrain", *TINY, *paths, *more, *resume)

    def finished(self, place: Path) -> dict[str, Any]:
        folder = place / "run"
        known = Checkpoints(folder / "checkpoints")
        for step in known.steps():
            state = known.load(step)
            assert state is not None
            assert state["step"] == step
        newest = max(known.steps(), default=0)
        text = (folder / "log.jsonl").read_text() if (folder / "log.jsonl").is_file() else ""
        lines = text.split("\n")[:-1]
        # Times are part of a line: one that a resumed run repeats is another one.
        return {line: True for line in lines if json.loads(line)["step"] <= newest}

    def result(self, place: Path) -> tuple[str, list[str]]:
        folder = place / "run"
        tensors, _ = read_tensors(folder / "tiny.safetensors")
        digest = digest_of(*(tensors[name].numpy().tobytes() for name in sorted(tensors)))
        return digest, sorted(path.name for path in (folder / "checkpoints").glob("step-*"))


SUBJECTS: tuple[type[Subject], ...] = (
    EmbedIntoCache, EmbedIntoFolder, CacheWrites, SessionSaves, QueryExport, ProbeExport, DicomExport, PrepareData,
    Pretraining,
)  # fmt: skip
