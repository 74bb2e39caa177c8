"""Which three bands a SAM that knows only three is given: named, or those that look like a photograph."""

from sensam.methods.inherited import Triple
from sensam.sensors import Sensor

Names = tuple[str, str, str]


def positions(sensor: Sensor, names: Names | None) -> Triple:
    """Positions of the named bands, in their order; of the RGB-like ones without names."""
    if names is None:
        return sensor.display
    first, second, third = (sensor.index(name) for name in names)
    return first, second, third
