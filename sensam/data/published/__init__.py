"""Data sets as their authors published them, opened without being rewritten."""

from sensam.data.published.airpolsar import open_air_polsar_seg
from sensam.data.published.densepass import open_densepass
from sensam.data.published.fusar import open_fusar_map
from sensam.data.published.sfdd_h8 import open_sfdd_h8
from sensam.data.published.shift import open_shift
from sensam.data.published.stanford2d3d import open_stanford2d3d
from sensam.data.published.whu import open_whu_opt_sar
from sensam.data.published.wildpass import open_wildpass

__all__ = [
    "open_air_polsar_seg",
    "open_densepass",
    "open_fusar_map",
    "open_sfdd_h8",
    "open_shift",
    "open_stanford2d3d",
    "open_whu_opt_sar",
    "open_wildpass",
]
