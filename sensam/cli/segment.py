"""`sensam segment`: objects of a scene by clicks and boxes, from a trained model or from SAM itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from sensam.cli.loading import load_shown

if TYPE_CHECKING:
    from sensam.infer.locate import Located
    from sensam.infer.scene_clicks import Read, SceneClicks
    from sensam.sam.model import Sam
    from sensam.sensors import Sensor

CACHE = Path("~/.cache/sensam/embeddings")
CACHE_GIGABYTES = 2.0


def segment(
    model: Annotated[str, typer.Argument(help="A trained model's folder or run; or a SAM: nano, b, l, h, a .pth, ...")],
    scene: Annotated[str, typer.Argument(help="A file, a folder of bands, A.tif,B.tif, a URL, a STAC item.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="OBJECTS.gpkg, .geojson, .fgb or .tif.")],
    point: Annotated[
        list[str] | None, typer.Option(metavar="X,Y", help="A click inside an object; each its own object.")
    ] = None,
    box: Annotated[
        list[str] | None, typer.Option(metavar="X0,Y0,X1,Y1", help="A box around an object; each its own object.")
    ] = None,
    outside: Annotated[
        list[str] | None, typer.Option(metavar="X,Y", help="A click that lies in none of the objects.")
    ] = None,
    together: Annotated[bool, typer.Option("--together", help="All points are clicks in one object.")] = False,
    crs: Annotated[
        str | None, typer.Option(help="Coordinates are of this system: EPSG:4326, ..., or scene. Without: pixels.")
    ] = None,
    sensor: Annotated[
        str | None, typer.Option(help="With a SAM: which sensor the scene is from; its RGB-like bands are shown.")
    ] = None,
    bands: Annotated[str | None, typer.Option(help="Names of the file's bands, in its order: B02,B03,-.")] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Pixels of the scene seen at once around a click.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for what was seen, so that the next clicks there take no time.")
    ] = CACHE,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep nothing.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, auto.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the whole file that is there.")] = False,
) -> None:
    """Segment objects of a scene of any size by clicks and boxes, in pixels or in map coordinates.

    Example: [bold]sensam segment runs/mine scene.tif --point 13.41,52.52 --crs EPSG:4326 -o objects.gpkg[/bold]
    """
    from sensam.data.readers import describe
    from sensam.infer.click_files import check_output, write_objects
    from sensam.infer.click_places import Places, wanted_objects
    from sensam.infer.locate import refuse_overwriting
    from sensam.infer.voting import find_device

    refuse_overwriting(scene, [out])
    check_output(out, overwrite=overwrite)
    names = tuple(bands.split(",")) if bands else None
    source, clicks = _open(model, scene, sensor, names, size, None if no_cache else cache, find_device(device))
    refuse_overwriting(source, [out])
    info = describe(source)
    wanted = wanted_objects(Places(info, crs), point or [], outside or [], box or [], together=together)
    found = [clicks.ask(each) for each in wanted]
    for number, each in enumerate(found, 1):
        line = f"object {number} ({each.text}): {int(each.mask_HW.sum()):,} pixels, estimated IoU {each.score:.2f}"
        typer.echo(f"{line}; cut off by the window, see more with --size" if each.is_cut else line)
    write_objects(out, found, info)
    typer.echo(f"wrote {out}")


def _open(
    model: str,
    scene: str,
    sensor: str | None,
    bands: tuple[str, ...] | None,
    size: int | None,
    cache: Path | None,
    device: str,
) -> "tuple[Located, SceneClicks]":
    """The scene's files, and who answers clicks on them."""
    from sensam.data.readers import describe
    from sensam.infer.scene_clicks import SceneClicks, identify
    from sensam.nn.shelf import Shelf

    seen = (_by_trained if _is_trained(model) else _by_sam)(model, scene, sensor, bands, device)
    for note in seen.notes:
        typer.echo(note)
    info = describe(seen.source)
    name = None if cache is None else identify(seen.sam, seen.source, seen.sensor, bands)
    shelf = None if cache is None or name is None else Shelf(cache, CACHE_GIGABYTES)
    extent = (info.height, info.width)
    side, name = size or seen.side, name or info.name
    clicks = SceneClicks(seen.sam, seen.read, extent, side=side, is_sure=seen.is_sure, shelf=shelf, name=name)
    return seen.source, clicks


class _Seen(NamedTuple):
    """A scene as one model sees it."""

    source: "Located"
    sam: "Sam"
    sensor: "Sensor"
    read: "Read"
    side: int  # pixels that it sees at once
    is_sure: bool  # one mask for a click, not three to choose from
    notes: "tuple[str, ...]"  # of the scene's bands: what was reordered, left out, taken on trust


def _by_trained(model: str, scene: str, sensor: str | None, bands: tuple[str, ...] | None, device: str) -> _Seen:
    from sensam.errors import SettingsError
    from sensam.infer.locate import locate
    from sensam.infer.scene import Scene
    from sensam.infer.scene_clicks import trained_reader
    from sensam.run import load

    trained = load(model, device=device)
    sam, own = trained.method.promptable(), trained.sensor
    if sam is None:
        raise SettingsError(f"{model} makes class maps and answers no clicks: use sensam predict.")
    if sensor is not None:
        raise SettingsError(f"{model} knows its sensor ({own.name}): leave --sensor out.")
    seen = Scene(locate(scene, own), own, bands=bands)
    is_sure = trained.method.stages[-1].judged_by == "clicks"
    return _Seen(seen.source, sam, own, trained_reader(seen), trained.method.task.size, is_sure, seen.notes)


def _by_sam(model: str, scene: str, sensor: str | None, bands: tuple[str, ...] | None, device: str) -> _Seen:
    from sensam.data.readers import describe
    from sensam.errors import SettingsError
    from sensam.infer.locate import locate
    from sensam.infer.scene_clicks import photograph_reader
    from sensam.radiometry import match
    from sensam.sensors import load_sensor

    sam, shown = load_shown(model).to(device), load_sensor(sensor or "rgb")
    source = locate(scene, shown)
    info = describe(source)
    if sensor is None and (len(info.bands) not in (3, 4) or set(info.dtypes) != {"uint8"}):
        raise SettingsError(
            f"{info.name} is no 8-bit photograph. Say with --sensor what took it (sensam sensors lists them), "
            "so that SAM sees its RGB-like bands."
        )
    found = match(shown, info, names=bands)
    read = photograph_reader(source, shown, info, found)
    return _Seen(source, sam, shown, read, sam.anatomy.image_size, False, found.notes)


def _is_trained(model: str) -> bool:
    """Whether a folder holds a model of ours, or a run, rather than a SAM."""
    import json

    folder = Path(model)
    if (folder / "run.yaml").is_file() or (folder / "model" / "config.json").is_file():
        return True
    try:
        return "method" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
