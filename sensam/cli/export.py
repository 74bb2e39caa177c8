"""`sensam export`: a trained model for other programs, checked against the model before it is kept."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sensam.infer.segmenter import Segmenter
    from sensam.run.model import Model

FORMATS = ("onnx", "torch", "hf")
PLACES = {"onnx": "model.onnx", "torch": "model.pt2", "hf": "model-card", "split": "split"}  # without --out


def export(
    model: Annotated[str, typer.Argument(help="A model folder, the folder of its run, or a hub id.")],
    format: Annotated[
        str, typer.Option("--format", "-f", help="onnx, torch (torch.export) or hf (hub folder).")
    ] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A file; a folder for hf and --split.", show_default="model.onnx, ..."),
    ] = None,
    scene: Annotated[list[str] | None, typer.Option(help="A scene to compare on; may be repeated.")] = None,
    tile: Annotated[int | None, typer.Option(help="Pixels on a side.", show_default="as trained")] = None,
    any_size: Annotated[
        bool, typer.Option("--any-size", help="Images of any size, in whole patches of the SAM.")
    ] = False,
    int8: Annotated[bool, typer.Option("--int8", help="8-bit weights; prints what that costs.")] = False,
    tolerance: Annotated[
        float | None, typer.Option(help="Largest difference of a probability.", show_default="0.001; none with --int8")
    ] = None,
    split: Annotated[bool, typer.Option("--split", help="SAM's encoder and decoder, for clicks.")] = False,
    base: Annotated[str | None, typer.Option(help="Where the SAM lies that the model sits on.")] = None,
) -> None:
    """Export a model: ONNX with its scaling inside (ONNX Runtime, QGIS's Deepness), torch.export, or a hub folder.

    Example: [bold]sensam export runs/mine --format onnx -o mine.onnx --scene scene.tif[/bold]
    """
    from sensam.errors import SettingsError, unknown

    if format not in FORMATS:
        raise unknown("--format", format, FORMATS)
    if format != "onnx" and (int8 or any_size or split):
        raise SettingsError("--int8, --any-size and --split belong to --format onnx.")
    from sensam.export.hub import CARD
    from sensam.export.split import ENCODER
    from sensam.files import try_place
    from sensam.run.model import load

    path = out or Path(PLACES["split" if split else format])
    try_place(path / ENCODER if split else path / CARD if format == "hf" else path)
    found = load(model, base=base)
    side = found.segmenter.size if tile is None else tile
    if side < 1:
        raise SettingsError(f"Tiles of {side} pixels make no sense. Give at least 1.")
    if format == "hf":
        _export_hub(found, model, path)
    elif split:
        _export_split(found, path, side, 1e-3 if tolerance is None else tolerance)
    else:
        limit = tolerance if tolerance is not None else None if int8 else 1e-3
        _export_graph(found.segmenter, format, path, side, scene or [], any_size=any_size, int8=int8, tolerance=limit)


def _export_graph(
    segmenter: "Segmenter",
    format: str,
    path: Path,
    side: int,
    scenes: list[str],
    *,
    any_size: bool,
    int8: bool,
    tolerance: float | None,
) -> None:
    from sensam.export.graph import compare, refuse_beyond, sample_tiles
    from sensam.export.stac import item_beside, write_item
    from sensam.files import whole

    segmenter.check_weights()
    tiles, are_real = sample_tiles(segmenter, scenes, side)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as made:  # an export that fails leaves the one made before
        if format == "onnx":
            from sensam.export.onnx import export_onnx
            from sensam.infer.onnx_network import load_onnx

            export_onnx(segmenter, made, side=side, any_size=any_size, int8=int8)
            exported = load_onnx(made)
        else:
            from sensam.export.program import export_program, read_program

            export_program(segmenter, made, side=side)
            exported = read_program(made, segmenter)
        difference = compare(segmenter, exported, tiles, are_real=are_real)
        typer.echo(str(difference))
        if tolerance is not None:
            refuse_beyond(difference, tolerance, path)
    item = write_item(segmenter, item_beside(path), {"model": path}, side=side)
    typer.echo(f"wrote {path} ({path.stat().st_size / 2**20:.1f} MiB) and {item.name}")


def _export_split(found: "Model", folder: Path, side: int, tolerance: float) -> None:
    from sensam.errors import SettingsError
    from sensam.export.graph import ToleranceError
    from sensam.export.split import DECODER, ENCODER, export_split
    from sensam.files import together

    sam = found.method.promptable()
    if sam is None:
        raise SettingsError(f"{found.segmenter.name} answers class maps, not clicks: leave --split out.")
    folder.mkdir(parents=True, exist_ok=True)
    with together(folder, ENCODER, DECODER) as unfinished:
        *_, largest = export_split(sam, found.sensor, unfinished, side=side)
        typer.echo(f"largest difference of a logit: {largest:.2e}")
        if not largest <= tolerance:
            raise ToleranceError(
                f"The exported halves differ from the model by {largest:.2e} at most, more than {tolerance:g}; they "
                "were thrown away. Raise --tolerance only if you know why."
            )
    typer.echo(f"wrote {folder / ENCODER} (once an image) and {folder / DECODER} (once a click)")


def _export_hub(found: "Model", source: str, out: Path) -> None:
    from sensam.export.hub import export_hub
    from sensam.methods.folder import find_model

    made = export_hub(find_model(source), out, found.segmenter, found.config)
    typer.echo(f"wrote {', '.join(str(path) for path in made)}")
    typer.echo(f"next: hf upload YOUR_NAME/{out.name} {out}")
