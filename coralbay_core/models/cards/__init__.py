"""Model cards (TOML) and the weights that ship with the package."""

WITHOUT_WEIGHTS = {
    "hu-patch": "No network: mean and spread of HU around each place.",
    "hu-context": "No network: the same, and the mean HU at 26 offsets of 24 and of 48 mm.",
    "random": "The network of the default model with random weights: what training has to beat.",
}
"""Models that have no card, with a line about each; read without importing torch."""

INSTALLABLE = {
    "astra": "I3ResNet-152 trained on chest CTs and their reports (MIT): 117 M parameters, for comparison.",
}
"""Models without a card whose weights come with Python packages, with a line about each (`i3resnet_encoder`)."""
