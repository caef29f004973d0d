"""Sections beside the views: each shows state that it is given, emits what the user wants, decides nothing."""
