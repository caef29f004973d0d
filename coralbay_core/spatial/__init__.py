"""Volumes on their grids in world mm: geometry, resampling, body mask, metrics of segmentations."""

from .volume import Grid, LabelVolume, SourceGrid, Volume

__all__ = ["Grid", "LabelVolume", "SourceGrid", "Volume"]
