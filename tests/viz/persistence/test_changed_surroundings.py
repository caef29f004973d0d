"""Sessions whose scans were moved or changed, or whose model is another one or missing."""

import pytest

from coralbay_core.errors import InputError, MissingFileError
from coralbay_core.io import save_map
from coralbay_core.util.tensor_file import read_tensors, write_tensors
from coralbay_viz import Session
from coralbay_viz.persistence.save_load import MissingModelError
from tests.support.sessions import MODEL

pytestmark = pytest.mark.forward


def test_moved_and_changed_scans(files, belly, tmp_path):
    session = Session(model=MODEL)
    session.open(files[0])
    session.compute()
    (tmp_path / "saved").mkdir()  # scans beside the session are found
    path = session.save(tmp_path / "saved" / "work.coralbay").result
    away = tmp_path / "away" / "a.nii.gz"
    away.parent.mkdir()
    files[0].rename(away)
    again = Session()
    with pytest.raises(
        MissingFileError, match=r"a scan of the session was not found - scan 1 - .*load\(path, scans=\[FOLDER\]\)"
    ):
        again.load(path)
    assert again.scans == []
    again.load(path, scans=[tmp_path / "away"])
    assert again.volume.path == away
    save_map(files[0], belly.data + 1, belly)
    away.unlink()
    with pytest.raises(InputError, match="has changed"):
        Session().load(path, scans=[files[0]])
    assert len(again.scans) == 1  # what was open stays open


def test_unknown_and_other_models(files, tmp_path):
    session = Session(model=MODEL)
    session.open(files[0])
    session.compute()
    path = session.save(tmp_path / "work.coralbay").result
    with pytest.raises(InputError, match="other weights"):
        Session().load(path, model="hu-patch")
    arrays, about = read_tensors(path, "session", 1)
    about["session"]["model"] = {"name": "mine.safetensors", "is_file": True}
    write_tensors(path, "session", 1, arrays, about)
    with pytest.raises(InputError, match=r"model was not found .* load\(path, model=PATH\)"):
        Session().load(path)


@pytest.mark.parametrize("model", ["coralbay-mini:compact", "coralbay-mini:whole"])
def test_a_variant_of_a_model_comes_back(files, tmp_path, model):
    session = Session(model=model)
    session.open(files[0])
    path = session.save(tmp_path / "work.coralbay").result
    again = Session(model=MODEL)
    again.load(path)
    assert again.model == model


def test_weights_of_ones_own_are_found_or_asked_for(files, tmp_path, monkeypatch):
    weights = tmp_path / "mine.safetensors"
    weights.touch()
    session = Session(model=f"{weights}:whole")
    session.open(files[0])
    path = session.save(tmp_path / "work.coralbay").result
    again = Session(model=MODEL)
    again.load(path)
    assert again.model == session.model
    monkeypatch.setenv("CORALBAY_STATE", str(tmp_path / "another machine"))
    elsewhere = Session(model=MODEL)
    with pytest.raises(MissingModelError, match=r"mine.safetensors .* load\(path, model=PATH\)"):
        elsewhere.load(path)
    elsewhere.load(path, model=weights)
    assert elsewhere.model == session.model
