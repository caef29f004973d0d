"""Bad arguments of session calls: one error of ours, and the session is as it was."""

import numpy as np
import pytest

from coralbay_core.errors import InputError
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from tests.support.refusals import refusal
from tests.support.scans import cut

pytestmark = pytest.mark.forward

NAN = float("nan")


@pytest.fixture(scope="module")
def worked(phantom):
    session = Session(model="hu-patch")
    session.add(cut(phantom.volume, phantom.landmarks["L3"], half_mm=40))
    session.compute()
    session.click(tuple(session.volume.grid.center_mm))
    session.keep_query("kept")
    strokes = np.zeros(session.scan.label_grid.shape, np.uint8)
    strokes[4:8, 4:8, 4:8], strokes[14:18, 14:18, 14:18] = 1, 2
    session.segment(LabelVolume(strokes, session.scan.label_grid))
    session.compute_pca()
    session.compute_scatter()
    return session


NO_PATHS = (None, 7, "", [])
NO_OBJECTS = (7, "x", np.zeros((3, 3, 3)))
NO_PLACES = ((NAN, 0, 0), "here", (1, 2))


def _set_colors(session, colors):
    session.class_colors = colors


# What each call is given in turn, and the call with it in place.
CALLS = {
    "click": (NO_PLACES, lambda s, x: s.click(x)),
    "hover": (NO_PLACES, lambda s, x: s.hover(x)),
    "cursor_mm": (NO_PLACES, lambda s, x: setattr(s, "cursor_mm", x)),
    "mirror": ((None, 7, *NO_PLACES, ["x"] * 3), lambda s, x: s.mirror(x)),
    "plot": (NO_PLACES[:1], lambda s, x: s.plot(x)),
    "windows.compare": (NO_PLACES[:1], lambda s, x: s.windows.compare(x)),
    "mark": ((99, "best", 0.5), lambda s, x: s.mark(x)),
    "show_scores": ((99,), lambda s, x: s.show_scores(x)),
    "components": (("abc",), lambda s, x: setattr(s, "components", x)),
    "compute_pca": (((0, 1),), lambda s, x: s.compute_pca(x)),
    "umap_components": (((0, -1, 2),), lambda s, x: setattr(s, "umap_components", x)),
    "compute_scatter": (("map",), lambda s, x: s.compute_scatter(x)),
    "activate": (("scan",), lambda s, x: s.activate(x)),
    "add": ((np.zeros((3, 3, 3)),), lambda s, x: s.add(x)),
    "open": (NO_PATHS, lambda s, x: s.open(x)),
    "open, series": ((7, [1]), lambda s, x: s.open("never.nii.gz", x)),
    "remove": ((None, *NO_OBJECTS), lambda s, x: s.remove(x)),
    "asked_device": ((None, 7, b"cpu", "", "cuda:x", "abacus"), lambda s, x: setattr(s, "asked_device", x)),
    "model": ((None, 7, b"x", []), lambda s, x: setattr(s, "model", x)),
    "compute": (("here", 7, [1, "x", 2]), lambda s, x: s.compute(x)),
    "save_heat": (NO_PATHS, lambda s, x: s.save_heat(x)),
    "link_heat": ((None, *NO_OBJECTS), lambda s, x: s.link_heat(x)),
    "open_query": (NO_PATHS, lambda s, x: s.open_query(x)),
    "save_query": (NO_PATHS, lambda s, x: s.save_query("kept", x)),
    "keep_query": ((None, 7, [], "", "a\0b"), lambda s, x: s.keep_query(x)),
    "use_queries": ((None, 7, []), lambda s, x: s.use_queries(x)),
    "merge_queries": (("kept", 7, [7]), lambda s, x: s.merge_queries(x, "merged")),
    "paint": ((None, *NO_OBJECTS), lambda s, x: s.paint(x)),
    "segment": ((None, *NO_OBJECTS), lambda s, x: s.segment(x)),
    "fit": ((7, [], "forest"), lambda s, x: s.fit(x)),
    "apply_probe": ((7, "x", [7]), lambda s, x: s.apply_probe(x)),
    "protect_labels": (NO_OBJECTS, lambda s, x: s.protect_labels(x)),
    "compute_statistics": (NO_OBJECTS, lambda s, x: s.compute_statistics(x)),
    "save_statistics": (NO_PATHS, lambda s, x: s.save_statistics(x)),
    "save_segmentation": (NO_PATHS, lambda s, x: s.save_segmentation(x)),
    "save_probability": ((99, "1", None, 1.5), lambda s, x: s.save_probability("never.nii.gz", x)),
    "class_colors": ((7, ["#56b4e9"], {2: "blue"}, {0: "#56b4e9"}, {"2": "#56b4e9"}), _set_colors),
    "import_classes": (NO_PATHS, lambda s, x: s.import_classes(x)),
    "export_classes": (NO_PATHS[:2], lambda s, x: s.export_classes(x)),
    "click_region": ((99, -1, "best", None), lambda s, x: s.click_region(x)),
    "suggestions.answer": ((2,), lambda s, x: s.suggestions.answer(x)),
    "suggest": ((None, "2", 1.5, 0, -1), lambda s, x: s.suggest(x)),
    "save_probe": (NO_PATHS, lambda s, x: s.save_probe(x)),
    "load_probe": (NO_PATHS, lambda s, x: s.load_probe(x)),
    "select": (NO_OBJECTS, lambda s, x: s.select(x)),
    "compute_clusters": ((None, "8", 2.5, 0, -1, 10**6, []), lambda s, x: s.compute_clusters(x)),
    "compute_clusters, how": ((None, 7, "trees"), lambda s, x: s.compute_clusters(8, x)),
    "lasso": ((None, 7, "x", [1, 2], [["a", "b"]] * 3), lambda s, x: s.lasso(x)),
    "save_pca": (NO_PATHS, lambda s, x: s.save_pca(x)),
    "save_basis": (NO_PATHS, lambda s, x: s.save_basis(x)),
    "load_basis": (NO_PATHS, lambda s, x: s.load_basis(x)),
    "export_dicom": (NO_PATHS, lambda s, x: s.export_dicom(x)),
    "export_dicom, folder": ((7, b"x", []), lambda s, x: s.export_dicom("never.dcm", x)),
    "export_dicom, what": ((None, 7, "all"), lambda s, x: s.export_dicom("never.dcm", "folder", x)),
    "export_dicom, as": ((None, 7, "sr"), lambda s, x: s.export_dicom("never.dcm", "folder", as_=x)),
    "library.open": (NO_PATHS, lambda s, x: s.library.open(x)),
    "library.search": ((None, 7, []), lambda s, x: s.library.search(x)),
    "training.watch": (NO_PATHS, lambda s, x: s.training.watch(x)),
    "training.watch, step": (("x", 1.5), lambda s, x: s.training.watch("folder", x)),
    "propagate": ((None, 7, "x", [7]), lambda s, x: s.propagate(x, s.scan)),
    "scorecard": (("hu-patch", 7, [7]), lambda s, x: s.scorecard(x)),
    "scorecard, reference": ((7, [], np.zeros(3)), lambda s, x: s.scorecard(["hu-patch"], x)),
    "save": (NO_PATHS, lambda s, x: s.save(x)),
    "load": (NO_PATHS, lambda s, x: s.load(x)),
    "load, scans": ((7, "folder", [7]), lambda s, x: s.load("never.coralbay", scans=x)),
    "prior_mm": (("x", -1, [], NAN), lambda s, x: setattr(s, "prior_mm", x)),
    "weights": ((7, "best", {4: "x"}, [1, 2]), lambda s, x: setattr(s, "weights", x)),
    "scope": ((None, 7, "near"), lambda s, x: setattr(s, "scope", x)),
    "body_fraction": ((None, "x", 0, 2, []), lambda s, x: setattr(s, "body_fraction", x)),
    "connectivity": ((None, "x", 2), lambda s, x: setattr(s, "connectivity", x)),
    "kind": ((7, [], "forest"), lambda s, x: setattr(s, "kind", x)),
}


