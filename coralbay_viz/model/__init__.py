"""State of a session: scans, clicks, strokes and results. Plain values without behavior of a view."""
