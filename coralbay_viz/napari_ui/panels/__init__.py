"""Panels of the dock widget: views of the session that call its commands."""
