"""Distillation of another encoder: its features of a store, and the relations that they teach."""

import numpy as np
import pytest
import torch

from coralbay_core.cli import run
from coralbay_core.errors import InputError, MissingFileError
from coralbay_core.models.loading import load_encoder
from coralbay_core.pretrain.distillation import (
    DistilledVectors,
    joint_vectors,
    principal_directions,
    sample_cells,
)
from coralbay_core.pretrain.label_free_descriptors import KINDS, describe_volume
from coralbay_core.pretrain.loss_terms.relations import DISTILLED, RelationsSettings, TargetRelations
from coralbay_core.pretrain.objective import make_terms
from coralbay_core.pretrain.prepare_distillation import DEFAULT_WEIGHTS, features_of_cells, prepare_distillation
from coralbay_core.pretrain.source import ArraySource
from coralbay_core.pretrain.store import StoreSource, create_store, distilled_path, write_volume

pytestmark = pytest.mark.forward

CHANNELS = {2: 8, 4: 16, 8: 32, 16: 64, 32: 128}


def tissue(seed: int, shape=(48, 52, 56)) -> np.ndarray:
    """HU of a box of soft tissue with smooth structure, air around it."""
    rng = np.random.default_rng(seed)
    hu = np.full(shape, -1000, np.int16)
    coarse = rng.normal(40, 60, [n // 8 for n in shape])
    inside = np.kron(coarse, np.ones((8, 8, 8)))
    part = tuple(slice(4, n - 4) for n in inside.shape)
    hu[part] = inside[part]
    return hu


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "store"
    create_store(folder, 1.5)
    for seed in range(3):
        hu = tissue(seed)
        write_volume(folder, f"volume{seed}", hu, hu > -500)
    return folder


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("hu-context", device="cpu")


def test_inner_products_of_joint_vectors_are_mean_cosines():
    rng = np.random.default_rng(0)
    rows = {4: rng.normal(size=(50, 5)), 8: rng.normal(size=(50, 7))}
    joint = joint_vectors(rows, {4: 1.0, 8: 3.0})
    fine, coarse = ((r - r.mean(0)) / r.std(0) for r in rows.values())
    fine, coarse = (r / np.linalg.norm(r, axis=1, keepdims=True) for r in (fine, coarse))
    np.testing.assert_allclose(joint @ joint.T, (fine @ fine.T + 3 * coarse @ coarse.T) / 4, atol=1e-5)


def test_directions_keep_inner_products_of_what_they_span():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(200, 6)) @ rng.normal(size=(6, 30))).astype(np.float32)
    directions, kept = principal_directions(rows.T @ rows, 6)
    assert kept == pytest.approx(1, abs=1e-5)
    reduced = rows @ directions
    np.testing.assert_allclose(reduced @ reduced.T, rows @ rows.T, rtol=1e-3, atol=1e-3)


def test_cells_of_a_volume_do_not_depend_on_the_others():
    body = tissue(0) > -500
    np.testing.assert_array_equal(sample_cells(body, "a", 50), sample_cells(body, "a", 50))
    assert (sample_cells(body, "a", 50) != sample_cells(body, "b", 50)).any()


def test_reduced_features_rank_cells_as_the_encoder_does(store, encoder):
    prepared = prepare_distillation(store, encoder, "context", cells=400, components=200)
    assert (prepared.added, prepared.known) == (3, 0)
    assert prepared.kept > 0.95
    source = StoreSource(store)
    found = source.distilled("context", 0)
    hu = source.read(0, np.zeros(3, int), np.array(source.shape(0)))
    joint = joint_vectors(features_of_cells(hu, found.cells, encoder, (4, 8, 16), 1.5), DEFAULT_WEIGHTS)
    np.testing.assert_allclose(found.vectors.astype(float) @ found.vectors.T.astype(float), joint @ joint.T, atol=0.1)
    assert not list(store.glob(".distilling*"))
    assert StoreSource(store).names == ["volume0", "volume1", "volume2"]


