"""Bridges to other projects. Each imports the other project in its own modules alone, and only when it is used."""
