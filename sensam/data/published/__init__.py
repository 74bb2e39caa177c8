"""Data sets as their authors published them, opened without being rewritten."""

from sensam.data.published.sfdd_h8 import open_sfdd_h8
from sensam.data.published.shift import open_shift

__all__ = ["open_sfdd_h8", "open_shift"]