def test_an_interrupted_preparation_continues(store, encoder):
    class Interrupted(Exception):
        pass

    def interrupt(done, total):
        if done == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        prepare_distillation(store, encoder, "context", cells=100, components=20, report=interrupt)
    kept = {path: path.stat().st_mtime_ns for path in (store / ".distilling-context").glob("*")}
    assert len(kept) == 2
    assert not distilled_path(store, "volume0", "context").exists()
    calls = []
    prepare_distillation(store, encoder, "context", cells=100, components=20, report=lambda *n: calls.append(n))
    assert all(distilled_path(store, f"volume{i}", "context").is_file() for i in range(3))


def test_volumes_added_later_get_the_same_basis(store, encoder):
    prepare_distillation(store, encoder, "context", cells=100, components=20)
    basis = (store / "distilled" / "context.safetensors").read_bytes()
    first = distilled_path(store, "volume0", "context").read_bytes()
    hu = tissue(7)
    write_volume(store, "volume7", hu, hu > -500)
    prepared = prepare_distillation(store, encoder, "context", cells=100, components=20)
    assert (prepared.added, prepared.known) == (1, 3)
    assert (store / "distilled" / "context.safetensors").read_bytes() == basis
    assert distilled_path(store, "volume0", "context").read_bytes() == first
    assert StoreSource(store).distilled("context", 3).vectors.shape == (100, 20)


def test_another_encoder_needs_another_name(store, encoder):
    prepare_distillation(store, encoder, "context", cells=100, components=20)
    hu = tissue(7)
    write_volume(store, "volume7", hu, hu > -500)
    with pytest.raises(InputError, match="another encoder"):
        prepare_distillation(store, load_encoder("hu-patch", device="cpu"), "context", cells=100, components=8)


def test_missing_and_damaged_features_are_one_line(store):
    with pytest.raises(MissingFileError, match="prepare-distillation"):
        StoreSource(store).distilled("context", 0)
    path = distilled_path(store, "volume0", "context")
    DistilledVectors(np.zeros((5, 3), np.int32), np.zeros((5, 4), np.float16)).save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match="volume0"):
        StoreSource(store).distilled("context", 0)


def test_the_command(store, capsys):
    assert (
        run(["prepare-distillation", str(store), "--model", "hu-context", "--cells", "100", "--components", "20"]) == 0
    )
    assert "added:    3" in capsys.readouterr().out
    assert run(["prepare-distillation", str(store), "--model", "hu-context", "--name", "../away"]) == 2
    assert "--name" in capsys.readouterr().err
    assert run(["prepare-distillation", str(store / "none"), "--model", "hu-context"]) == 2


def unit(*shape, seed=0):
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=-1)


def test_targets_mix_both_similarities():
    vectors = {kind: unit(12, 8, seed=i) for i, kind in enumerate((*KINDS, DISTILLED))}
    patients = torch.tensor([0] * 6 + [1] * 6)
    plain = TargetRelations({kind: vectors[kind] for kind in KINDS}, patients)((1, 1, 1), (1, 2, 0))
    theirs = vectors[DISTILLED] @ vectors[DISTILLED].T
    for share in (0.0, 0.4, 1.0):
        mixed = TargetRelations(vectors, patients, share)((1, 1, 1), (1, 2, 0))
        torch.testing.assert_close(mixed, (1 - share) * plain + share * theirs)


def test_the_term_keeps_the_cells_that_have_features():
    hu = tissue(0)
    described = describe_volume(hu, 1.5)
    cells = np.rint((described.centers - 1.5) / 4).astype(np.int32)[::7]
    vectors = np.random.default_rng(0).normal(size=(len(cells) + 1, 5)).astype(np.float16)
    outside = np.array([[0, 0, 0]], np.int32)
    distilled = DistilledVectors(np.concatenate([cells, outside]), vectors)
    source = ArraySource(["a"], [hu], vectors={("other", 0): distilled})
    term = make_terms({"relations": RelationsSettings(distill="other")}, CHANNELS)["relations"]
    term.prepare(source)
    (made,) = term.volumes
    np.testing.assert_array_equal(made.centers, described.centers[::7])
    np.testing.assert_array_equal(made.vectors[DISTILLED], vectors[:-1])
    np.testing.assert_array_equal(made.vectors["tissue"], described.vectors["tissue"][::7])
    with pytest.raises(InputError, match="prepare-distillation"):
        make_terms({"relations": RelationsSettings(distill="absent")}, CHANNELS)["relations"].prepare(source)
