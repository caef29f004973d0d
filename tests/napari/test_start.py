"""The start of a window: packages that only work needs come later."""

import subprocess
import sys

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.gui

_CODE = """
import sys
from coralbay_viz.napari_ui.launch import open_window, threaded_session
_, widget = open_window(threaded_session())
print([name for name in ("torch", "sklearn", "matplotlib", "pandas") if name in sys.modules])
widget.session.close()
"""


def test_a_window_opens_without_the_packages_of_work():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _CODE], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert run.stdout.splitlines()[-1:] == ["[]"], run.stderr
