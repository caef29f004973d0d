"""The napari plugin: a view of a `Session` that turns mouse and buttons into its commands."""
