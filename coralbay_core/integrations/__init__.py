"""Integrations of other projects. Each imports the other project only in its own modules, and only when used."""
