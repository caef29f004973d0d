"""CT files to a training store: any mix of formats, nothing of a patient in the store, calls that were interrupted."""

import json
import shutil
import sys

import nibabel as nib
import numpy as np
import psutil
import pytest
import SimpleITK as sitk

from coralbay_core.cli import run
from coralbay_core.errors import InputError, MissingFileError
from coralbay_core.io import save_map
from coralbay_core.pretrain.blocks import read_block
from coralbay_core.pretrain.prepare import Limits, prepare_data
from coralbay_core.pretrain.store import MemorySource, StoreSource, open_store, write_volume
from tests.support import ROOT
from tests.support.dicom import write_rtstruct, write_series
from tests.support.waiting import wait_until

SPACING = 3.0
NAME = "Doe_John_1950"


@pytest.fixture(scope="module")
def tree(phantom, tmp_path_factory):
    """A mix of good and bad sources, each with a patient's name somewhere."""
    root = tmp_path_factory.mktemp("tree")
    volume = phantom.volume
    data = np.ascontiguousarray(volume.data)
    save_map(root / "a" / f"{NAME}.nii.gz", data, volume)
    shutil.copy(root / "a" / f"{NAME}.nii.gz", root / "a" / "again.nii.gz")
    save_map(root / "a" / "labels.nii.gz", phantom.labels.data, volume)
    save_map(root / "a" / "dark.nii.gz", np.full(volume.shape, -1000, np.int16), volume)
    (root / "a" / "broken.nii.gz").write_bytes(b"not gzip")
    (root / "a" / "notes.txt").write_text(NAME)
    image = sitk.GetImageFromArray(data[:, ::-1])
    image.SetSpacing((3.0, 3.0, 3.0))
    (root / "b").mkdir()
    sitk.WriteImage(image, str(root / "b" / "scan.nrrd"))
    sitk.WriteImage(image[10:, :, :], str(root / "b" / "scan.mha"))
    sitk.WriteImage(image[:, :, :8], str(root / "b" / "thin.mha"))
    deep = root / "c" / NAME / "series"
    write_series(deep, data[20:60], step=(0, 0, 3), spacing=(3.0, 3.0), PatientName=NAME)
    write_rtstruct(deep / "contours.dcm")
    write_series(root / "c" / "mr", data[20:60], Modality="MR", spacing=(3.0, 3.0))
    return root


@pytest.fixture(scope="module")
def prepared(tree, tmp_path_factory):
    store = tmp_path_factory.mktemp("stores") / "store"
    return store, prepare_data([tree], store, limits=Limits(SPACING))


def test_good_scans_of_every_format_are_taken(prepared):
    store, report = prepared
    assert len(report.added) == 4
    assert sorted(report.added) == StoreSource(store).names
    assert report.volumes == 4


def test_refused_scans_are_named_with_the_reason(prepared, tree):
    _, report = prepared
    kinds = {(outcome.path.replace(str(tree), "").strip("/"), outcome.kind) for outcome in report.refused}
    found = {(path if path.count("/") < 2 else path.rpartition("/")[0], kind) for path, kind in kinds}
    assert found == {
        ("a/again.nii.gz", "duplicate content"),
        ("a/labels.nii.gz", "not CT"),
        ("a/dark.nii.gz", "not CT"),
        ("a/broken.nii.gz", "unreadable"),
        ("b/thin.mha", "too few slices"),
        ("c/mr", "not CT"),
    }


def test_nothing_of_a_patient_enters_the_store(prepared, tree):
    store, _ = prepared
    secrets = [NAME.encode(), NAME.replace("_", "^").encode(), str(tree).encode(), b"nii.gz", b"1.2.826"]
    for path in store.rglob("*"):
        assert NAME not in str(path)
        if path.is_file():
            assert not any(secret in path.read_bytes() for secret in secrets), path


