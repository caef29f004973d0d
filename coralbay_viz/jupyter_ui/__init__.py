"""CoralBay in a notebook cell: a view of a `Session` that turns mouse and keys into its commands."""
