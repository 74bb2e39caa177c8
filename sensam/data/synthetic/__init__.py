"""Generated scenes with exact labels: five families, seeded, any size."""

from collections.abc import Mapping

from sensam.data.synthetic import drive, modality, panorama, sar, seafog
from sensam.data.synthetic.files import write
from sensam.data.synthetic.scene import ClassInfo, Family, Scene
from sensam.errors import unknown

__all__ = ["FAMILIES", "ClassInfo", "Family", "Scene", "family", "write"]

FAMILIES: Mapping[str, Family] = {
    module.FAMILY.name: module.FAMILY for module in (seafog, drive, sar, modality, panorama)
}


def family(name: str) -> Family:
    """A family by name, or one of its variants as NAME:VARIANT, such as `modality:polarization`."""
    named = dict(FAMILIES)
    for each in FAMILIES.values():
        named |= {f"{each.name}:{variant}": other for variant, other in each.variants.items()}
    if name not in named:
        raise unknown("family of generated scenes", name, named)
    return named[name]
