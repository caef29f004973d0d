"""Files and sessions of the app, without a browser."""

import pytest

from tests.support.notebook_app import middle, settle

pytest.importorskip("anywidget")

from coralbay_core.errors import InputError
from coralbay_core.io import save_map
from coralbay_viz import Session, show

pytestmark = pytest.mark.forward


def test_files_go_where_the_user_meant(ready, tmp_path):
    line, panel = ready.status.panel.text, ready.files.panel
    ready.session.click(middle(ready))
    settle(ready)
    panel.path.value = str(tmp_path / "reslts" / "heat.nii.gz")
    panel.save.click()
    settle(ready)
    assert "no such folder" in line.value
    assert "reslts" in line.value
    assert not (tmp_path / "reslts").exists()
    panel.path.value = str(tmp_path / "heat.nii.gz")
    panel.save.click()
    settle(ready)
    assert "replaced" not in line.value
    panel.save.click()
    settle(ready)
    assert "replaced" in line.value


@pytest.mark.slow
def test_a_saved_session_opens_again(ready, tmp_path, phantom, succeed):
    succeed("phantom", "-o", tmp_path)
    app = show(tmp_path / "ct.nii.gz", model="hu-patch")
    app.session.compute()
    settle(app)
    app.session.click(phantom.landmarks["liver_right_lobe"])
    app.session.compute_pca()
    settle(app)
    app.files.panel.kind.value = "statistics"
    assert app.files.panel.path.value == "statistics.csv"
    app.files.panel.kind.value = "session"
    app.files.panel.path.value = str(tmp_path / "work.coralbay")
    app.files.panel.save.click()
    settle(app)
    app.close()
    again = show(tmp_path / "work.coralbay")  # all of it is there when it returns
    assert again.session.clicks == app.session.clicks
    assert again.session.heat is not None
    assert again.session.pca is not None
    assert "Session restored" in again.status.panel.text.value
    assert "heat" in again.views.shown()
    assert not {"pca", "segmentation"} & set(again.views.shown())  # one colored layer over another says nothing
    said = []
    again.status.panel.text.observe(lambda change: said.append(change["new"]), "value")
    again.files.panel.session.value = str(tmp_path / "work.coralbay")
    again.files.panel.load.click()
    settle(again)
    assert all("estor" in text or "Loading" in text for text in said), said
    assert "Session restored" in said[-1]
    assert "pca" not in again.views.shown()
    again.close()


def test_a_session_of_ones_own_is_shown_and_left_alone(belly):
    session = Session(model="hu-patch")
    session.add(belly)
    app = show(session)
    assert app.session is session
    session.compute()
    session.click(middle(app))
    settle(app)
    assert "1 positive" in app.similar.panel.clicks.value
    app.close()
    session.click(middle(app))  # still at work
    with pytest.raises(InputError, match="shown alone"):
        show(session, "scan.nii.gz")


def test_names_of_scans_are_a_choice(ready, tmp_path, belly):
    folder = tmp_path / "DOE_JANE"
    ready.session.open(save_map(folder / "DOE.nii.gz", belly.data, belly))
    settle(ready)
    ready.session.remove(ready.session.scans[0])  # it has no file
    panel = ready.files.panel
    assert panel.names.layout.display == "none"
    panel.kind.value = "session"
    assert panel.names.layout.display == ""
    found = []
    for names in (False, True):
        panel.names.value, panel.path.value = names, str(tmp_path / f"{names}.coralbay")
        panel.save.click()
        settle(ready)
        found.append(b"DOE" in (tmp_path / f"{names}.coralbay").read_bytes())
    assert found == [False, True]
