"""Controllers: one per subject of the session. They validate commands, start tasks and store the results."""
