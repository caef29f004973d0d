"""The plain pretraining loop: losses against their definitions, views against geometry, and one real step."""

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coralbay_core import load_encoder
from coralbay_core.pretrain import loss
from coralbay_core.pretrain.export import export
from coralbay_core.pretrain.loop import Trainer, TrainSettings, sample
from coralbay_core.pretrain.views import Views, ViewSampler, ViewSettings, cut, matched_points, random_affine
from coralbay_core.swin3d import Swin3DConfig

SMALL_VIEWS = ViewSettings(global_side=32, local_side=32, locals_per_place=1, shift=6)


@pytest.fixture(scope="module")
def volumes(phantom):
    return [torch.from_numpy(np.ascontiguousarray(phantom.volume.data, np.int16))]


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(2, 40), prototypes=st.integers(2, 20), seed=st.integers(0, 99))
def test_sinkhorn_balances_prototypes(rows, prototypes, seed):
    logits = torch.rand(rows, prototypes, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    assignment = loss.sinkhorn(logits, temperature=0.5, iterations=50)
    torch.testing.assert_close(assignment.sum(1), torch.ones(rows), rtol=0, atol=1e-4)
    torch.testing.assert_close(assignment.sum(0), torch.full((prototypes,), rows / prototypes), rtol=1e-2, atol=1e-2)


def test_cross_view_entropy_is_the_mean_over_pairs_of_different_views():
    student, teacher = torch.randn(4, 3, 7), torch.rand(2, 3, 7).softmax(-1)
    terms = [
        -(teacher[g] * torch.log_softmax(student[v] / 0.1, -1)).sum(-1).mean()
        for g, v in itertools.product(range(2), range(4))
        if g != v
    ]
    torch.testing.assert_close(loss.cross_view_entropy(student, teacher), torch.stack(terms).mean())


def test_matched_tokens_ignore_near_points():
    position = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [50, 0, 0]]])
    vectors = torch.nn.functional.normalize(torch.tensor([[[1.0, 0], [1, 0], [0, 1]]]), dim=-1)
    near_allowed = loss.matched_tokens(vectors, vectors, position, exclusion=0.5)
    near_ignored = loss.matched_tokens(vectors, vectors, position, exclusion=5)
    assert near_ignored < 0.01 < 0.4 < near_allowed


def test_koleo_prefers_spread():
    spread = torch.eye(4)
    assert loss.koleo(spread) < loss.koleo(spread + 5)


def test_view_without_rotation_is_a_crop(volumes):
    volume = volumes[0]
    affine = np.concatenate([np.eye(3), [[20], [15], [30]]], 1)
    torch.testing.assert_close(cut(volume, affine, 16), volume[20:36, 15:31, 30:46].float(), atol=0.5, rtol=0)
    outside = cut(volume, np.concatenate([np.eye(3), [[-500], [0], [0]]], 1), 16)
    assert (outside == -1000).all()


def test_matched_points_show_the_same_tissue(volumes):
    rng = np.random.default_rng(3)
    center = np.array(volumes[0].shape) / 2
    affines = [random_affine(rng, center, 32, 6, SMALL_VIEWS) for _ in range(4)]
    images = torch.stack([cut(volumes[0], affine, 32) for affine in affines])[:, None]
    views = Views(images, torch.from_numpy(np.stack(affines)).float())
    points, positions = matched_points(views, 32, 200, torch.Generator().manual_seed(0))
    here, there = (sample(images[view::2], points[:, view], 1, 32)[..., 0] for view in (0, 1))
    shuffled = there[:, torch.randperm(200)]
    assert (here - there).abs().mean() < 0.3 * (here - shuffled).abs().mean()
    assert positions.shape == (2, 200, 3)


def test_same_seed_same_views(volumes):
    first, again = (ViewSampler(volumes, SMALL_VIEWS, seed=5).batch(2) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.affines, b.affines)
        assert 0 <= a.images.min() <= a.images.max() <= 1
    assert len(first[0].images) == 4
    assert len(first[1].images) == 2


def test_a_short_run_learns_logs_and_exports(volumes, tmp_path):
    config = Swin3DConfig(embed_dim=12, window=4)
    trainer = Trainer(volumes, config, TrainSettings(minutes=0.1, places=2, points=24, views=SMALL_VIEWS), tmp_path)
    before = {name: tensor.clone() for name, tensor in trainer.teacher.backbone.state_dict().items()}
    trainer.run()
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert log[0]["step"] == 1
    assert all(np.isfinite(list(record.values())).all() for record in log)
    assert {"dino", "tokens", "koleo", "teacher_entropy", "mean_entropy"} <= set(log[0])
    after = torch.load(tmp_path / "teacher.pt", weights_only=True)
    assert any(not torch.equal(after[name], before[name]) for name in before)
    card = tmp_path / "tiny.toml"
    card.write_text(
        'name = "tiny"\nsummary = "test"\nlicense = "Apache-2.0"\nfile = "tiny.safetensors"\nsha256 = ""\n'
        "[architecture]\nembed_dim = 12\nwindow = 4\nmerging = 'monai>=1.5'\n"
        "[preprocessing]\nspacing_mm = 1.5\nwindow_hu = [-1000.0, 1000.0]\naxis_codes = ['S', 'P', 'L']\n"
    )
    encoder = load_encoder(export(tmp_path / "teacher.pt", card), device="cpu", precision=torch.float32)
    assert encoder.name == "tiny"
    x = torch.rand(1, 1, 32, 32, 32)
    trainer.teacher.backbone.half().float().eval()
    with torch.no_grad():
        expected = trainer.teacher.backbone(x, [8])[8]
    torch.testing.assert_close(encoder(x, [8])[8], expected)
