"""Model cards (TOML) and the weights that ship with the package."""
