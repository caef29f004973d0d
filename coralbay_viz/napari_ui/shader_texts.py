"""Memory of what vispy works out from the texts of shaders.

Each visual makes some hundred functions from the same few texts, and vispy cleans and searches each text anew: that
took a quarter of the time in which the three planes open. The results depend on the text alone.
"""

from functools import lru_cache, wraps
from typing import Any

from vispy.gloo import Program, glir
from vispy.visuals.shaders.function import Function

# More texts than a window with many layers has.
_TEXTS = 2000
_DONE = "remembers_texts"


def remember() -> None:
    """Let vispy work out each text of a shader once per process; a vispy without these methods stays as it is."""
    if getattr(Function, _DONE, False):
        return
    setattr(Function, _DONE, True)
    clean = getattr(Function, "_clean_code", None)
    if clean is not None:
        Function._clean_code = _remembering_method(clean)
    for name in ("_convert_desktop_shader", "_convert_es2_shader"):
        convert = getattr(glir, name, None)
        if convert is not None:
            setattr(glir, name, lru_cache(_TEXTS)(convert))
    if hasattr(Program, "_parse_variables_from_code") and hasattr(Program, "_process_pending_variables"):
        Program._parse_variables_from_code = _remembering_parser(Program._parse_variables_from_code)


def _remembering_method(method: Any) -> Any:
    known = lru_cache(_TEXTS)(lambda text: method(None, text))
    return wraps(method)(lambda self, text: known(text))


def _remembering_parser(parse: Any) -> Any:
    known: dict[tuple[str, ...], dict[str, tuple]] = {}

    @wraps(parse)
    def remembering(program: Any, update_variables: bool = True) -> None:
        texts = tuple(shader.code for shader in program._shaders)
        if texts not in known:
            parse(program, update_variables=False)
            if len(known) >= _TEXTS:
                known.clear()
            known[texts] = dict(program._code_variables)
        program._code_variables = dict(known[texts])
        if update_variables:
            program._process_pending_variables()

    return remembering
