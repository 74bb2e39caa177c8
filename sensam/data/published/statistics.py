"""How bands of a published data set are normalised: as its authors feed them, or as any other data set's."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Statistics = Literal["published", "measured"]
# What a sensor says of every band. One that says nothing is measured on the training split.
STATISTICS: Mapping[Statistics, Mapping[str, float]] = MappingProxyType(
    {"published": {"mean": 0.0, "std": 1.0}, "measured": {}}
)
