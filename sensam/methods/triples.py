"""Which three bands a SAM that knows only three is given: named, or those that look like a photograph."""

from sensam.errors import SettingsError
from sensam.methods.base import Task
from sensam.methods.inherited import Triple
from sensam.sensors import Sensor

Names = tuple[str, str, str]


def positions(sensor: Sensor, names: Names | None) -> Triple:
    """Positions of the named bands, in their order; of the RGB-like ones without names."""
    if names is None:
        return sensor.display
    first, second, third = (sensor.index(name) for name in names)
    return first, second, third


def check_three_bands(task: Task, name: str) -> None:
    """An error where SAM takes other than three bands, as an inherited student does."""
    bands = task.sam.anatomy.bands
    if bands != 3:
        raise SettingsError(
            f"{name} shows three bands to SAM; this SAM takes {bands}. Use a SAM as published, such as nano, b, l or h."
        )
