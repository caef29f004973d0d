"""Queries that are kept, renamed and removed in the window."""

from qtpy.QtWidgets import QInputDialog


def test_queries_are_kept_renamed_and_removed(explored, hand, liver, told, monkeypatch):
    session, panel = explored.session, explored.similar_panel
    answers = []
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: (answers.pop(0), True))
    monkeypatch.setattr(QInputDialog, "getItem", lambda parent, title, label, names, *_: (names[0], True))
    entries = {action.text(): action for action in panel.queries.menu().actions()}
    hand.click(liver)
    answers += ["liver", "spleen"]
    entries["New query from the prompts…"].trigger()
    entries["New query from the prompts…"].trigger()
    entries["Use a query…"].trigger()
    assert "with liver" in panel.hint.text()
    answers += ["right lobe", "spleen"]
    entries["Rename a query…"].trigger()
    assert set(session.queries) == {"right lobe", "spleen"}
    assert "with right lobe" in panel.hint.text()
    session.queries = dict(sorted(session.queries.items()))
    entries["Rename a query…"].trigger()
    assert any("name is taken" in line for line in told)
    entries["Remove a query…"].trigger()
    assert set(session.queries) == {"spleen"}
    assert "with" not in panel.hint.text()
    entries["Remove a query…"].trigger()
    entries["Remove a query…"].trigger()
    assert "No saved query yet" in told[-1]
