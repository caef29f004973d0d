"""Losses and assignments against their definitions, terms against what they promise."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coralbay_core.models.swin3d import Swin3DConfig
from coralbay_core.pretrain import loss_functions
from coralbay_core.pretrain.assign import Assigner, sinkhorn
from coralbay_core.pretrain.config import ViewsConfig
from coralbay_core.pretrain.data import CropDataset, StepBatchSampler, read_ahead, to_batch
from coralbay_core.pretrain.heads import DinoHead, TokenHead
from coralbay_core.pretrain.loss_terms import TERMS, StepInfo
from coralbay_core.pretrain.loss_terms.base import sample
from coralbay_core.pretrain.loss_terms.masked import Masked, MaskedSettings
from coralbay_core.pretrain.objective import Branch, Objective, make_terms
from coralbay_core.pretrain.teacher import make_teacher, update_teacher
from coralbay_core.pretrain.trainer import recompute_activations
from tests.support.pretraining import array_source

pytestmark = pytest.mark.forward

CONFIG = Swin3DConfig(embed_dim=12, window=4)
VIEWS = ViewsConfig(global_side=32, local_side=32, locals=1)
NOW = StepInfo(0, 0.04)


@pytest.fixture(scope="module")
def batch(phantom):
    places = CropDataset(array_source(phantom), VIEWS, 0, pairs=24)
    (collated,) = read_ahead(places, StepBatchSampler(2, 1, 0, 1), 0, 2, False)
    return to_batch(collated, VIEWS, 0, torch.device("cpu"))


def objective(*names, **settings):
    chosen = {name: TERMS[name].Settings(**settings) for name in names}
    terms = make_terms(chosen, CONFIG.channels())
    torch.manual_seed(0)
    student = Branch(CONFIG, terms)
    return Objective(student, make_teacher(student), terms, {name: chosen[name].weight for name in terms})


@settings(max_examples=30)
@given(rows=st.integers(2, 40), prototypes=st.integers(2, 20), seed=st.integers(0, 99))
def test_sinkhorn_balances_prototypes(rows, prototypes, seed):
    logits = torch.rand(rows, prototypes, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    assignment = sinkhorn(logits, temperature=0.5, iterations=50)
    torch.testing.assert_close(assignment.sum(1), torch.ones(rows), rtol=0, atol=1e-4)
    torch.testing.assert_close(assignment.sum(0), torch.full((prototypes,), rows / prototypes), rtol=1e-2, atol=1e-2)


def test_sinkhorn_stays_finite_where_a_prototype_is_never_near():
    logits = torch.zeros(4, 3)
    logits[:, 2] = -1e4
    assignment = sinkhorn(logits, temperature=0.02)
    assert torch.isfinite(assignment).all()
    torch.testing.assert_close(assignment.sum(1), torch.ones(4))


def test_centring_subtracts_a_moving_mean():
    assigner = Assigner("centring", 3, momentum=0.9)
    logits = torch.tensor([[1.0, 0, 0], [1.0, 0, 0]])
    assert torch.equal(assigner(logits, 1.0), logits.softmax(-1))
    torch.testing.assert_close(assigner.center, torch.tensor([0.1, 0, 0]))
    torch.testing.assert_close(assigner(logits, 1.0), (logits - torch.tensor([0.1, 0, 0])).softmax(-1))


def test_a_queue_comes_back_from_a_state():
    assigner = Assigner("sinkhorn", 4, queue=6)
    for _ in range(2):
        assigner(torch.rand(4, 4), 0.1)
    again = Assigner("sinkhorn", 4, queue=6)
    again.load_state_dict(assigner.state_dict())
    assert again.queue.shape == (6, 4)
    logits = torch.rand(4, 4)
    assert torch.equal(assigner(logits, 0.1), again(logits, 0.1))


def test_cross_view_entropy_is_the_mean_over_pairs_of_different_views():
    student, teacher = torch.randn(4, 3, 7), torch.rand(2, 3, 7).softmax(-1)
    terms = [
        -(teacher[g] * torch.log_softmax(student[v] / 0.1, -1)).sum(-1).mean()
        for g, v in itertools.product(range(2), range(4))
        if g != v
    ]
    torch.testing.assert_close(loss_functions.cross_view_entropy(student, teacher), torch.stack(terms).mean())


def test_matched_tokens_ignore_near_and_invalid_points():
    position = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [50, 0, 0]]])
    vectors = torch.nn.functional.normalize(torch.tensor([[[1.0, 0], [1, 0], [0, 1]]]), dim=-1)
    valid = torch.ones(1, 3, dtype=torch.bool)
    near_allowed = loss_functions.matched_tokens(vectors, vectors, position, valid, exclusion=0.5)
    near_ignored = loss_functions.matched_tokens(vectors, vectors, position, valid, exclusion=5)
    assert near_ignored < 0.01 < 0.4 < near_allowed
    assert loss_functions.matched_tokens(vectors, vectors, position, ~valid, exclusion=0.5) == 0


def test_koleo_is_the_distance_to_the_nearest():
    rows = torch.nn.functional.normalize(torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 0, 1]]), dim=-1)
    distance = (rows[:, None] - rows).norm(dim=-1) + 9 * torch.eye(3)
    torch.testing.assert_close(loss_functions.koleo(rows), -(distance.min(1).values + 1e-6).log().mean())
    torch.testing.assert_close(
        loss_functions.koleo(rows[1:], rows, first=1), -(distance.min(1).values[1:] + 1e-6).log().mean()
    )
    assert torch.isfinite(loss_functions.koleo(rows.repeat(2, 1)))


def test_heads_give_cosines_and_unit_vectors():
    x = torch.randn(5, 12)
    assert DinoHead(12, 16, 8, 20)(x).abs().max() <= 1 + 1e-5
    torch.testing.assert_close(TokenHead(12)(x).norm(dim=-1), torch.ones(5))


@pytest.mark.parametrize("name", sorted(TERMS))
def test_every_term_gives_a_finite_loss_that_teaches_its_stages(name, batch, phantom):
    made = objective(name)
    made.terms[name].prepare(array_source(phantom))
    output = made(batch, NOW)
    term = output.terms[name]
    assert torch.isfinite(output.loss)
    assert output.loss.ndim == 0
    output.loss.backward()
    gradients = [p.grad for n, p in made.student.named_parameters() if "layers1" in n]
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    assert all(p.grad is None for p in made.teacher.parameters())
    heads = [p for p in made.student.heads.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in heads)
    if term.assigned is not None:
        torch.testing.assert_close(term.assigned.sum(-1), torch.ones(len(term.assigned)), rtol=0, atol=1e-3)
        assert term.soft.shape == term.assigned.shape


@pytest.mark.parametrize("name", sorted(set(TERMS) - {"koleo", "relations"}))  # which compare places
def test_a_term_is_the_mean_over_its_places(name, batch, phantom):
    """What lets processes be averaged: terms that look at one place at a time say the same of places one by one."""
    made = objective(name) if name == "tokens" else objective(name, assignment="centring")
    places = CropDataset(array_source(phantom), VIEWS, 0, pairs=24)
    parts = [
        to_batch(collated, VIEWS, 0, torch.device("cpu"))
        for collated in read_ahead(places, StepBatchSampler(2, 2, 0, 1), 0, 2, False)
    ]
    for assigner in (module for module in made.terms.modules() if isinstance(module, Assigner)):
        assigner.momentum = 1.0  # centers stay where they are
    whole = made(batch, NOW).loss.item()
    assert np.mean([made(part, NOW).loss.item() for part in parts]) == pytest.approx(whole, rel=2e-3)


def test_weights_of_zero_switch_terms_off():
    chosen = {"dino": TERMS["dino"].Settings(), "koleo": replace(TERMS["koleo"].Settings(), weight=0.0)}
    assert list(make_terms(chosen, CONFIG.channels())) == ["dino"]


def test_the_loss_is_the_weighted_sum(batch):
    made = objective("dino", "koleo", weight=0.5)
    output = made(batch, NOW)
    torch.testing.assert_close(output.loss, 0.5 * sum(term.loss for term in output.terms.values()))


def test_the_paper_leaves_stride_16_out_with_residual_blocks():
    channels = Swin3DConfig(embed_dim=48, residual_blocks=True).channels()
    term = TERMS["dino"](TERMS["dino"].Settings(), channels)
    assert term.strides() == (1, 2, 4, 8, 32)
    assert sum(channels[s] for s in term.strides()) == 1152
    assert TERMS["dino"](TERMS["dino"].Settings(), CONFIG.channels()).strides() == (2, 4, 8, 16, 32)


def test_masking_hides_blocks_of_chosen_views_only(batch):
    term = Masked(MaskedSettings(ratio=0.25, views=1), CONFIG.channels())
    heads = term.make_heads()
    hidden = term.hidden(batch)
    assert hidden.flatten(1).sum(1).tolist() == [16, 0, 16, 0]
    images = batch.globals.images
    changed = term.corrupt(images, batch, heads)
    assert torch.equal(changed[1::2], images[1::2])
    share = (changed[::2] == 0.5).float().mean()
    assert 0.25 <= share < 0.3
    assert torch.equal(term.hidden(batch), hidden)
    assert not torch.equal(hidden[0], hidden[2])


def test_masked_tokens_are_those_of_the_hidden_blocks(batch):
    made = objective("masked", strides=(8,), ratio=0.25)
    output = made(batch, NOW).terms["masked"]
    assert len(output.assigned) == 2 * 16


def test_samples_of_a_stage_lie_where_its_cells_lie():
    maps = torch.arange(4.0).view(1, 1, 1, 1, 4).expand(1, 1, 4, 4, 4)
    # Cells of stride 8 are centered on voxels 3.5, 11.5, ...
    points = torch.tensor([[[3.5, 3.5, 3.5], [3.5, 3.5, 11.5], [3.5, 3.5, 15.5]]])
    torch.testing.assert_close(sample(maps, points, 32)[0, :, 0], torch.tensor([0.0, 1.0, 1.5]))


def test_the_teacher_follows():
    made = objective("dino")
    before = copy.deepcopy(made.teacher.state_dict())
    with torch.no_grad():
        for parameter in made.student.parameters():
            parameter += 1.0
    update_teacher(made.teacher, made.student, 0.75)
    key = "backbone.swinViT.layers1.0.blocks.0.attn.qkv.weight"
    torch.testing.assert_close(made.teacher.state_dict()[key], before[key] + 0.25)


def test_recomputed_activations_give_the_same_gradients(batch):
    gradients = []
    for recompute in (False, True):
        made = objective("dino", "tokens")
        if recompute:
            recompute_activations(made.student.backbone)
        made(batch, NOW).loss.backward()
        gradients.append([p.grad for p in made.student.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain)
