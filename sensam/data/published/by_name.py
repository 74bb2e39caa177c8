"""A dataset.yaml that only names a published layout, so that every command learns from it as from any other."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ConfigDict, ValidationError, validate_call

from sensam.data.dataset import Dataset
from sensam.data.layout import expand
from sensam.data.published import (
    open_air_polsar_seg,
    open_densepass,
    open_fusar_map,
    open_ivrg_nir,
    open_nyu_depth,
    open_rgbp_glass,
    open_rgbt_glass,
    open_sfdd_h8,
    open_shift,
    open_stanford2d3d,
    open_whu_opt_sar,
    open_wildpass,
    open_zju_rgbp,
)
from sensam.errors import SettingsError, unknown

LAYOUTS: Mapping[str, Callable[..., Dataset]] = MappingProxyType(
    {
        "air-polsar-seg": open_air_polsar_seg,
        "densepass": open_densepass,
        "fusar-map": open_fusar_map,
        "ivrg-nir": open_ivrg_nir,
        "nyu-depth": open_nyu_depth,
        "rgbp-glass": open_rgbp_glass,
        "rgbt-glass": open_rgbt_glass,
        "sfdd-h8": open_sfdd_h8,
        "shift": open_shift,
        "stanford2d3d": open_stanford2d3d,
        "whu-opt-sar": open_whu_opt_sar,
        "wildpass": open_wildpass,
        "zju-rgbp": open_zju_rgbp,
    }
)
FILES = ("index", "division")  # options that name files, counted from the dataset.yaml as `root` is


def open_by_name(raw: Mapping[str, Any], base: Path, where: str) -> Dataset:
    """`published` names the layout, `root` the folder; all else are options of the function that opens it."""
    options = dict(raw)
    name = str(options.pop("published"))
    if name not in LAYOUTS:
        raise unknown("published layout", name, LAYOUTS)
    if "root" not in options:
        raise SettingsError(f"{where}: root is missing. Give the folder of {name}.")
    known = tuple(inspect.signature(LAYOUTS[name]).parameters)
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, known)
    for option in ("root", *FILES):
        if option in options:
            options[option] = _absolute(options[option], base, where)
    try:
        return validate_call(config=ConfigDict(arbitrary_types_allowed=True))(LAYOUTS[name])(**options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{where}: {place}: {first['msg']}.") from error


def _absolute(value: Any, base: Path, where: str) -> Any:
    """A path, or each path of a mapping."""
    if isinstance(value, Mapping):
        return {key: _absolute(each, base, where) for key, each in value.items()}
    return str(base / expand(str(value), where))
