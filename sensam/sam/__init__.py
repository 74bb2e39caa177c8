"""Segment Anything, once: encoder, prompts, masks, weights."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensam.sam.anatomy import SIZES, Anatomy
    from sensam.sam.model import Sam, build_sam
    from sensam.sam.report import LoadReport
    from sensam.sam.weights import load_sam, save_sam

__all__ = ["SIZES", "Anatomy", "LoadReport", "Sam", "build_sam", "load_sam", "save_sam"]

_HOMES = {
    "SIZES": "anatomy",
    "Anatomy": "anatomy",
    "LoadReport": "report",
    "Sam": "model",
    "build_sam": "model",
    "load_sam": "weights",
    "save_sam": "weights",
}


def __getattr__(name: str) -> Any:
    """Import torch and transformers only when something that needs them is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
