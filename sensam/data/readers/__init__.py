"""From any file to a Raster of stored numbers: `describe` without reading a pixel, `open_raster` with windows."""

from sensam.data.readers.opening import describe, open_raster, read_image
from sensam.data.readers.selection import Bands

__all__ = ["Bands", "describe", "open_raster", "read_image"]
