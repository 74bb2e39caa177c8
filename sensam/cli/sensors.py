"""`sensam sensors`: which sensors are known, and what one of them means."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from sensam.sensors import Band, Sensor


def sensors(
    name: Annotated[
        str | None, typer.Argument(help="The sensor to show: a preset, hyperspectral-N, or a YAML file.")
    ] = None,
) -> None:
    """List the sensors that are known, or show what one of them means.

    Example: [bold]sensam sensors sentinel2-l2a[/bold]
    """
    from sensam.cli.console import open_console
    from sensam.sensors import load_sensor, preset_names

    console = open_console()
    if name is None:
        _list([load_sensor(preset) for preset in preset_names()], console)
    else:
        _show(load_sensor(name), console)


def _list(known: "list[Sensor]", console: "Console") -> None:
    from rich.table import Table

    table = Table("sensor", "bands", "seen from", "for", box=None, pad_edge=False)
    for sensor in known:
        table.add_row(sensor.name, str(len(sensor.bands)), sensor.geometry, sensor.title)
    table.add_row("hyperspectral-N", "N", "nadir", "Any number of narrow bands, as hyperspectral-156")
    console.print(table)
    console.print("\nShow one with sensam sensors NAME; describe your own in YAML (docs/sensors.md).")


def _show(sensor: "Sensor", console: "Console") -> None:
    from rich.table import Table

    columns = {
        "band": [band.name for band in sensor.bands],
        "what": [band.title for band in sensor.bands],
        "wavelength": [_length(band.wavelength_nm) for band in sensor.bands],
        "unit": [band.unit for band in sensor.bands],
        "stored as": [_stored(band) for band in sensor.bands],
        "no data": ["" if band.nodata is None else _plain(band.nodata) for band in sensor.bands],
        "valid": ["" if not band.valid_range else " to ".join(map(_plain, band.valid_range)) for band in sensor.bands],
        "mean ± std": [_statistics(band) for band in sensor.bands],
        "shown as": [_colour(position, sensor.display) for position in range(len(sensor.bands))],
    }
    filled = {title: texts for title, texts in columns.items() if any(texts)}
    table = Table(*filled, box=None, pad_edge=False)
    for row in zip(*filled.values(), strict=True):
        table.add_row(*row)
    console.print(f"{sensor.name}: {sensor.title} ({sensor.geometry})\n")
    console.print(table)
    console.print()
    if sensor.rgb is None:
        console.print("No bands are named as a photograph's red, green and blue: the colours are false.")
    if any(band.mean is None for band in sensor.bands):
        console.print("Statistics come from your data: sensam stats DATASET")
    if sensor.source:
        console.print(f"Source: {sensor.source}")


def _length(wavelength_nm: float | None) -> str:
    if wavelength_nm is None:
        return ""
    if wavelength_nm < 1000:
        return f"{wavelength_nm:g} nm"
    return f"{wavelength_nm / 1e3:.5g} um" if wavelength_nm < 1e6 else f"{wavelength_nm / 1e6:.4g} mm"


def _stored(band: "Band") -> str:
    scale = "" if band.scale == 1 else f"x {_plain(band.scale)}"
    offset = "" if band.offset == 0 else f"{'-' if band.offset < 0 else '+'} {_plain(abs(band.offset))}"
    return " ".join(part for part in (band.dtype or "", scale, offset) if part)


def _statistics(band: "Band") -> str:
    return "" if band.mean is None or band.std is None else f"{_plain(band.mean)} ± {_plain(band.std)}"


def _plain(number: float) -> str:
    """Without an exponent, which few people read."""
    return f"{number:.9f}".rstrip("0").rstrip(".")


def _colour(position: int, display: tuple[int, int, int]) -> str:
    return ", ".join(colour for colour, at in zip(("red", "green", "blue"), display, strict=True) if at == position)
