"""Segment Anything, for every sensor: thirteen bands or one, radar, heat, depth, polarization, panorama."""

from sensam.version import __version__

__all__ = ["__version__"]
