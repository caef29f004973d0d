"""Commands with keyboard shortcuts, listed in napari's preferences.

Only this module uses a private interface of napari: plugins cannot contribute key bindings through their manifest
(napari 0.9 ignores `keybindings`), and the preferences list the actions of the action manager. If that is missing or
differs, the buttons still work.
"""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from coralbay_core.errors import CoralBayError

if TYPE_CHECKING:
    from ..session import Session
    from .binding import Binding
    from .context import Context
    from .panels.segment import SegmentPanel
    from .panels.similar import SimilarPanel
    from .showing import Showing
    from .tools import MouseTools

_log = logging.getLogger(__name__)


class Commanded(Protocol):
    """The parts of the dock widget that the shortcuts use."""

    context: "Context"
    session: "Session"
    binding: "Binding"
    showing: "Showing"
    tools: "MouseTools"
    similar_panel: "SimilarPanel"
    segment_panel: "SegmentPanel"


# Which dock widget a key is meant for: that of the window which has the focus. Neither is kept alive by this.
_widgets: "WeakKeyDictionary[Any, Commanded]" = WeakKeyDictionary()


def _widget(viewer: Any) -> "Commanded | None":
    return next((widget for known, widget in _widgets.items() if known is _itself(viewer)), None)


def _itself(viewer: Any) -> Any:
    """Return the viewer behind the proxy that napari passes to plugins."""
    return getattr(viewer, "__wrapped__", viewer)


def _action(command: Callable[["Commanded"], Any]) -> Callable[[Any], None]:
    def act(viewer: Any) -> None:
        widget = _widget(viewer)
        if widget is None:
            return
        try:
            command(widget)
        except CoralBayError as error:
            widget.context.warn(error.brief)

    return act


def _held(mode: Any) -> Callable[[Any], Generator[None, None, None]]:
    def hold(viewer: Any) -> Generator[None, None, None]:
        widget = _widget(viewer)
        if widget is None:
            return
        with widget.tools.held(mode):
            yield

    return hold


def _toggle_sign(tools: "MouseTools") -> None:
    tools.negative = not tools.negative


def _accept(widget: "Commanded") -> None:
    """Accept what is proposed: a suggestion that is shown comes first."""
    if widget.session.suggestions.shown is not None:
        widget.session.suggestions.answer()
    else:
        widget.similar_panel.scope.add_to_segmentation()


ACTIONS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "coralbay:hold_to_pick": ("Hold: click for a prompt", _held("pick"), "Q"),
    "coralbay:hold_for_window": ("Hold: drag for window level and width", _held("window"), "W"),
    "coralbay:toggle_sign": (
        "Switch between positive and negative prompts", _action(lambda w: _toggle_sign(w.tools)), "T",
    ),
    "coralbay:undo_click": ("Undo the last prompt", _action(lambda w: w.session.undo(w.context.prompted)), "U"),
    "coralbay:redo_click": (
        "Redo the last undone prompt", _action(lambda w: w.session.redo(w.context.prompted)), "Shift-U",
    ),
    "coralbay:next_region": ("Go to the next similar region", _action(lambda w: w.similar_panel.next_region()), "G"),
    "coralbay:add_region": (
        "Accept the shown suggestion, else add the shown region to the segmentation",
        _action(lambda w: _accept(w)),
        "Enter",
    ),
    "coralbay:toggle_colors": ("Hide or show what is drawn over the scan", _action(lambda w: w.showing.toggle()), "H"),
    "coralbay:show_next": ("Show the next result over the scan", _action(lambda w: w.showing.show_next()), "Shift-H"),
    "coralbay:next_suggestion": (
        "Go to the next suggested place for a stroke", _action(lambda w: w.segment_panel.next_suggestion()), "N",
    ),
    "coralbay:skip_suggestion": (
        "Skip this suggestion", _action(lambda w: w.segment_panel.skip_suggestion()), "Shift-N",
    ),
}  # fmt: skip


def with_key(tip: str, name: str, form: str = "{}") -> str:
    """Return a tooltip that ends with the key of an action.

    Parameters
    ----------
    tip : str
    name : str
        Of the action: of this package, or of napari if it begins with ``napari:``.
    form : str
        Text around the key.
    """
    name = name if ":" in name else f"coralbay:{name}"
    keys = [ACTIONS[name][2]] if name in ACTIONS else []
    with suppress(ImportError, AttributeError):
        from napari.settings import get_settings

        keys = [str(key) for key in get_settings().shortcuts.shortcuts.get(name, keys)]
    return f"{tip} ({form.format(' or '.join(keys).replace('+', '-'))})" if keys else tip


def register(viewer: Any, widget: "Commanded") -> None:
    """Bind the shortcuts of a window to its dock widget; the user's own shortcuts take precedence."""
    _widgets[_itself(viewer)] = widget
    try:
        from napari.components.viewer_model import ViewerModel
        from napari.settings import get_settings
        from napari.utils.action_manager import action_manager

        chosen = get_settings().shortcuts.shortcuts
        for name, (description, command, key) in ACTIONS.items():
            if name in action_manager._actions:
                continue
            action_manager.register_action(name, command, description, ViewerModel)
            for shortcut in chosen.get(name, [key]):
                action_manager.bind_shortcut(name, shortcut)
    except (ImportError, AttributeError, TypeError):
        _log.warning("this napari version does not support keyboard shortcuts of plugins", exc_info=True)


def forget(viewer: Any) -> None:
    """Disconnect the shortcuts of a window."""
    _widgets.pop(_itself(viewer), None)


@contextmanager
def unchanged_shortcuts() -> Iterator[None]:
    """Make a canvas without a message for each shortcut, which every welcome screen of the process answers.

    A canvas binds the shortcuts that are bound already; two hundred messages to three canvases took six seconds.
    """
    with ExitStack() as blocked:
        try:
            from napari.utils.action_manager import action_manager

            blocked.enter_context(action_manager.events.shortcut_changed.blocker())
        except (ImportError, AttributeError):
            _log.warning("this napari version announces each shortcut of a new canvas")
        yield
