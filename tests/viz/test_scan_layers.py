"""State of a scan as layers: every role, and which colored layers give way."""

from dataclasses import replace

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError
from coralbay_core.io import save_map
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from coralbay_viz.display import visibility
from coralbay_viz.display.layer_specs import ROLES
from coralbay_viz.display.scan_layers import OVERLAYS, changes, layer_of
from coralbay_viz.display.view_state import ViewState
from coralbay_viz.model.results import WarpedResult
from coralbay_viz.model.training import CheckpointView
from tests.support.scans import cut

pytestmark = pytest.mark.forward

NOTHING_YET = set(ROLES) - {"ct"}


@pytest.fixture(scope="module")
def session(phantom, tmp_path_factory):
    """Everything that one scan can hold."""
    belly, place = cut(phantom.volume, phantom.landmarks["liver_right_lobe"]), phantom.landmarks["liver_right_lobe"]
    session = Session(model="hu-context")
    session.open(save_map(tmp_path_factory.mktemp("scan") / "ct.nii.gz", belly.data, belly))
    assert {role for role in ROLES if layer_of(role, session.scan, ViewState(0.02)) is None} == NOTHING_YET
    session.compute()
    data = np.zeros(belly.shape, np.uint8)
    sparse = (slice(0, 20, 3),) * 3  # room for suggestions elsewhere
    data[sparse] = np.where(belly.data > 20, 2, 1)[sparse]
    session.segment(LabelVolume(data, belly.grid, names={2: "dense"}))
    session.suggest()
    session.show_scores(2)
    session.click(place)
    session.windows.compare(radius_mm=30)
    session.mirror(place)
    session.hover(place)
    session.compute_pca()
    session.compute_clusters(3)
    session.compute_scatter()
    points = session.scan.scatter.points
    low, high = points.min(0), points.mean(0)
    session.lasso([low, (high[0], low[1]), high, (low[0], high[1])])
    volume = session.scan.volume
    session.scan.update(warped=WarpedResult(volume.data, volume.data + 100, volume.grid, "other"))
    return session


@pytest.fixture
def view(session):
    scan = session.scan
    training = CheckpointView(
        2, scan.features, scan.pca, np.zeros((3, 1, 1, 1), np.float32), scan.heat, scan.heat.clicks
    )
    return ViewState(0.02, training=training, mark_mm=(1.0, 2.0, 3.0))


def test_every_role_has_a_layer(session, view):
    for role in ROLES:
        spec = layer_of(role, session.scan, view)
        assert spec is not None, role
        assert spec.role == role
    assert ("ct", *OVERLAYS) == ROLES


def test_every_change_of_the_session_names_roles(session):
    named = {role for _, roles in changes(session) for role in roles}
    assert named == set(OVERLAYS) - {"training_pca", "training_heat", "mark"}  # these are of the view


def test_the_view_chooses_among_maps(session, view):
    scan = session.scan
    names = {name.lower() for name in scan.windows.shown}
    assert layer_of("windows", scan, view).data is scan.windows.stability
    assert layer_of("windows", scan, replace(view, window_shown="no such window")).data is scan.windows.stability
    assert layer_of("windows", scan, replace(view, window_shown=None)) is None
    lung = layer_of("windows", scan, replace(view, window_shown="Lung"))
    assert "lung" in names
    assert lung.data is scan.windows.shown["Lung"]
    assert lung.name == "CT window lung"
    assert layer_of("scores", scan, view).name == "probability of dense"
    uncertainty = layer_of("scores", scan, replace(view, margin=True))
    assert uncertainty.data is scan.scores.uncertainty
    body = scan.scores.margin > 0
    np.testing.assert_allclose(uncertainty.data[body], 1 - scan.scores.margin[body], atol=1e-6)
    assert not uncertainty.data[scan.scores.probability == 0].any()
    strict, lax = (layer_of("heat", scan, replace(view, body_fraction=share)) for share in (0.001, 0.5))
    assert strict.contrast_limits[0] > lax.contrast_limits[0]


def test_found_places_say_where_they_come_from(session, view):
    spec = layer_of("found", session.scan, view)
    assert spec.style["text"]["string"] == ["here", "contralateral"]
    np.testing.assert_allclose(spec.data[0], session.scan.symmetry.position_mm)


def test_a_still_picture_shows_any_role(session):
    plain = session.plot(show=[])._repr_png_()
    assert session.plot(show=["symmetry"])._repr_png_() != plain
    assert session.plot(show=["scores"])._repr_png_() != plain


def test_one_colored_layer_at_a_time(session):
    for role in visibility.COLORED:
        assert role not in visibility.hidden_by(role)
    assert {"segmentation", "pca", "windows"} <= visibility.hidden_by("heat")
    assert {"heat", "pca"} <= visibility.hidden_by("segmentation")
    assert "training_heat" not in visibility.hidden_by("training_pca")
    assert not visibility.hidden_by("clicks")
    assert visibility.with_marks(["heat", "pca"]) == {"heat", "regions", "pca"}
    assert visibility.colored_results(session.scan) == ("heat", "segmentation", "windows", "pca")
    assert visibility.colored_results(None) == ()


def test_a_choice_shows_one_colored_layer_and_hides_all_others():
    for what in visibility.SHOWN:
        shown, hidden = visibility.roles_shown(what)
        assert not shown & hidden
        assert shown | hidden >= visibility.ALL_COLORED
        assert visibility.shown_by({*shown, "ct", "clicks", "strokes"}) == what
    assert visibility.shown_by({"heat", "pca"}) is None
    assert visibility.shown_by({"windows"}) is None


def test_what_can_be_shown_follows_the_results(session):
    overlays = session.overlays
    assert overlays.available() == ("nothing", "similarity", "colors", "segmentation", "uncertainty")
    assert overlays.request("uncertainty") is None
    bare = Session()
    assert "open a scan" in bare.overlays.reason_against("similarity")
    bare.add(session.volume)
    assert bare.overlays.available() == ("nothing",)
    with pytest.raises(CoralBayError, match="compute features first"):
        bare.overlays.request("colors")