def test_voxels_are_those_of_the_scan_around_the_body(prepared, phantom):
    source = StoreSource(prepared[0])
    sizes = [np.prod(source.shape(i)) for i in range(4)]
    assert max(sizes) < phantom.volume.data.size
    for volume in range(4):
        shape = np.array(source.shape(volume))
        hu = source.read(volume, np.zeros(3, int), shape)
        assert hu.dtype == np.int16
        cells = source.cells(volume)
        assert cells.shape == tuple(-(-shape // 4))
        inside = cells.repeat(4, 0).repeat(4, 1).repeat(4, 2)[tuple(slice(0, n) for n in shape)]
        assert hu[inside].mean() > -200 > hu[~inside].mean()


def test_memory_and_disk_give_the_same_blocks(prepared):
    disk, memory = open_store(prepared[0], 0.0), open_store(prepared[0], 1.0)
    assert type(disk) is StoreSource
    assert type(memory) is MemorySource
    low, high = np.array([-3, 20, 30]), np.array([70, 90, 100])
    block = disk.read(1, low, high)
    assert np.array_equal(block, memory.read(1, low, high))
    whole = disk.read(1, np.zeros(3, int), np.array(disk.shape(1)))
    assert np.array_equal(block, read_block(whole, low, high, -1000))


def test_labels_are_kept_in_the_store(prepared, tmp_path):
    store = shutil.copytree(prepared[0], tmp_path / "store")
    source = StoreSource(store)
    labels = np.arange(np.prod([-(-n // 2) for n in source.shape(0)])).reshape([-(-n // 2) for n in source.shape(0)])
    assert not source.has_labels("clusters", 0)
    with pytest.raises(InputError, match="no such labels"):
        source.labels("clusters", 0, np.zeros(3, int), np.full(3, 4))
    for factor in (1, 2):  # the second replaces the first
        source.set_labels("clusters", 0, factor * labels, stride=2)
    block = StoreSource(store).labels("clusters", 0, np.array([-2, 4, 4]), np.array([6, 9, 8]))
    assert (block.stride, block.low.tolist(), block.data.shape) == (2, [-1, 2, 2], (4, 3, 2))
    assert (block.data[0] == -1).all()
    assert np.array_equal(block.data[1:], 2 * labels[0:3, 2:5, 2:4])


def test_a_second_call_adds_only_what_is_new(prepared, tree, phantom, tmp_path):
    store = shutil.copytree(prepared[0], tmp_path / "store")
    more = tmp_path / "more"
    save_map(more / "new.nii.gz", np.ascontiguousarray(phantom.volume.data) + np.int16(5), phantom.volume)
    report = prepare_data([tree, more], store, limits=Limits(SPACING))
    assert report.known == 10
    assert len(report.added) == 1
    assert not report.refused
    assert report.volumes == 5


def test_an_interrupted_call_is_gone_on_with(tree, prepared, tmp_path):
    """Killed in the middle: a torn line of the index, a volume whose line was never written, one half written."""
    store = shutil.copytree(prepared[0], tmp_path / "store")
    lines = (store / "index.jsonl").read_text().splitlines()
    last = max(i for i, line in enumerate(lines) if json.loads(line)["key"])
    (store / "index.jsonl").write_text("\n".join(lines[:last]) + "\n" + lines[last][:20])
    (store / ".part-dead").mkdir()
    shutil.copy(next(store.glob("[!.]*/zarr.json")), store / ".part-dead")
    report = prepare_data([tree], store, limits=Limits(SPACING))
    assert report.volumes == 4
    assert report.known == last
    assert {json.loads(line)["source"] for line in (store / "index.jsonl").read_text().splitlines()} == {
        json.loads(line)["source"] for line in lines
    }
    assert len(StoreSource(store).names) == 4


def test_a_call_that_was_killed_while_it_made_the_store(tree, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    (store / f"zarr.{'0' * 32}.partial").write_text("{")
    assert prepare_data([tree / "a"], store, limits=Limits(SPACING)).volumes == 1
    assert not list(store.glob("*.partial"))
    with pytest.raises(InputError, match="folder is not empty"):
        prepare_data([tree / "a"], tree / "b")


@pytest.mark.slow
def test_workers_end_with_a_call_that_is_killed(tree, tmp_path):
    work = "from pathlib import Path; from coralbay_core.pretrain.prepare import prepare_data; prepare_data"
    code = f"if __name__ == '__main__': {work}([Path({str(tree)!r})], {str(tmp_path / 'store')!r}, workers=2)"
    call = psutil.Popen([sys.executable, "-c", code], cwd=ROOT)
    wait_until(lambda: (tmp_path / "store" / "index.jsonl").exists() or call.poll() is not None, 240)
    workers = [child for child in call.children() if "spawn_main" in " ".join(child.cmdline())]
    call.kill()
    call.wait()
    assert workers
    wait_until(lambda: not any(worker.is_running() for worker in workers), 240)


@pytest.mark.slow
def test_several_processes_make_the_same_store(tree, prepared, tmp_path):
    report = prepare_data([tree], tmp_path / "store", limits=Limits(SPACING), workers=2)
    assert sorted(report.added) == sorted(prepared[1].added)
    assert report.counts() == prepared[1].counts()


def test_a_volume_is_written_once(tmp_path, prepared):
    source = StoreSource(prepared[0])
    hu = source.read(0, np.zeros(3, int), np.array(source.shape(0)))
    store = shutil.copytree(prepared[0], tmp_path / "store")
    assert not write_volume(store, source.names[0], hu, hu > 0)
    assert not list(store.glob(".part-*"))


def test_what_cannot_be_a_source_or_a_store(tree, prepared, tmp_path):
    with pytest.raises(MissingFileError):
        prepare_data([tmp_path / "nowhere"], tmp_path / "store")
    with pytest.raises(InputError, match="cannot be a source"):
        prepare_data([prepared[0]], tmp_path / "store")
    with pytest.raises(InputError, match="another spacing"):
        prepare_data([tree], prepared[0], limits=Limits(1.5))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no CT files"):
        prepare_data([tmp_path / "empty"], tmp_path / "store")
    with pytest.raises(InputError, match="folder is not empty"):
        prepare_data([tree], tree / "a")
    assert not (tmp_path / "store").exists()


def test_the_command_reports(tree, tmp_path, capsys):
    source = tree / "a"
    arguments = ["prepare-data", source, "-o", tmp_path / "store", "--spacing", "3", "--workers", "1", "--json"]
    arguments += ["--refused", tmp_path / "refused.tsv"]
    assert run([str(argument) for argument in arguments]) == 0
    out, err = capsys.readouterr()
    results = json.loads(out)["results"]
    assert results["counts"] == {"duplicate content": 1, "not CT": 2, "unreadable": 1}
    assert results["volumes"] == 1
    assert "refused, unreadable" in err
    rows = [line.split("\t") for line in (tmp_path / "refused.tsv").read_text().splitlines()]
    assert rows[0] == ["kind", "path", "detail"]
    assert len(rows) == 5


def test_real_files_of_every_kind(ct_pack, tmp_path):
    report = prepare_data([ct_pack / "raw"], tmp_path / "store")
    assert report.volumes == 3
    assert report.counts() == {"not CT": 1, "too small": 1}
    tilted = nib.load(ct_pack / "raw" / "nifti_tilted_cq500_5.nii.gz")
    volume_ml = np.prod(tilted.header.get_zooms()[:3]) * np.prod(tilted.shape)
    source = StoreSource(tmp_path / "store")
    assert all(np.prod(source.shape(i)) * 1.5**3 < 3 * volume_ml for i in range(3))
