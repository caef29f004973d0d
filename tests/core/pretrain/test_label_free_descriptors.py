"""Label-free descriptors of cells, and the relations that they teach."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coralbay_core.models.swin3d import Swin3DConfig
from coralbay_core.pretrain.config import PretrainConfig, ViewsConfig
from coralbay_core.pretrain.config_loader import ConfigError
from coralbay_core.pretrain.data import CropDataset, StepBatchSampler, read_ahead, to_batch
from coralbay_core.pretrain.label_free_descriptors import (
    KERNELS_MM,
    KINDS,
    NODES_HU,
    describe_volume,
    place_waves,
    soft_histogram,
)
from coralbay_core.pretrain.loss_terms import TERMS, StepInfo
from coralbay_core.pretrain.loss_terms.base import sample
from coralbay_core.pretrain.loss_terms.relations import RelationsSettings, TargetRelations, cells_in_view
from coralbay_core.pretrain.objective import Branch, Objective, make_terms
from coralbay_core.pretrain.resolve import check
from coralbay_core.pretrain.teacher import make_teacher
from tests.support.pretraining import array_source

CONFIG = Swin3DConfig(embed_dim=12, window=4)
VIEWS = ViewsConfig(places_per_volume=2, globals=1, global_side=32, locals=0)


@pytest.fixture(scope="module")
def described(phantom):
    return describe_volume(np.rint(phantom.volume.data).astype(np.int16), 3.0)


@settings(max_examples=30)
@given(hu=st.lists(st.floats(-2000, 4000), min_size=1, max_size=20))
def test_a_soft_histogram_keeps_the_mean_hu(hu):
    shares = soft_histogram(torch.tensor(hu).view(1, 1, -1)).flatten(1)
    torch.testing.assert_close(shares.sum(0), torch.ones(len(hu)))
    assert ((shares > 0).sum(0) <= 2).all()
    clamped = torch.tensor(hu).clamp(NODES_HU[0], NODES_HU[-1])
    torch.testing.assert_close((shares * torch.tensor(NODES_HU).float()[:, None]).sum(0), clamped, rtol=1e-4, atol=0.1)


def test_inner_products_of_waves_fall_with_the_distance():
    relative = np.column_stack([np.zeros(5), np.zeros(5), np.array([0, 10, 40, 100, 300]) / 380])
    waves = place_waves(relative)
    products = waves @ waves[0] / (waves[0] @ waves[0])
    distance = relative[:, 2] * 380
    expected = np.mean([np.exp(-((distance / width) ** 2) / 2) for width in KERNELS_MM], 0)
    np.testing.assert_allclose(products, expected, atol=0.15)  # 24 waves a width
    assert (np.diff(products) < 0).all()


def test_descriptors_are_unit_vectors_of_cells_in_the_body(described, phantom):
    assert set(described.vectors) == set(KINDS)
    hu = phantom.volume.data[tuple(np.rint(described.centers).astype(int).T)]
    assert (hu > -900).mean() > 0.95
    for rows in described.vectors.values():
        assert len(rows) == len(described.centers)
        np.testing.assert_allclose(np.linalg.norm(rows.astype(np.float32), axis=1), 1, atol=2e-3)


def likeness(described, kind, first, second):
    rows = described.vectors[kind].astype(np.float32)
    return float((rows[first] @ rows[second].T).mean())


def test_tissue_knows_an_organ_and_surroundings_know_the_side(described, phantom):
    labels = phantom.labels.data[tuple(np.rint(described.centers).astype(int).T)]
    value = {name: key for key, name in phantom.labels.names.items()}
    liver, left, right = (labels == value[n] for n in ("liver", "lung_lower_lobe_left", "lung_lower_lobe_right"))
    assert likeness(described, "tissue", liver, liver) > likeness(described, "tissue", liver, left) + 0.3
    # Both lungs are one tissue, but lie otherwise.
    assert likeness(described, "tissue", left, right) > 0.5 * likeness(described, "tissue", left, left)
    for kind in ("surroundings", "place"):
        assert likeness(described, kind, left, left) > likeness(described, kind, left, right) + 0.1


def test_a_part_of_the_cells_keeps_rows_together(described):
    few = described.some(np.random.default_rng(0), 50)
    assert len(few.centers) == 50
    where = [int(np.flatnonzero((described.centers == center).all(1))[0]) for center in few.centers]
    for kind in KINDS:
        np.testing.assert_array_equal(few.vectors[kind], described.vectors[kind][where])
    assert described.some(np.random.default_rng(0), 10**9) is described


def test_cells_are_found_in_a_turned_view():
    rng = np.random.default_rng(0)
    affine = np.array([[0, 1.1, 0, 5], [-0.9, 0, 0, 40], [0, 0, 1.0, 3]], float)
    centers = rng.uniform(0, 60, (3000, 3))
    points, chosen = cells_in_view(centers, affine, 32, 100, rng)
    np.testing.assert_allclose(points @ affine[:, :3].T + affine[:, 3], centers[chosen], atol=1e-9)
    assert points.min() >= 1
    assert points.max() <= 30
    assert len(set(chosen.tolist())) == 100
    far, _ = cells_in_view(centers + 500, affine, 32, 4, rng)
    assert far.min() >= 0
    assert far.max() <= 31


def unit(*shape, seed=0):
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=-1)


def test_equal_relations_have_no_divergence():
    vectors = {kind: unit(12, 8, seed=i) for i, kind in enumerate(KINDS)}
    patients = torch.tensor([0] * 6 + [1] * 6)
    target = TargetRelations(vectors, patients)
    wanted = target((1, 1, 1), (1, 2, 0))
    inner = {kind: rows @ rows.T for kind, rows in vectors.items()}
    torch.testing.assert_close(wanted[:6, :6], sum(inner.values())[:6, :6] / 3)
    torch.testing.assert_close(wanted[:6, 6:], ((inner["tissue"] + 2 * inner["surroundings"]) / 3)[:6, 6:])
    # What a cell says of itself, and a constant, change no ranking.
    given = wanted + 0.3 + torch.eye(12)
    assert target.divergence(given, wanted, 0.1).item() == pytest.approx(0, abs=1e-5)
    assert target.agreement(given, wanted).item() == pytest.approx(1, abs=1e-5)
    assert target.divergence(-wanted, wanted, 0.1).item() > 0.1


@pytest.fixture(scope="module")
def run(phantom):
    """Objective with the term alone, and a batch of two places."""
    source = array_source(phantom)
    terms = make_terms({"relations": RelationsSettings(points=48)}, CONFIG.channels())
    terms["relations"].prepare(source)
    torch.manual_seed(0)
    student = Branch(CONFIG, terms)
    (collated,) = read_ahead(CropDataset(source, VIEWS, 0), StepBatchSampler(2, 1, 0, 1), 0, 2, False)
    return Objective(student, make_teacher(student), terms, {"relations": 1.0}), to_batch(
        collated, VIEWS, 0, torch.device("cpu")
    )


def test_cells_of_a_batch_lie_where_their_tissue_is(run, phantom):
    """Descriptors and views agree on where a cell lies: bright cells are bright in the views."""
    made, batch = run
    term = made.terms["relations"]
    points, vectors, patients = term._cells(batch)
    assert len(points) == 2
    assert patients.tolist() == [0] * len(patients)
    hu = torch.from_numpy(phantom.volume.data.astype(np.float32))[None, None]
    volume = term.volumes[0]
    rows = vectors["place"].half().numpy()
    known = {row.tobytes(): i for i, row in enumerate(volume.vectors["place"])}
    for view, affine in enumerate(batch.globals.affines.numpy()):
        place = points[view].numpy() @ affine[:, :3].T + affine[:, 3]
        cells = [known[row.tobytes()] for row in rows[view * 48 : (view + 1) * 48]]
        np.testing.assert_allclose(place, volume.centers[cells], atol=1e-2)
    assert sample(hu, points[:1], hu.shape[-1]).shape == (1, 48, 1)


@pytest.mark.forward
def test_it_learns_the_relations(run):
    made, batch = run
    optimizer = torch.optim.Adam(made.student.parameters(), 1e-3)
    said = []
    for step in range(12):
        output = made(batch, StepInfo(step, 0.04))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        said.append({k: float(v) for k, v in output.terms["relations"].scalars.items()})
    assert said[-1]["heat"] < 0.8 * said[0]["heat"]
    assert said[-1]["agreement"] > said[0]["agreement"]


def test_impossible_parts_are_refused(tmp_path):
    chosen = TERMS["relations"].Settings(within=(0.0, 0.0, 0.0), across=(1.0, -1.0), strides=(3,))
    config = PretrainConfig(data=str(tmp_path), output=str(tmp_path / "run"), steps=1, objective={"relations": chosen})
    with pytest.raises(ConfigError, match="no strides") as error:
        check(config)
    assert "within" in str(error.value)
    assert "across" in str(error.value)
