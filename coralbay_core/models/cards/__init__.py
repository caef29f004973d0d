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

ADAPTED = {
    "ct-fm": "CT-FM's SegResNet encoder, 148,000 CTs, contrastive: 78 M parameters, for comparison.",
    "vista3d": "VISTA3D's SegResNet encoder, supervised: 175 M parameters, non-commercial, for comparison.",
}
"""Models without a card whose weights are downloaded, with a line about each (`adapted`)."""

WITHOUT_CARD = WITHOUT_WEIGHTS | INSTALLABLE | ADAPTED
