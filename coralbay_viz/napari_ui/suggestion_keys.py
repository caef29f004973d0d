"""Keys that answer a suggestion while it is shown, and mean what they meant before otherwise."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari

    from .context import Context

ACCEPT, SKIP, LEAVE = "Enter", "Space", "Escape"
DIGITS = range(1, 10)


class SuggestionKeys:
    """Enter, digits, space and Escape, bound while a suggestion of the active scan is shown.

    They are bound to the selected layer, too: its own keys come first in napari, and digits choose tools of a layer.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: "Context") -> None:
        self._context = context
        self._suggestions = context.session.suggestions
        self._bound: list[tuple[Any, dict[str, Any]]] = []
        context.connect(
            (self._suggestions.shown_changed, self._update),
            (context.session.scan_changed, self._update),
            (context.session.clicks_changed, self._clicked),
            (context.viewer.layers.selection.events.active, self._update),
        )
        context.at_end(self._release)

    def _update(self, _: Any = None) -> None:
        self._release()
        if self._suggestions.shown is not None:
            active = self._context.viewer.layers.selection.active
            for target in (self._context.viewer, *([] if active is None else [active])):
                self._bind(target)

    def _clicked(self, _: Any) -> None:
        """Leave Enter to the region that a click finds."""
        self._suggestions.hide()

    def _bind(self, target: "napari.Viewer | Any") -> None:
        commands = {ACCEPT: self._suggestions.answer, SKIP: self._suggestions.skip_shown, LEAVE: self._suggestions.hide}
        answers = {str(number): partial(self._suggestions.answer_number, number) for number in DIGITS}
        before = {}
        for key, command in (commands | answers).items():
            before[key] = target.bind_key(key, self._guarded(command), overwrite=True)
        self._bound.append((target, before))

    def _guarded(self, command: Callable[[], Any]) -> Callable[[Any], None]:
        def act(_: Any) -> None:
            self._context.notify_errors(command)()

        return act

    def _release(self) -> None:
        bound, self._bound = self._bound, []
        for target, before in bound:
            for key, command in before.items():
                target.bind_key(key, None)
                if command is not None:
                    target.bind_key(key, command)
