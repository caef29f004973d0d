"""Queries: from clicks, strokes and regions, with weights and priors, kept as files."""

import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.errors import InputError, MissingFileError
from coralbay_core.features.descriptors import stage_descriptors
from coralbay_core.features.feature_maps import sample_trilinear
from coralbay_core.similarity import (
    DistancePrior,
    auto_weights,
    box_points,
    heat_map,
    label_points,
    load_query,
    make_query,
    merge_queries,
    search,
    stroke_points,
)
from coralbay_core.similarity.cell_table import body_tokens, point_tokens
from coralbay_core.similarity.heat import contrasted
from coralbay_core.similarity.query import renamed
from coralbay_core.spatial import LabelVolume
from coralbay_core.util.tensor_file import read_tensors, write_tensors
from tests.support.made_features import CT_GRID, GRID, TISSUES, made_features, tissue_map, world


@pytest.fixture(scope="module")
def features():
    return made_features()


def painted(values: dict[str, int]) -> LabelVolume:
    data = np.zeros(GRID.shape, np.uint8)
    for name, value in values.items():
        data[tuple(slice(c - 4, c + 4) for c in TISSUES[name])] = value
    return LabelVolume(data, GRID)


@pytest.mark.parametrize("reduction", ["max", "mean", "medoid", "kmeans"])
def test_a_region_is_found_again_however_it_is_summed_up(features, reduction):
    places = label_points(painted({"left": 9}))
    query = make_query(features, places, reduction=reduction)
    assert query.size == {"max": len(places), "mean": 1, "medoid": 1, "kmeans": 4}[reduction]
    for stage in query.positive.values():
        np.testing.assert_allclose(np.linalg.norm(stage, axis=1), 1, atol=1e-4)
    heat = search(features, query)
    assert heat.at(world("left"))[0] > 0.8 > 0.5 > max(heat.at(world("right"))[0], heat.at(world("top"))[0])


def test_k_means_keeps_both_looks_of_a_region_and_the_mean_does_not(features):
    both = label_points(painted({"left": 1, "top": 1}))
    found = {by: search(features, make_query(features, both, reduction=by)) for by in ("kmeans", "mean")}
    lowest = {by: min(heat.at(world("left"))[0], heat.at(world("top"))[0]) for by, heat in found.items()}
    assert lowest["kmeans"] > lowest["mean"] + 0.1


def test_strokes_and_boxes(features):
    like, unlike = stroke_points(painted({"left": 1, "top": 2}))
    assert len(like) == len(unlike) == 8**3
    assert np.abs(GRID.to_index(like) - TISSUES["left"]).max() <= 4 + 1e-9
    box = box_points(features, [world("left") - 12, world("left") + 12])
    assert (np.abs(box - world("left")) <= 12).all()
    with pytest.raises(InputError, match="strokes of other values"):
        stroke_points(painted({"left": 3}))
    with pytest.raises(InputError, match="empty region"):
        label_points(painted({"left": 3}), 4)
    with pytest.raises(InputError, match="no body in the region"):
        box_points(features, [[900, 900, 900], [910, 910, 910]])


def test_the_distance_prior_decides_between_equals(features):
    alike = heat_map(features, [world("left"), world("top")])
    assert abs(alike.at(world("left"))[0] - alike.at(world("top"))[0]) < 0.1
    near = heat_map(features, [world("left"), world("top")], prior=DistancePrior(world("top"), 25.0))
    assert near.at(world("top"))[0] > near.at(world("left"))[0] + 0.5
    assert near.minimum == pytest.approx(alike.minimum, abs=1e-5)
    for width in (0, -1, float("nan")):
        with pytest.raises(InputError, match="distance prior"):
            DistancePrior(world("top"), width)


def test_a_mask_is_what_reaches_the_threshold(features):
    heat = heat_map(features, world("left"))
    mask = heat.mask(CT_GRID, 0.6)
    assert np.array_equal(mask, (heat.resample_to(CT_GRID) >= 0.6))
    assert 5 < mask.sum() * CT_GRID.voxel_ml < 40  # the cube has 27 ml, cells are 6 and 12 mm wide
    score = heat.score_of_share(0.05)
    assert (heat.data[heat.inside] >= score).mean() == pytest.approx(0.05, abs=0.01)


def test_auto_weights_trust_the_stage_that_tells(features):
    centers = [np.array(world("left")) + offset for offset in ((0, 0, 0), (6, 0, 0), (0, 6, 0), (0, 0, 6), (-6, 0, 0))]
    torn = made_features(noise_of={4: 0.3, 8: 40.0})
    weights = auto_weights(torn, centers, [world("right"), world("top")])
    assert weights[4] > 0.5
    assert sum(weights.values()) == pytest.approx(1)
    assert auto_weights(features, world("left")) == {4: 0.5, 8: 0.5}
    assert heat_map(torn, centers, weights="auto").weights[4] > 0.5


