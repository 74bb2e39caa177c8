"""Data sets as their authors published them, opened without being rewritten."""

from sensam.data.published.airpolsar import open_air_polsar_seg
from sensam.data.published.densepass import open_densepass
from sensam.data.published.fusar import open_fusar_map
from sensam.data.published.ivrg import open_ivrg_nir
from sensam.data.published.nyu import open_nyu_depth
from sensam.data.published.pgsnet import open_rgbp_glass
from sensam.data.published.rgbt import open_rgbt_glass
from sensam.data.published.sfdd_h8 import open_sfdd_h8
from sensam.data.published.shift import open_shift
from sensam.data.published.stanford2d3d import open_stanford2d3d
from sensam.data.published.whu import open_whu_opt_sar
from sensam.data.published.wildpass import open_wildpass
from sensam.data.published.zju import open_zju_rgbp

__all__ = [
    "open_air_polsar_seg",
    "open_densepass",
    "open_fusar_map",
    "open_ivrg_nir",
    "open_nyu_depth",
    "open_rgbp_glass",
    "open_rgbt_glass",
    "open_sfdd_h8",
    "open_shift",
    "open_stanford2d3d",
    "open_whu_opt_sar",
    "open_wildpass",
    "open_zju_rgbp",
]
