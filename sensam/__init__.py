"""Segment Anything, for every sensor: thirteen bands or one, radar, heat, depth, polarization, panorama."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sensam.version import __version__

if TYPE_CHECKING:
    from sensam.data.dataset import open_dataset as open_dataset
    from sensam.data.raster import Raster as Raster
    from sensam.data.readers import open_raster as open_raster
    from sensam.infer.promptable import Predictor as Predictor
    from sensam.sam.weights import load_sam as load_sam
    from sensam.sensors import Sensor as Sensor
    from sensam.sensors import load_sensor as load_sensor

_HOMES = {
    "Predictor": "sensam.infer.promptable",
    "Raster": "sensam.data.raster",
    "Sensor": "sensam.sensors",
    "load_sam": "sensam.sam.weights",
    "load_sensor": "sensam.sensors",
    "open_dataset": "sensam.data.dataset",
    "open_raster": "sensam.data.readers",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import sensam` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sensam' has no attribute {name!r}; it offers {', '.join(sorted(_HOMES))}")
    return getattr(import_module(_HOMES[name]), name)
