"""Which bands and which window were asked for, checked against what a file has."""

from collections.abc import Sequence

from sensam.data.raster import Window
from sensam.errors import InputError, unknown

Bands = Sequence[str | int] | None  # names, or positions counted from 0; None is all of them


def choose(bands: Bands, available: Sequence[str], name: str, *, also: Sequence[str] = ()) -> list[str]:
    """Names of the wanted bands, in the wanted order. `also` lists planes that come only when named."""
    if bands is None:
        return list(available)
    if isinstance(bands, str):
        raise InputError(f"bands is the text {bands!r}. Give a list of names or positions, such as ({bands!r},).")
    wanted = [_named(band, available, also, name) for band in bands]
    if not wanted:
        raise InputError(f"No band of {name} was asked for. It has {', '.join(available)}.")
    twice = sorted({band for band in wanted if wanted.count(band) > 1})
    if twice:
        raise InputError(f"Band {', '.join(twice)} of {name} was asked for twice.")
    return wanted


def _named(band: str | int, available: Sequence[str], also: Sequence[str], name: str) -> str:
    if isinstance(band, str):
        if band not in available and band not in also:
            raise unknown(f"band of {name}", band, [*available, *also])
        return band
    if not 0 <= band < len(available):
        raise InputError(f"{name} has {len(available)} bands, counted from 0; there is no band {band}.")
    return available[band]


def check_window(window: Window | None, height: int, width: int, name: str) -> Window:
    """The window to read: the one asked for, which must lie inside the scene, or everything."""
    if window is None:
        return 0, 0, height, width
    row, col, rows, cols = window
    if rows < 1 or cols < 1 or row < 0 or col < 0 or row + rows > height or col + cols > width:
        raise InputError(
            f"The window of {rows} x {cols} pixels at row {row}, column {col} does not lie inside {name}, "
            f"which has {height} x {width}."
        )
    return window
