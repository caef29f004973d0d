"""Encoders: the Swin3D backbone and others, their model cards, downloads and loading."""