def test_rows_of_cells_multiply_to_mixed_cosines(features):
    weights = {4: 0.25, 8: 0.75}
    tokens = body_tokens(features, weights)
    row = point_tokens(features, world("left"), weights)[0]
    expected = np.zeros(len(tokens))
    for stride, weight in weights.items():
        stage = features.stages[stride]
        unit = stage_descriptors(features, stride)
        cosine = np.tensordot(unit.describe(stage.sample(world("left")))[0], unit.unit, 1)
        expected += weight * sample_trilinear(cosine[None], stage.grid.to_index(tokens.position_mm))[:, 0]
    np.testing.assert_allclose(tokens.vectors @ row, expected, atol=1e-5)


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20),
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20),
)
def test_a_negative_never_raises_a_score(positive, negative):
    size = min(len(positive), len(negative))
    p, n = np.array(positive[:size], np.float32), np.array(negative[:size], np.float32)
    found = contrasted(p, n)
    assert (found <= p + 1e-6).all()
    assert (found >= np.minimum(p, 0) - 1e-6).all()


# --- files --------------------------------------------------------------------------------------------------------


def test_a_query_survives_its_file(features, tmp_path):
    query = make_query(features, [world("left"), world("top")], [world("right")], name="two")
    path = query.save(tmp_path / "two.query")
    again = load_query(path)
    assert (again.name, again.model, again.strides) == ("two", "made", (4, 8))
    np.testing.assert_array_equal(search(features, again).data, search(features, query).data)
    with pytest.raises(InputError, match=r"another model - two - found made vs expected made \(made\)"):
        search(made_features(fingerprint="other"), again)
    with pytest.raises(InputError, match=r"ends in \.query"):
        query.save(tmp_path / "two.txt")
    assert list(tmp_path.iterdir()) == [path]


def test_merged_and_renamed(features, tmp_path):
    left, top = (make_query(features, world(name), name=name) for name in ("left", "top"))
    both = merge_queries([left, top])
    assert both.name == "left + top"
    heat = search(features, both)
    np.testing.assert_allclose(
        heat.data, np.maximum(search(features, left).data, search(features, top).data), atol=1e-6
    )
    assert renamed(both, " organ ").name == "organ"
    with pytest.raises(InputError, match="needs a name"):
        renamed(both, " ")
    with pytest.raises(InputError, match="different models"):
        merge_queries([left, make_query(made_features(fingerprint="other"), world("left"))])


def hostile_files(tmp_path, features):
    """Files that are no query, by what they pretend."""
    good = make_query(features, world("left"), name="x").save(tmp_path / "good.query").read_bytes()
    length = struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8 : 8 + length])
    lying = json.loads(json.dumps(header))
    lying["positive.4"]["data_offsets"] = [0, 10**9]

    def packed(content):
        text = json.dumps(content).encode()
        return struct.pack("<Q", len(text)) + text + good[8 + length :]

    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("query", b"\0" * 10_000_000)
    deep = "[" * 100_000 + "]" * 100_000
    return {
        "empty": b"",
        "text": b"hello, this is no query",
        "pickle": pickle.dumps({"positive": 1}),
        "zip": bomb.read_bytes(),
        "cut": good[:-5],
        "header longer than the file": struct.pack("<Q", 2**60) + good[8:],
        "offsets beyond the file": packed(lying),
        "another kind": packed(header | {"__metadata__": {"format": "session 1", "session": "{}"}}),
        "no description": packed({k: v for k, v in header.items() if k != "__metadata__"}),
        "nested deeply": packed(header | {"__metadata__": {"format": "query 1", "query": deep}}),
        "not an object": packed(header | {"__metadata__": {"format": "query 1", "query": "[]"}}),
        "empty object": packed(header | {"__metadata__": {"format": "query 1", "query": "{}"}}),
        "newer": packed(header | {"__metadata__": {"format": "query 99", "query": "{}"}}),
    }


def test_hostile_queries_are_refused_in_one_line(features, tmp_path):
    for name, content in hostile_files(tmp_path, features).items():
        path = tmp_path / "hostile.query"
        path.write_bytes(content)
        with pytest.raises(InputError) as error:
            load_query(path)
        assert "\n" not in str(error.value), name
    with pytest.raises(MissingFileError):
        load_query(tmp_path / "none.query")


def test_prototypes_that_are_no_unit_vectors_are_refused(features, tmp_path):
    path = make_query(features, world("left"), name="x").save(tmp_path / "x.query")
    arrays, about = read_tensors(path, "query", 1)
    for change in (lambda a: a * 7, lambda a: a[:, :3], lambda a: a * np.nan, lambda a: a.astype(np.float64)):
        write_tensors(path, "query", 1, arrays | {"positive.4": change(arrays["positive.4"])}, about)
        with pytest.raises(InputError, match="damaged query"):
            load_query(path)


def test_tissues_are_where_the_test_thinks(features):
    index = tuple(TISSUES["left"])
    assert tissue_map()[index] == 1
    assert GRID.contains(world("left"))
