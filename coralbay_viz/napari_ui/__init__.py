"""The napari plugin: shows a `Session` in a viewer and turns mouse and buttons into its commands."""
