"""Check that a window can be opened. Qt itself would abort the process, so this runs first."""

import ctypes
import os
import socket
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from coralbay_core.errors import CoralBayError, MissingExtraError

_LIBRARIES = (
    "apt-get install libgl1 libegl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 "
    "libxcb-icccm4 libxcb-keysyms1 libxcb-shape0, or the equivalent packages of your system"
)


def require_window(environment: Mapping[str, str] = os.environ) -> None:
    """Raise an error with a hint if napari cannot open a window."""
    for module in ("napari", "qtpy"):
        if find_spec(module) is None:
            raise MissingExtraError(f"{module} is not installed", hint="pip install 'coralbay[napari]'")
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
