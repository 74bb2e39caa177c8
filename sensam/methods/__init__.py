"""The published systems, one file each, and how a user's own joins them."""

from collections.abc import Mapping
from importlib import import_module

from sensam.errors import SettingsError, unknown
from sensam.methods.base import Method

__all__ = ["METHODS", "Method", "find_method"]

METHODS: Mapping[str, str] = {
    "cwsam": "sensam.methods.cwsam:Cwsam",
    "scratch": "sensam.methods.scratch:Scratch",
    "e2sam": "sensam.methods.e2sam:E2Sam",
    "sam3": "sensam.methods.sam3:Sam3",
    "resam": "sensam.methods.resam:ReSam",
    "repe": "sensam.methods.repe:RePe",
    "unet": "sensam.methods.unet:UNet",
    "zeroshot": "sensam.methods.zeroshot:ZeroShot",
    "simmat": "sensam.methods.simmat:SimMat",
    "goodsam": "sensam.methods.goodsam.method:GoodSam",
}


def find_method(name: str) -> type[Method]:
    """The class of a method by its name in METHODS, or by `module:Class` for one of your own."""
    if name in METHODS:
        home = METHODS[name]
    elif ":" in name:
        home = name
    else:
        raise unknown("method", name, METHODS)
    module, _, attribute = home.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as fault:
        raise SettingsError(
            f"Method {name!r} cannot be imported ({fault}). Give module:Class, with the module on Python's path."
        ) from fault
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise SettingsError(f"{name!r} is no method: {attribute} must be a subclass of sensam.methods.base.Method.")
    return found
