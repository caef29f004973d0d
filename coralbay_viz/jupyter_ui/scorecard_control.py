"""Controller of the panel Score: several encoders on the same clicks and strokes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model.scorecard import EVA_TITLE, best_models, shown_columns
from ..tasks.encoders import model_names
from .control import Control
from .panels.scorecard import ScorecardPanel

if TYPE_CHECKING:
    from ..model.scorecard import Scorecard


class ScorecardControl(Control):
    """Controller of the scorecard."""

    def __init__(self, *wires: Any) -> None:
        super().__init__(*wires)
        session = self.session
        self.panel = panel = ScorecardPanel(model_names(), {session.model, "hu-patch", "random"})
        self.on_request(panel.compare_wanted, self._compare)
        self.on_request(panel.stop_wanted, lambda: session.scorecard.stop())
        self.on_request(panel.live_chosen, lambda on: setattr(session, "scorecard_live", on))
        self.on_request(panel.eva_chosen, self._choose_eva)
        self.on_event(session.scorecard.changed, self.show)
        self.on_event(session.scorecard.changed, self._say)
        self.show(session.scorecard.card)

    def _compare(self, models: tuple[str, ...], reference: str) -> None:
        self.session.scorecard.measure(models, Path(reference).expanduser() if reference else None)

    def _choose_eva(self, path: str) -> None:
        self.session.scorecard.eva_results = Path(path).expanduser() if path else None

    def _say(self, card: "Scorecard | None") -> None:
        if card is not None and card.rows:
            done = f"Measured {card.rows[-1].model}, {len(card.rows)} of {len(card.models)}"
            self._status.say(done + ("; see the table in tab Score." if card.is_done else "."))

    def show(self, card: "Scorecard | None") -> None:
        """Update the table; previous numbers stay until new ones arrive."""
        rows = card.shown if card is not None else ()
        columns = shown_columns(rows)
        eva = [EVA_TITLE] if any(row.eva for row in rows) else []
        head = ["model", *(column.title for column in columns), *eva]
        best = {column.key: best_models(rows, column) for column in columns}
        lines = []
        for row in rows:
            cells = [row.cell(column) + (" *" if row.model in best[column.key] else "") for column in columns]
            lines.append([row.model, *cells, *([row.eva_text] if eva else [])])
        hints = [f"{column.title}: {column.hint}" for column in columns]
        problems = [f"{row.model}: {row.problem}" for row in rows if row.problem]
        sources = [f"{row.model}: {source}" for row in rows for source in row.eva_sources]
        awaited = None if card is None else card.awaited
        notes = [*problems, *([f"next: {awaited}"] if awaited else []), *sources, *hints]
        self.panel.show_rows(head, lines, notes)