@pytest.mark.parametrize(("values", "call"), CALLS.values(), ids=CALLS)
def test_a_call_that_cannot_be_meant_changes_nothing(worked, values, call):
    def state():
        return (worked.scans[:], worked.scan, worked.cursor_mm, worked.clicks, worked.components,
                worked.umap_components, worked.scan.results, worked.scan.marked, worked.scan.strokes.now)  # fmt: skip

    before = state()
    for value in values:
        error = refusal(call, worked, value)
        assert error is not None, f"{value!r} was taken"
        assert "\n" not in str(error)
        assert all(one is two or one == two for one, two in zip(before, state(), strict=True)), repr(value)


@pytest.mark.parametrize("value", [2**31, 2**40, -5])
def test_label_values_of_a_reference_may_be_anything(worked, value):
    scan = worked.scan
    data = np.full(scan.volume.shape, value, np.int64)
    failed = []
    worked.failed.connect(failed.append)
    strokes = np.zeros(scan.label_grid.shape, np.uint8)
    strokes[4:8, 4:8, 4:8], strokes[14:18, 14:18, 14:18] = 1, 2
    worked.segment(LabelVolume(strokes, scan.label_grid))
    data[: len(data) // 2] = 3
    worked.scorecard(["hu-patch"], reference=LabelVolume(data, scan.volume.grid))
    assert not failed
    (row,) = worked.scorecard.card.rows
    assert row.problem == ""
    assert row.dice is not None


def test_a_place_beyond_all_numbers_is_refused_or_kept_inside(worked):
    worked.cursor_mm = (1e300, 0, 0)
    assert worked.volume.grid.contains(worked.cursor_mm)
    with pytest.raises(InputError):
        worked.cursor_mm = (np.inf, 0, 0)
