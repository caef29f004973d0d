"""The check for widgets that a test leaves behind, in a run of its own and without other plugins' help."""

import subprocess
import sys

from tests.support import ROOT

LEAK = """
import pytest

pytestmark = pytest.mark.gui
left = []


def test_leaves_a_widget(qapp):
    from qtpy.QtWidgets import QLabel

    left.append(QLabel("forgotten"))


def test_closes_its_widget(qtbot):
    from qtpy.QtWidgets import QLabel

    qtbot.addWidget(QLabel("closed"))


def test_fails_and_leaves_a_widget(qapp):
    from qtpy.QtWidgets import QLabel

    left.append(QLabel("held by a traceback"))
    assert False
"""


def test_a_widget_that_is_left_behind_fails_its_test(tmp_path):
    (tmp_path / "test_leak.py").write_text(LEAK)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\nmarkers = gui\n")
    plugins = ["-p", "no:napari", "-p", "no:cacheprovider", "-p", "tests.support.widget_leaks"]
    command = [sys.executable, "-m", "pytest", "-rA", "--tb=short", *plugins, str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    outcomes = {line for line in run.stdout.splitlines() if line.startswith(("PASSED", "FAILED", "ERROR"))}
    errors = [line for line in outcomes if line.startswith("ERROR")]
    assert len(errors) == 1, run.stdout
    assert "test_leaves_a_widget" in errors[0]
    assert "AssertionError: widgets are left behind" in run.stdout
    assert any(line.startswith("PASSED") and "test_closes_its_widget" in line for line in outcomes)
    assert any(line.startswith("FAILED") and "test_fails_and_leaves" in line for line in outcomes)
