"""What only one Qt binding has is not used: users bring PySide6 or PyQt6."""

import ast

from tests.support import ROOT


def test_single_shots_have_no_owner():
    """`QTimer.singleShot` takes an owner in PySide6 alone; `napari_ui.delayed_call` does for all."""
    for path in (ROOT / "coralbay_viz").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "singleShot":
                assert len(node.args) == 2, f"{path.relative_to(ROOT)}:{node.lineno}"
