"""Arguments of another type in public functions: one line that names the argument, before any work."""

from pathlib import Path

import numpy as np
import pytest

import coralbay_core as core
from coralbay_core import probe, projection, similarity
from coralbay_core.errors import InputError
from coralbay_core.matching.landmarks import read_landmarks, write_landmarks
from coralbay_core.util.arguments import as_path, checked
from tests.support.made_features import GRID, made_features, strokes
from tests.support.refusals import refusal

NO_PATHS = (None, 7, "", "a\0b", [])
NO_OBJECTS = (None, 7, "x", np.zeros((3, 3, 3)))
FEATURES, STROKES = made_features(), strokes((1, 2, 3))
CENTER = GRID.center_mm

# What each function is given in turn, and the call with it in place.
CALLS = {
    "load_volume": (NO_PATHS, core.load_volume),
    "load_volume, series": ((7, [], b"1.2"), lambda x: core.load_volume("ct.nii.gz", series=x)),
    "load_labels": (NO_PATHS, core.load_labels),
    "load_labels, like": ((7, "ct.nii.gz", FEATURES), lambda x: core.load_labels("a.nii.gz", x)),
    "list_series": (NO_PATHS, core.list_series),
    "save_map, path": (NO_PATHS, lambda x: core.save_map(x, STROKES.data, STROKES)),
    "save_map, volume": (NO_OBJECTS, lambda x: core.save_map("never.nii.gz", STROKES.data, x)),
    "load_encoder": ((7, None, b"x", object(), ""), core.load_encoder),
    "load_encoder, device": ((7, None, "abacus", "cpu:x"), lambda x: core.load_encoder("hu-patch", device=x)),
    "features_for": (NO_OBJECTS, lambda x: core.features_for(x, core.load_encoder("hu-patch"), store=False)),
    "make_phantom": ((None, "x", -1, 0.5, []), core.make_phantom),
    "make_phantom, spacing": ((None, "x", [], 0, (1, 2)), lambda x: core.make_phantom(0, x)),
    "Library": (NO_PATHS, core.Library),
    "Library, remove": ((None, 7, b"x", []), lambda x: core.Library("never").remove(x)),
    "Volume": (("x", None, [[[1]]], 7), lambda x: core.Volume(x, GRID)),
    "Volume, grid": ((None, 7, np.eye(4)), lambda x: core.Volume(np.zeros(GRID.shape), x)),
    "LabelVolume": (("x", None, [[[1]]], 7), lambda x: core.LabelVolume(x, GRID)),
    "Grid": ((None, "x", 7, (1, 2), (1, 2, "x"), (-1, 2, 3)), lambda x: core.Grid(x, np.eye(4))),
    "Grid, affine": ((None, "x", 7, np.eye(3), [["x"] * 4] * 4), lambda x: core.Grid((1, 2, 3), x)),
    "load_probe": (NO_PATHS, probe.load_probe),
    "fit_probe": (NO_OBJECTS, lambda x: probe.fit_probe(x, STROKES)),
    "fit_probe, labels": (NO_OBJECTS, lambda x: probe.fit_probe(FEATURES, x)),
    "label_statistics": (NO_OBJECTS, probe.label_statistics),
    "label_statistics, CT": (NO_OBJECTS[1:], lambda x: probe.label_statistics(STROKES, x)),
    "save_statistics": (NO_PATHS, lambda x: probe.save_statistics(x, [])),
    "save_statistics, rows": ((None, 7, "x", [1], ["x"]), lambda x: probe.save_statistics("never.csv", x)),
    "load_basis": (NO_PATHS, projection.load_basis),
    "fit_basis": ((None, 7, "x", [7]), projection.fit_basis),
    "pca_rgb": (NO_OBJECTS, projection.pca_rgb),
    "cells_inside": (NO_OBJECTS, projection.cells_inside),
    "load_query": (NO_PATHS, similarity.load_query),
    "make_query": (NO_OBJECTS, lambda x: similarity.make_query(x, CENTER)),
    "make_query, places": (
        (None, "here", 7, (1, 2), [("a", "b", "c")]),
        lambda x: similarity.make_query(FEATURES, x),
    ),
    "merge_queries": ((None, 7, "x", [7]), similarity.merge_queries),
    "heat_map": (NO_OBJECTS, lambda x: similarity.heat_map(x, CENTER)),
    "top_regions": (NO_OBJECTS, similarity.top_regions),
    "read_landmarks": (NO_PATHS, read_landmarks),
    "write_landmarks": (NO_PATHS, lambda x: write_landmarks(x, [])),
    "write_landmarks, rows": ((None, 7, [7], "x"), lambda x: write_landmarks("never.csv", x)),
}


@pytest.mark.parametrize(("values", "call"), CALLS.values(), ids=CALLS)
def test_arguments_of_another_type_are_one_line(values, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in values:
        error = refusal(call, value)
        assert error is not None, f"{value!r} was taken"
        assert isinstance(error, ValueError | OSError)  # the builtin kinds that scripts catch
        assert "\n" not in str(error)
    assert list(tmp_path.iterdir()) == []


@checked
def measured(path: str | Path, count: int = 3, *names: str, share: float = 0.5, more: "list[int] | None" = None):
    return path, count, names, share, more


@pytest.mark.parametrize("value", [1.5, b"x", {}, object(), np.zeros(3)], ids=lambda x: type(x).__name__)
def test_what_is_no_path(value):
    for call in (as_path, measured):
        assert "not a path" in str(refusal(call, value))


def test_what_fits_is_passed_on():
    assert measured("a") == ("a", 3, (), 0.5, None)
    assert measured(Path("a"), np.int64(2), "x", "y", share=np.float32(0.25), more=[1]) == (
        Path("a"), 2, ("x", "y"), 0.25, [1],
    )  # fmt: skip
    assert as_path("a/b") == Path("a/b")


@pytest.mark.parametrize(
    ("args", "kwargs", "where"),
    [
        ((7,), {}, "path"),
        (("a", "2"), {}, "count"),
        (("a", True), {}, "count"),
        (("a", 2.5), {}, "count"),
        (("a", 2, "x", 3), {}, "names"),
        (("a",), {"share": "x"}, "share"),
        (("a",), {"share": True}, "share"),
        (("a",), {"more": 3}, "more"),
        (("a",), {"more": ["x"]}, "more"),
    ],
)
def test_the_argument_is_named(args, kwargs, where):
    with pytest.raises(InputError, match=f"{where} of measured - found .* vs expected "):
        measured(*args, **kwargs)


def test_a_call_with_other_parameters_is_a_mistake_of_the_caller():
    with pytest.raises(TypeError, match="unexpected keyword"):
        measured("a", shade="red")
