"""`show`: a scan or a session in a notebook cell."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.models.names import DEFAULT_MODEL
from coralbay_core.util.extras import require_extra

from .persistence.session_file import SUFFIX
from .session import Session

if TYPE_CHECKING:
    from .jobs import Job
    from .jupyter_ui.app import App


def show(
    *what: Any,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    series: str | None = None,
    autosave: bool = False,
) -> "App":
    """Open scans in a notebook cell: three linked views, similarity, strokes, colors, files.

    Parameters
    ----------
    what
        NIfTI files, DICOM folders, volumes and images of other libraries (as for `load_volume`), one ``.coralbay``
        session file, or one `Session`. A `Session` keeps its runner: by default it works in the calling thread, so a
        click blocks the kernel.
    model, device
        As for `Session`.
    series : str, optional
        Of a DICOM folder with several.
    autosave : bool
        As for `Session`.

    Returns
    -------
    App
        The last line of a cell shows it. ``app.session`` is the session behind it, ``app.wait()`` waits for its jobs.
        A session file has been restored.

    Raises
    ------
    InputError
        For anything else, and for a session together with other objects.
    MissingExtraError
        If anywidget or ipywidgets are not installed.
    """
    require_extra("jupyter", "anywidget", "ipywidgets", need="notebooks need")
    from .jupyter_ui.app import App

    given = [item for item in what if isinstance(item, Session)]
    if given and len(what) > 1:
        raise InputError(
            "a session must be shown alone", found=f"{len(what)} objects", expected="one session, or scans"
        )
    if given:
        return App(given[0])
    app = App(model=str(model), device=device, autosave=autosave)
    try:
        for item in what:
            app.wait(_open(app.session, item, series))
        if app.status.restoring:
            with suppress(CoralBayError):  # the status line below the views shows the error
                app.wait()
    except BaseException:
        app.close()
        raise
    return app


def _open(session: Session, item: Any, series: str | None) -> "Job | None":
    if not isinstance(item, str | Path):
        session.add(item)
        return None
    if Path(item).suffix == SUFFIX:
        return session.load(item)
    return session.open(item, series)
