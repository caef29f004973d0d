"""Crops against geometry, augmentation against its definition, batches against the numbers of their places."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coralbay_core.pretrain.augment import augment, draw, gaussian_matrices, sample_views, slice_matrices
from coralbay_core.pretrain.batch import Labels, cell_centers, to_volume
from coralbay_core.pretrain.blocks import coarse, read_block
from coralbay_core.pretrain.config import ViewsConfig
from coralbay_core.pretrain.crops import bounds, crop_sizes, matched_points, random_affine, rotation
from coralbay_core.pretrain.data import CropDataset, StepBatchSampler, read_ahead, to_batch
from coralbay_core.pretrain.loss_terms.base import sample
from tests.support.pretraining import array_source

VIEWS = ViewsConfig(global_side=32, local_side=16, locals=3, shift_mm=18.0, flip=(0.0, 0.0, 0.5))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source(phantom):
    return array_source(phantom)


def batch_of(source, numbers, seed=5, **options):
    numbers = StepBatchSampler(len(numbers), 1, numbers[0] // len(numbers), numbers[0] // len(numbers) + 1)
    (collated,) = read_ahead(CropDataset(source, VIEWS, seed, **options), numbers, workers=0, prefetch=2, pin=False)
    return to_batch(collated, VIEWS, seed, CPU)


def views_of(volume, affines, side):
    """HU of views of a whole volume."""
    blocks = torch.from_numpy(volume)[None]
    return sample_views(blocks, torch.zeros(1, 3), torch.from_numpy(np.array(affines))[None], side)[:, 0]


def test_a_view_without_rotation_is_a_crop(source):
    volume = source.volumes[0]
    affine = np.concatenate([np.eye(3), [[20], [15], [30]]], 1)
    expected = torch.from_numpy(volume[20:36, 15:31, 30:46]).float()
    torch.testing.assert_close(views_of(volume, [affine], 16)[0], expected, atol=0.5, rtol=0)


def test_a_turned_view_turns_the_voxels(source):
    volume = source.volumes[0]
    quarter = rotation(np.array([np.pi / 2, 0, 0]))
    middle = np.array([27.5, 22.5, 37.5])
    affine = np.concatenate([quarter, (middle - quarter @ np.full(3, 7.5))[:, None]], 1)
    expected = np.rot90(volume[20:36, 15:31, 30:46], -1, (1, 2)).astype(np.float32)
    torch.testing.assert_close(views_of(volume, [affine], 16)[0], torch.from_numpy(expected.copy()), atol=0.5, rtol=0)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), side=st.sampled_from([16, 32]), zoom=st.floats(0.5, 2))
def test_bounds_hold_all_that_a_view_reads(seed, side, zoom):
    rng = np.random.default_rng(seed)
    affine = random_affine(rng, rng.uniform(-50, 50, 3), side, zoom, 10.0, VIEWS)
    low, high = bounds(affine[None], side)
    corners = np.stack(np.meshgrid(*[(0, side - 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    reached = corners @ affine[:, :3].T + affine[:, 3]
    assert (reached >= low).all()
    assert (reached <= high - 1).all()


def test_blocks_beyond_the_volume_are_air(source):
    volume = source.volumes[0]
    block = source.read(0, np.array([-5, 10, 10]), np.array([5, 20, 20]))
    assert (block[:5] == -1000).all()
    assert np.array_equal(block[5:], volume[:5, 10:20, 10:20])
    assert (source.read(0, np.array([-50, 0, 0]), np.array([-20, 8, 8])) == -1000).all()
    assert read_block(volume, np.array([2, 3, 4]), np.array([4, 6, 8]), 0).shape == (2, 3, 4)


def test_matched_points_show_the_same_tissue(source):
    rng = np.random.default_rng(3)
    volume, center = source.volumes[0], np.array(source.shape(0)) / 2
    first, second = (random_affine(rng, center, 32, 1.0, 6.0, VIEWS) for _ in range(2))
    points, positions, valid = matched_points(rng, first, second, 32, 200)
    assert valid.all()
    images = views_of(volume, [first, second], 32)[:, None]
    here, there = sample(images, torch.from_numpy(points).float(), 32)[..., 0]
    assert (here - there).abs().mean() < 0.3 * (here - there[torch.randperm(200)]).abs().mean()
    found = to_volume(torch.from_numpy(np.stack([first, second])), torch.from_numpy(points))
    np.testing.assert_allclose(found, np.stack([positions, positions]), atol=1e-6)


def test_views_that_share_nothing_have_no_valid_points():
    apart = [np.concatenate([np.eye(3), np.full((3, 1), far)], 1) for far in (0.0, 100.0)]
    points, _, valid = matched_points(np.random.default_rng(0), *apart, 32, 10)
    assert not valid.any()
    assert np.isfinite(points).all()


@settings(max_examples=20)
@given(sigma=st.floats(0, 3), thickness=st.floats(0, 8), level=st.floats(-1000, 1000))
def test_blur_and_slices_keep_a_constant(sigma, thickness, level):
    matrix = gaussian_matrices(torch.tensor([sigma]), 20) @ slice_matrices(torch.tensor([thickness]), 20)
    torch.testing.assert_close(matrix[0] @ torch.full((20,), level), torch.full((20,), level), rtol=1e-4, atol=1e-3)


def test_slices_are_means_between_which_is_interpolated():
    ramp = torch.arange(32.0) % 8
    thick = slice_matrices(torch.tensor([0.0, 4.0]), 32) @ ramp
    torch.testing.assert_close(thick[0], ramp)
    torch.testing.assert_close(thick[1][4], ramp[2:7].mul(torch.tensor([0.5, 1, 1, 1, 0.5])).sum() / 4)
    torch.testing.assert_close(thick[1][6], (thick[1][4] + thick[1][8]) / 2)


def test_augmentation_is_window_then_gamma_then_noise():
    hu = torch.linspace(-1500, 1500, 8**3).view(1, 1, 8, 8, 8)
    plain = augment(hu, torch.tensor([[-1000.0, 1000, 1, 0, 0, 0]]), [1])
    torch.testing.assert_close(plain, ((hu + 1000) / 2000).clamp(0, 1))
    torch.testing.assert_close(augment(hu, torch.tensor([[-1000.0, 1000, 2, 0, 0, 0]]), [1]), plain**2)
    noisy = augment(hu, torch.tensor([[-1000.0, 1000, 1, 0, 0, 0.05]]), [1])
    inside = (plain > 0.3) & (plain < 0.7)
    assert 0.04 < (noisy - plain)[inside].std() < 0.06
    assert not torch.equal(noisy, augment(hu, torch.tensor([[-1000.0, 1000, 1, 0, 0, 0.05]]), [2]))


def test_a_batch_is_what_its_views_are_one_by_one():
    hu = torch.rand(4, 1, 16, 16, 16) * 2000 - 1000
    rng = np.random.default_rng(0)
    drawn = torch.from_numpy(np.stack([draw(rng, VIEWS, 1.0, 1.5) for _ in range(4)]))
    drawn[0, 3:5] = torch.tensor([0.8, 3.0])
    together = augment(hu.clone(), drawn, [1, 2, 3, 4])
    for i in range(4):
        torch.testing.assert_close(augment(hu[i : i + 1].clone(), drawn[i : i + 1], [i + 1])[0], together[i])


def test_places_depend_on_seed_and_number_alone(source):
    together, later = batch_of(source, [4, 5, 6, 7], pairs=8), batch_of(source, [6, 7], pairs=8)
    assert together.samples == (4, 5, 6, 7)
    for mine, theirs in ((together.globals, later.globals), (together.locals, later.locals)):
        # Blocks are padded to the batch's largest, so coordinates differ by rounding.
        torch.testing.assert_close(mine.images[len(mine.images) // 2 :], theirs.images, atol=2e-3, rtol=0)
        assert torch.equal(mine.affines[len(mine.affines) // 2 :], theirs.affines)
    assert torch.equal(together.pairs.points[2:], later.pairs.points)
    again = batch_of(source, [4, 5, 6, 7], pairs=8)
    assert torch.equal(again.globals.images, together.globals.images)
    assert not torch.equal(batch_of(source, [4, 5], seed=6).globals.images, together.globals.images[:4])
    assert together.globals.images.shape == (8, 1, 32, 32, 32)
    assert together.locals.images.shape == (12, 1, 16, 16, 16)
    assert 0 <= together.globals.images.min() < together.globals.images.max() <= 1


def test_processes_and_parts_share_the_places_of_a_step():
    shares = [list(StepBatchSampler(12, 2, 3, 5, rank, 3)) for rank in range(3)]
    assert [len(part) for part in shares[0]] == [2, 2, 2, 2]
    assert sorted(n for share in shares for part in share[:2] for n in part) == list(range(36, 48))
    assert sorted(n for share in shares for part in share[2:] for n in part) == list(range(48, 60))


def test_worker_processes_read_the_same(source):
    places, numbers = CropDataset(source, VIEWS, 5), StepBatchSampler(2, 1, 0, 3)
    here, there = (
        [
            to_batch(collated, VIEWS, 5, CPU).globals.images
            for collated in read_ahead(places, numbers, workers, 2, False)
        ]
        for workers in (0, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))


def test_places_lie_in_the_body(source):
    item = [CropDataset(source, VIEWS, 1)[sample] for sample in range(20)]
    middles = [(i.affines[0].mean(0) @ np.array([15.5, 15.5, 15.5, 1])) for i in item]
    cells = np.array([np.clip(m // 4, 0, np.array(source.cells(0).shape) - 1).astype(int) for m in middles])
    assert source.cells(0)[tuple(cells.T)].mean() > 0.8


def test_labels_are_read_through_the_affines(source, phantom):
    labels = np.ascontiguousarray(phantom.labels.data[::2, ::2, ::2], np.int32)
    source.set_labels("organs", 0, labels, stride=2)
    batch = batch_of(source, [0, 1], targets=["organs"])
    side = batch.globals.side
    points = cell_centers(side, 4).expand(len(batch.globals.affines), -1, -1)
    positions = to_volume(batch.globals.affines, points).view(2, -1, 3)
    found = batch.labels["organs"].at(positions)
    index = np.floor((positions.numpy() + 0.5) / 2).astype(int)
    inside = ((index >= 0) & (index < labels.shape)).all(-1)
    expected = np.where(inside, labels[tuple(np.clip(index, 0, np.array(labels.shape) - 1).transpose(2, 0, 1))], -1)
    assert np.array_equal(found, expected)
    assert len(np.unique(expected)) > 3


def test_labels_outside_of_a_block_are_unknown():
    labels = Labels(torch.arange(8).view(1, 2, 2, 2), torch.tensor([[1, 1, 1]]), 2)
    positions = torch.tensor([[[2.0, 2, 2], [4.9, 2, 2], [1.4, 2, 2], [5.6, 2, 2]]])
    assert labels.at(positions).tolist() == [[0, 4, -1, -1]]


def test_sizes_in_mm_and_voxels():
    config = ViewsConfig(global_side=64, global_mm=192.0, local_side=32)
    sizes = crop_sizes(config, 1.5)
    assert (sizes.global_zoom, sizes.local_zoom) == (2.0, 1.0)
    assert sizes.shift == pytest.approx(0.22 * 128)


def test_coarse_masks_cover_the_body():
    mask = np.zeros((9, 9, 9), bool)
    mask[8, 0, 5] = True
    assert np.argwhere(coarse(mask)).tolist() == [[2, 0, 1]]
