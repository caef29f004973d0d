"""Check that a window can be opened. Qt itself would abort the process, so this runs first."""

import ctypes
import os
import re
import socket
import sys
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from coralbay_core.errors import CoralBayError
from coralbay_core.util.extras import require_extra

_BINDINGS = ("PySide6", "PyQt6", "PyQt5", "PySide2")
_OLDEST_NAPARI = (0, 9, 2)
_LIBRARIES = (
    "apt-get install libgl1 libegl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 "
    "libxcb-icccm4 libxcb-keysyms1 libxcb-shape0, or the equivalent packages of your system"
)


def require_window(environment: Mapping[str, str] = os.environ) -> None:
    """Raise an error with a hint if napari cannot open a window."""
    require_extra("napari", "napari", "qtpy", "magicgui", need="the window needs")
    require_napari()
    if not any(find_spec(binding) for binding in _BINDINGS):
        require_extra("qt", _BINDINGS[0], need="the window needs a Qt binding, e.g.")
    if not sys.platform.startswith("linux") or environment.get("WAYLAND_DISPLAY"):
        return
    display = environment.get("DISPLAY", "")
    if not display:
        raise CoralBayError(
            "no display",
            expected="DISPLAY or WAYLAND_DISPLAY to be set",
            hint="without a screen, run it under `xvfb-run -a`",
        )
    if display.startswith((":", "unix:")) and not _answers(display):
        raise CoralBayError("cannot connect to the display", where=display, hint="is the X server (or Xvfb) running?")
    _require_libraries()


def require_napari(found: str | None = None) -> None:
    """Raise if napari is too old; `found` is its version, by default of the one that is installed."""
    found = found or version("napari")
    if tuple(map(int, re.findall(r"\d+", found)[:3])) < _OLDEST_NAPARI:
        raise CoralBayError(
            "napari shows left and right swapped in 3-D",
            found=f"napari {found}",
            expected=f"{'.'.join(map(str, _OLDEST_NAPARI))} or newer",
            hint='pip install --upgrade "coralbay[napari]"',
        )


def _answers(display: str) -> bool:
    """Whether an X server listens at a local display such as ``:0`` or ``:99.0``."""
    path = f"/tmp/.X11-unix/X{display.rpartition(':')[2].split('.')[0]}"
    for address in (path, "\0" + path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            if link.connect_ex(address) == 0:
                return True
    return False


def _require_libraries() -> None:
    """Load Qt's X11 plugin as Qt would: the loader names a missing library, Qt does not."""
    spec = find_spec("PySide6")
    if spec is None or not spec.submodule_search_locations:
        return  # another Qt binding, from somewhere else
    plugin = Path(spec.submodule_search_locations[0]) / "Qt" / "plugins" / "platforms" / "libqxcb.so"
    if not plugin.exists():
        return
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        raise CoralBayError("a system library that Qt needs is missing", found=error, hint=_LIBRARIES) from error
