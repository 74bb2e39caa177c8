"""Segment Anything, for every sensor: thirteen bands or one, radar, heat, depth, polarization, panorama."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sensam.version import __version__

if TYPE_CHECKING:
    from sensam.data.dataset import open_dataset as open_dataset
    from sensam.data.raster import Raster as Raster
    from sensam.data.readers import open_raster as open_raster
    from sensam.evaluate.metrics import evaluate as evaluate
    from sensam.infer.promptable import Predictor as Predictor
    from sensam.maps import predict as predict
    from sensam.run.inheriting import inherit as inherit
    from sensam.run.model import load as load
    from sensam.run.training import train as train
    from sensam.sam.weights import load_sam as load_sam
    from sensam.sensors import Sensor as Sensor
    from sensam.sensors import load_sensor as load_sensor

_HOMES = {
    "Predictor": "sensam.infer.promptable",
    "Raster": "sensam.data.raster",
    "Sensor": "sensam.sensors",
    "evaluate": "sensam.evaluate.metrics",
    "inherit": "sensam.run.inheriting",
    "load": "sensam.run.model",
    "load_sam": "sensam.sam.weights",
    "load_sensor": "sensam.sensors",
    "open_dataset": "sensam.data.dataset",
    "open_raster": "sensam.data.readers",
    "predict": "sensam.maps",
    "train": "sensam.run.training",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import sensam` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sensam' has no attribute {name!r}; it offers {', '.join(sorted(_HOMES))}")
    return getattr(import_module(_HOMES[name]), name)


class _Callable(ModuleType):
    """A folder of the package that shares its name with a function: `sensam.train(...)` calls the function."""

    def __call__(self, *args: Any, **settings: Any) -> Any:
        return self.__wrapped__(*args, **settings)

    @property
    def __wrapped__(self) -> Any:
        """The function; `inspect.signature` looks here."""
        return __getattr__(self.__name__.rpartition(".")[2])


class _Package(ModuleType):
    """Makes such folders callable when they are imported, which is when Python puts them in the function's place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value.__class__ = _Callable
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
