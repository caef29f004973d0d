"""Sessions on disk: saving, loading, autosave and recovery."""
