"""CoralBay in a notebook cell: shows a `Session` in the browser and turns mouse and keys into its commands."""
