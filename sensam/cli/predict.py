"""`sensam predict`: maps of scenes of any size, from a trained model; many of them on a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from sensam.infer.archive import Engine
    from sensam.infer.mapping import MapSettings, SceneJob
    from sensam.infer.vectors import Outlines
    from sensam.infer.voting import Vote
    from sensam.maps import ModelSource

TIMED_STEPS = 2  # batches of a dry run; the first one warms up
TILING, PARTS, SCENES = "How to predict", "What comes out", "What goes in"


def predict(
    model: Annotated[str, typer.Argument(help="A model folder, the folder of its run, a hub id, or an .onnx file.")],
    scene: Annotated[
        list[str] | None, typer.Argument(help="Files, folders of bands, A.tif,B.tif, URLs, STAC items.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder; or MAP.tif, for one scene.")] = Path("maps"),
    scene_list: Annotated[
        Path | None, typer.Option("--list", help="A file with one scene a line.", rich_help_panel=SCENES)
    ] = None,
    bands: Annotated[
        str | None, typer.Option(help="Names of the file's bands, in its order: B02,B03,-.", rich_help_panel=SCENES)
    ] = None,
    bbox: Annotated[
        str | None, typer.Option(help="xmin,ymin,xmax,ymax in the scene's coordinates.", rich_help_panel=SCENES)
    ] = None,
    aoi: Annotated[Path | None, typer.Option(help="A file of polygons: what to map.", rich_help_panel=SCENES)] = None,
    resample: Annotated[
        str | None, typer.Option(help="Size of a pixel to read at, or: trained.", rich_help_panel=SCENES)
    ] = None,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="How sure, as a file besides.", rich_help_panel=PARTS)
    ] = False,
    entropy: Annotated[
        bool, typer.Option("--entropy", help="How undecided, as a file besides.", rich_help_panel=PARTS)
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Of every class, as a file besides.", rich_help_panel=PARTS)
    ] = False,
    storage: Annotated[
        str | None, typer.Option(help="uint8 or uint16, for these.", show_default="uint8", rich_help_panel=PARTS)
    ] = None,
    polygons: Annotated[
        str | None, typer.Option(help="gpkg, geojson or fgb: polygons besides.", rich_help_panel=PARTS)
    ] = None,
    smallest: Annotated[
        int | None,
        typer.Option("--min-size", help="Pixels that a polygon has at least.", show_default="0", rich_help_panel=PARTS),
    ] = None,
    simplify: Annotated[
        float | None,
        typer.Option(help="Pixels by which polygons are smoothed.", show_default="1.0", rich_help_panel=PARTS),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make anew what another run left there.", rich_help_panel=PARTS)
    ] = False,
    tile: Annotated[
        int | None, typer.Option(help="Pixels on a side.", show_default="as trained", rich_help_panel=TILING)
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Pixels that tiles share.", show_default="tile / 8", rich_help_panel=TILING)
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Tiles at once.", show_default="1, on a GPU 8", rich_help_panel=TILING)
    ] = None,
    ensemble: Annotated[
        list[str] | None, typer.Option(help="Another model that votes too.", rich_help_panel=TILING)
    ] = None,
    tta: Annotated[
        str, typer.Option(help="none, flip, or turn: ask again mirrored, turned.", rich_help_panel=TILING)
    ] = "none",
    precision: Annotated[
        str, typer.Option(help="fp32, bf16, or auto: bf16 on a GPU.", rich_help_panel=TILING)
    ] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, auto.", rich_help_panel=TILING)] = "auto",
    base: Annotated[
        str | None, typer.Option(help="Where the SAM lies that the model sits on.", rich_help_panel=TILING)
    ] = None,
    engine: Annotated[str, typer.Option(help="process, or ray: a cluster.", rich_help_panel=TILING)] = "process",
    workers: Annotated[int, typer.Option(help="Processes.", min=1, rich_help_panel=TILING)] = 1,
    address: Annotated[str | None, typer.Option(help="Of a running Ray cluster.", rich_help_panel=TILING)] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it will take.", rich_help_panel=TILING)
    ] = False,
) -> None:
    """Map scenes: class maps with their place on Earth, tile by tile in little memory; a killed run goes on.

    Example: [bold]sensam predict runs/mine scene.tif -o maps --confidence --polygons gpkg[/bold]
    """
    scenes = _scenes(scene, scene_list)
    _refuse_misspelt(tta=tta, precision=precision, engine=engine, storage=storage, polygons=polygons)
    wanted = {"confidence": confidence, "entropy": entropy, "probabilities": probabilities}
    _refuse_idle(wanted, polygons, storage=storage, smallest=smallest, simplify=simplify)
    from sensam.infer.archive import loaded
    from sensam.infer.mapping import MapSettings
    from sensam.maps import ModelSource, box_of, notes_on_tiles, resolution_of, settled

    values: dict[str, Any] = {
        "size": tile,
        "overlap": overlap,
        "batch": batch,
        "extras": tuple(name for name, is_wanted in wanted.items() if is_wanted),
        "storage": storage or "uint8",
        "bands": None if bands is None else tuple(name.strip() for name in bands.split(",")),
        "box": box_of(bbox),
        "area": aoi,
        "outlines": None if polygons is None else _outlines(polygons, smallest, simplify),
        "overwrite": overwrite,
    }
    source = ModelSource((model, *(ensemble or ())), base, tta, precision, device)  # type: ignore[arg-type] # checked
    vote = loaded(source)
    for note in notes_on_tiles(vote):
        typer.echo(note)
    values["resolution"] = resolution_of(resample, vote.model)
    settings = settled(MapSettings(**values), tta, vote)
    if scene_list is None and len(scenes) == 1 and workers == 1 and engine == "process" and address is None:
        _map_one(vote, scenes[0], out, settings, dry_run=dry_run)
    else:
        _map_many(vote, source, scenes, out, settings, engine, workers, address, dry_run=dry_run)  # type: ignore[arg-type] # checked


def _scenes(given: "Sequence[str] | None", scene_list: Path | None) -> list[str]:
    from sensam.errors import InputError
    from sensam.infer.archive import read_list

    scenes = list(given or ()) + (read_list(scene_list) if scene_list is not None else [])
    if not scenes:
        raise InputError("There is no scene to map. Give files, or --list scenes.txt.")
    return list(dict.fromkeys(scenes))


def _refuse_misspelt(**given: str | None) -> None:
    from typing import get_args

    from sensam.errors import unknown
    from sensam.infer.archive import Engine
    from sensam.infer.products import Storage
    from sensam.infer.vectors import VectorFormat
    from sensam.infer.voting import Augmentation, Precision

    kinds = {
        "tta": Augmentation,
        "precision": Precision,
        "engine": Engine,
        "storage": Storage,
        "polygons": VectorFormat,
    }
    for name, value in given.items():
        if value is not None and value not in get_args(kinds[name]):
            raise unknown(f"--{name}", value, get_args(kinds[name]))


def _refuse_idle(
    wanted: dict[str, bool],
    polygons: str | None,
    *,
    storage: str | None,
    smallest: int | None,
    simplify: float | None,
) -> None:
    """What would change nothing was meant for something that is missing."""
    from sensam.errors import SettingsError

    for option, value in {"--min-size": smallest, "--simplify": simplify}.items():
        if value is not None and polygons is None:
            raise SettingsError(f"{option} belongs to --polygons. Add it, or leave {option} out.")
    # Polygons tell their mean confidence, which is stored on the way.
    if storage is not None and polygons is None and not any(wanted.values()):
        names = ", ".join(f"--{name}" for name in wanted)
        raise SettingsError(f"--storage belongs to {names} or --polygons. Add one of them, or leave --storage out.")


def _outlines(polygons: str, smallest: int | None, simplify: float | None) -> "Outlines":
    from sensam.infer.vectors import Outlines

    given = {name: value for name, value in {"smallest": smallest, "tolerance": simplify}.items() if value is not None}
    return Outlines(polygons, **given)  # type: ignore[arg-type] # checked


def _job(vote: "Vote", scene: str, out: Path, settings: "MapSettings", *, alone: bool) -> "SceneJob":
    from sensam.infer.mapping import SceneJob, Target
    from sensam.maps import fingerprint_of

    job = SceneJob(vote.model, fingerprint_of(vote), scene, Target.of(scene, out, alone=alone), settings)
    for note in job.scene.notes:
        typer.echo(note)
    return job


def _map_one(vote: "Vote", scene: str, out: Path, settings: "MapSettings", *, dry_run: bool) -> None:
    from rich.console import Console

    from sensam.infer.mapping import describe_job

    console = Console(highlight=False, soft_wrap=True)
    job = _job(vote, scene, out, settings, alone=True)
    console.print(describe_job(job))
    if dry_run:
        console.print(f"about {_clock(_expected(job, vote))} on {vote.device}, from the first tiles")
        return
    if job.is_done:
        console.print(f"{job.outputs[-1]} is there already (--overwrite makes it anew)")
        return
    made = job.complete(_run_shown(job, vote, console))
    console.print(f"wrote {', '.join(str(path) for path in made)}")


def _run_shown(job: "SceneJob", vote: "Vote", console: "Console") -> int:
    """With a bar where somebody is watching, else with one line as soon as the time can be told."""
    from rich.progress import Progress

    place = job.open()
    if place.is_resumed:
        console.print("going on with what an earlier run left")
    if place.thrown_away:
        console.print(place.thrown_away)
    done_before: list[int] = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("tiles", total=None)

        def progress(done: int, total: int, seconds: float) -> None:
            bar.update(task, completed=done, total=total)
            done_before.append(done - 1)
            if len(done_before) == TIMED_STEPS and not console.is_terminal:
                pace = seconds / (done - done_before[0])
                console.print(f"about {_clock(pace * (total - done))} to go, from the first tiles")

        return job.run(vote, progress=progress)


def _expected(job: "SceneJob", vote: "Vote") -> float:
    """Seconds for the whole scene, from predicting its first tiles."""
    import time

    import numpy as np

    steps = job.layout.steps()
    windows = steps[len(steps) // 2].windows
    seconds = 0.0
    for _ in range(TIMED_STEPS):
        began = time.perf_counter()
        vote(np.stack([job.scene.read(window, wraps=job.layout.wraps)[0] for window in windows]))
        seconds = time.perf_counter() - began
    return seconds * len(steps)


def _map_many(
    vote: "Vote",
    source: "ModelSource",
    scenes: "Sequence[str]",
    out: Path,
    settings: "MapSettings",
    engine: "Engine",
    workers: int,
    address: str | None,
    *,
    dry_run: bool,
) -> None:
    from sensam.infer.archive import Entry, Order, map_archive
    from sensam.infer.mapping import describe_job
    from sensam.infer.pools import open_pool
    from sensam.maps import fingerprint_of

    if dry_run:
        for scene in scenes:
            typer.echo(describe_job(_job(vote, scene, out, settings, alone=len(scenes) == 1)))
        return

    def report(entry: Entry, over: int, total: int) -> None:
        said = f"failed: {entry.error}" if entry.error else f"{entry.status}, {_clock(entry.seconds)} of work"
        noted = f"; {entry.note}" if entry.note else ""
        typer.echo(f"[{over}/{total}] {entry.scene}: {said}{noted}")

    order = Order(source, fingerprint_of(vote), settings)
    manifest = map_archive(order, scenes, out, open_pool(order, engine, workers, address), report)
    if manifest.failed:
        from sensam.errors import InputError

        raise InputError(
            f"{len(manifest.failed)} of {len(scenes)} scenes failed; {manifest.path} says why. "
            "Run the same again for those that are missing."
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
