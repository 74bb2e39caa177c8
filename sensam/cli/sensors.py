"""`sensam sensors`: which sensors are known, and what one of them means."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sensam.sensors import Sensor


def sensors(
    name: Annotated[
        str | None, typer.Argument(help="A sensor to show: a preset, hyperspectral-N, or a YAML file.")
    ] = None,
) -> None:
    """List the sensors that are known, or show what one of them means.

    Example: [bold]sensam sensors sentinel2-l2a[/bold]
    """
    from sensam.sensors import load_sensor, preset_names

    if name is None:
        _list([load_sensor(preset) for preset in preset_names()])
    else:
        _show(load_sensor(name))


def _list(known: "list[Sensor]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("sensor", "bands", "seen from", "for", box=None, pad_edge=False)
    for sensor in known:
        table.add_row(sensor.name, str(len(sensor.bands)), sensor.geometry, sensor.title)
    table.add_row("hyperspectral-N", "N", "nadir", "Any number of narrow bands, as hyperspectral-156")
    console = Console()
    console.print(table)
    console.print("\nShow one with sensam sensors NAME; describe your own in YAML (docs/sensors.md).", highlight=False)


def _show(sensor: "Sensor") -> None:
    from rich.console import Console
    from rich.table import Table

    shown = dict(zip(sensor.display, ("red", "green", "blue"), strict=True))
    table = Table("band", "what", "wavelength", "unit", "stored as", "no data", "mean ± std", "shown as")
    table.box, table.pad_edge = None, False
    for position, band in enumerate(sensor.bands):
        table.add_row(
            band.name,
            band.title,
            _length(band.wavelength_nm),
            band.unit,
            _stored(band.scale, band.offset, band.dtype),
            _no_data(band.nodata, band.valid_range),
            "" if band.mean is None else f"{band.mean:.4g} ± {band.std:.4g}",
            shown.get(position, ""),
        )
    console = Console()
    console.print(f"{sensor.name}: {sensor.title} ({sensor.geometry})", highlight=False)
    console.print(table)
    if sensor.rgb is None:
        console.print("No triple of these bands looks like a photograph: the colours are false.", highlight=False)
    if any(band.mean is None for band in sensor.bands):
        console.print("Statistics come from your data: sensam stats DATASET", highlight=False)
    if sensor.source:
        console.print(f"Source: {sensor.source}", highlight=False)


def _length(wavelength_nm: float | None) -> str:
    if wavelength_nm is None:
        return ""
    if wavelength_nm < 1000:
        return f"{wavelength_nm:g} nm"
    return f"{wavelength_nm / 1e3:.5g} um" if wavelength_nm < 1e6 else f"{wavelength_nm / 1e6:.4g} mm"


def _stored(scale: float, offset: float, dtype: str | None) -> str:
    rule = "as it is" if (scale, offset) == (1.0, 0.0) else f"x {scale:g}{offset:+g}" if offset else f"x {scale:g}"
    return f"{dtype} {rule}" if dtype else rule


def _no_data(nodata: float | None, valid_range: tuple[float, float] | None) -> str:
    parts = [] if nodata is None else [f"{nodata:g}"]
    if valid_range:
        parts.append(f"outside {valid_range[0]:g} to {valid_range[1]:g}")
    return ", ".join(parts)
