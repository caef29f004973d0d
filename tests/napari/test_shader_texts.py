"""What is remembered of vispy's shaders is what vispy works out."""

import pytest

pytest.importorskip("napari")

from vispy.gloo import Program
from vispy.visuals.shaders import Function

from coralbay_viz.napari_ui import shader_texts

VERTEX = """
    uniform float u_size;  // in mm
    attribute vec3 a_place;
    varying vec3 v_place;
    void main() { v_place = a_place; gl_Position = vec4(a_place * u_size, 1.0); }
"""
FRAGMENT = "uniform vec4 u_colors[2];\nvarying vec3 v_place;\nvoid main() { gl_FragColor = u_colors[1] * v_place.x; }"


@pytest.fixture(autouse=True)
def remembering():
    shader_texts.remember()
    shader_texts.remember()  # once is enough
    assert not hasattr(Function._clean_code.__wrapped__, "__wrapped__")


@pytest.mark.parametrize("text", ["float f() { return 1.; }", "\n\n    float f()\n    {\n        return 1.;\n    }\n"])
def test_functions_are_clean(text):
    expected = Function._clean_code.__wrapped__(None, text)
    assert [Function(text).code for _ in range(2)] == [expected, expected]
    assert not expected.strip("\n").startswith(" ")


def test_each_program_has_variables_of_its_own():
    first, second = Program(VERTEX, FRAGMENT), Program(VERTEX, FRAGMENT)
    remembered = dict(second._code_variables)
    assert {"u_size", "a_place", "v_place", "u_colors[1]"} <= set(remembered)
    Program._parse_variables_from_code.__wrapped__(second, update_variables=False)
    assert second._code_variables == remembered
    first._code_variables.clear()
    assert Program(VERTEX, FRAGMENT)._code_variables == remembered


def test_values_set_before_the_text_are_applied():
    program = Program()
    program["u_size"] = 2.0
    program.set_shaders(VERTEX, FRAGMENT)
    assert not program._pending_variables
    assert float(program["u_size"][0]) == 2.0
