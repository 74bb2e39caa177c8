#!/usr/bin/env python
"""Draw the pictures of docs/scenes.md, or print its numbers: tables of one-band thresholds, band statistics.

Example: .venv/bin/python scripts/scene_pictures.py --only seafog
"""

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import typer
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image

from sensam.data.synthetic import FAMILIES, ClassInfo, Family, Scene, family
from sensam.data.synthetic.difficulty import one_band_table
from sensam.data.synthetic.modality import polarization, stokes
from sensam.data.synthetic.panorama import PANORAMA, PERSPECTIVE
from sensam.data.synthetic.seafog import FOG, HIGH_CLOUD, LOW_CLOUD

matplotlib.use("Agg")
PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
SEED = 7
LARGEST_BYTES = 390_000
SQUARE = (128, 128)
ALL = (
    "seafog",
    "drive",
    "sar",
    "sar:dual",
    *(f"modality:{name}" for name in FAMILIES["modality"].variants),
    "panorama",
)
Plane = NDArray[np.float32]


def main(
    only: str = typer.Option("", help="Draw this family only."),
    table: bool = typer.Option(False, help="Print the best one-band thresholds instead of drawing."),
    statistics: bool = typer.Option(False, help="Print mean and standard deviation of every band instead."),
    scenes: int = typer.Option(60, help="How many scenes the numbers come from."),
) -> None:
    """Draw the pictures of docs/scenes.md.

    Example: scene_pictures.py --only seafog
    """
    chosen = [name for name in ALL if not only or name.split(":")[0] == only]
    if not chosen:
        raise typer.BadParameter(f"there is no family {only!r}: take one of {', '.join(FAMILIES)}")
    if table:
        for name in chosen:
            print_table(family(name), scenes)
    elif statistics:
        for name in chosen:
            print_statistics(family(name), scenes)
    else:
        PICTURES.mkdir(parents=True, exist_ok=True)
        for name, draw in DRAWINGS.items():
            if not only or name == only:
                save(draw(), name)


def print_table(of: Family, count: int) -> None:
    """Share of pixels and best IoU of an interval of one band, per class, as Markdown."""
    made = [of.make(SEED, index, (96, 144)) for index in range(count)]
    labels = np.concatenate([scene.label_HW.ravel() for scene in made])
    found = one_band_table(made, len(of.classes))
    print(f"\n{of.name}: {count} scenes of 96 x 144\n")
    print("| class | share of pixels | best IoU of one band | band |\n|---|---|---|---|")
    for k, entry in enumerate(of.classes):
        best = int(np.argmax(found[k]))
        share = (labels == k).sum() / (labels != 255).sum()
        print(f"| {entry.name} | {100 * share:.1f} % | {found[k, best]:.2f} | {of.sensor.band_names[best]} |")


def print_statistics(of: Family, count: int) -> None:
    """Mean and standard deviation of the valid pixels of every band, all domains in turn."""
    made = [of.make(SEED, index, (96, 144), domain=of.domains[index % len(of.domains)]) for index in range(count)]
    for band, name in enumerate(of.sensor.band_names):
        values = np.concatenate([s.raster.pixels_CHW[band][s.raster.valid_CHW[band]] for s in made]).astype(np.float64)
        print(f"{of.name} {name}: ({values.mean():.4g}, {values.std():.4g})")


def draw_seafog() -> Figure:
    """Natural colours, a window band, the two telling differences, the label."""
    of = family("seafog")
    made = [of.make(SEED, index, SQUARE) for index in range(80)]
    shares = [np.bincount(scene.label_HW.ravel(), minlength=5) / scene.label_HW.size for scene in made]
    both = [i for i, s in enumerate(shares) if s[FOG] > 0.07 and s[LOW_CLOUD] > 0.1 and s[HIGH_CLOUD] < 0.05]
    ice = [i for i, s in enumerate(shares) if s[FOG] > 0.05 and s[HIGH_CLOUD] > 0.12 and i not in both[:2]]
    clear = [i for i, s in enumerate(shares) if s[FOG] == 0 and s[LOW_CLOUD] > 0.25 and s[HIGH_CLOUD] < 0.05]
    rows = [made[i] for i in (both[0], both[1], ice[0], clear[0])]
    figure, axes = grid(len(rows), 5, SQUARE, width=15, legend=of.classes)
    names = ("1.6, 0.86, 0.64 um", "10.4 um [K]", "3.9 - 10.4 um [K]", "10.4 - 13.3 um [K]", "label")
    for line, scene in zip(axes, rows, strict=True):
        b = dict(zip(scene.raster.bands, scene.raster.pixels_CHW, strict=True))
        sun = np.cos(np.radians(float(scene.meta["sun_zenith_deg"])))
        line[0].imshow(np.clip(np.stack([b["B05"], b["B04"], b["B03"]], -1) / sun / 0.75, 0, 1) ** (1 / 1.5))
        line[0].set_ylabel(
            f"sea {float(scene.meta['sea_k']):.0f} K, sun {scene.meta['sun_zenith_deg']:.0f}° off zenith"
        )
        shown(line[1], b["B13"], "gray_r", percentiles(b["B13"]))
        shown(line[2], b["B07"] - b["B13"], "magma", percentiles(b["B07"] - b["B13"]))
        shown(line[3], b["B13"] - b["B16"], "viridis", percentiles(b["B13"] - b["B16"]))
        labelled(line[4], scene, of)
    titled(axes[0], names)
    return figure


def draw_drive() -> Figure:
    """The same kind of street by day, at dusk and at night: colour, depth, label."""
    of = family("drive")
    picked = (("daytime", 4), ("daytime", 7), ("dawn/dusk", 5), ("night", 4))
    made = [of.make(SEED, index, (192, 320), domain=domain) for domain, index in picked]
    return street_figure(of, made, [scene.domain for scene in made], (192, 320), width=16)


def draw_panorama() -> Figure:
    """Panoramas above, the labelled pinhole pictures they are to be learnt from below."""
    of = family("panorama")
    size = (192, 384)
    made = [of.make(SEED, index, size, domain=PANORAMA) for index in (13, 0)]
    made += [of.make(SEED, index, size, domain=PERSPECTIVE) for index in (0, 4)]
    titles = [f"{s.domain}, {float(s.meta['fov_deg']):.0f}° across" for s in made]
    return street_figure(of, made, titles, size, width=18)


def street_figure(of: Family, made: list[Scene], titles: list[str], size: tuple[int, int], *, width: float) -> Figure:
    """Colour, depth and label of some scenes, a column for each."""
    figure, axes = grid(3, len(made), size, width=width, legend=of.classes)
    for column, scene in zip(axes.T, made, strict=True):
        column[0].imshow(colour(scene))
        depth = np.where(scene.raster.valid_CHW[3], scene.raster.pixels_CHW[3], np.nan)
        shown(
            column[1],
            np.log10(depth),
            "cividis_r",
            (0.0, np.log10(50)),
            ticks={1: "1", 2: "2", 5: "5", 10: "10", 25: "25", 50: "50"},
        )
        labelled(column[2], scene, of)
    titled(axes[0], titles)
    for axis, name in zip(axes[:, 0], ("colour", "depth [m]; white: no return", "label"), strict=True):
        axis.set_ylabel(name)
    return figure


def draw_sar() -> Figure:
    """VV, both bands as colours, and the label, of three landscapes and an edge of the swath."""
    two = family("sar:dual")
    size = SQUARE
    edge = next(i for i in range(90) if not two.make(SEED, i, size, domain="rural").raster.valid_CHW.all())
    picked = (("urban", 1), ("rural", 5), ("wetland", 0), ("rural", edge))
    made = [two.make(SEED, index, size, domain=domain) for domain, index in picked]
    figure, axes = grid(3, len(made), size, width=14, legend=two.classes)
    for column, scene in zip(axes.T, made, strict=True):
        vv, vh = (np.where(v, p, np.nan) for p, v in zip(scene.raster.pixels_CHW, scene.raster.valid_CHW, strict=True))
        shown(column[0], 20 * np.log10(vv), "gray", (-24, 2))
        column[1].imshow(
            np.nan_to_num(np.clip(np.stack([vv / 0.8, vh / 0.4, vv / (vh + 0.02) / 7], -1), 0, 1) ** 0.7, nan=1)
        )
        labelled(column[2], scene, two)
    titled(axes[0], [f"{s.domain}, {s.meta['looks']} looks, {float(s.meta['incidence_deg']):.0f}°" for s in made])
    for axis, name in zip(axes[:, 0], ("VV [dB]", "red VV, green VH, blue VV/VH", "label"), strict=True):
        axis.set_ylabel(name)
    return figure


def draw_modality() -> Figure:
    """What the eye sees, what the other instrument measures, and what is labelled."""
    size = (160, 200)
    figure, axes = grid(3, 5, size, width=16)
    for line, (variant, of) in zip(axes, FAMILIES["modality"].variants.items(), strict=True):
        scene = of.make(SEED, 3, size)
        line[0].imshow(colour(scene))
        line[0].set_ylabel(variant)
        other = scene.raster.pixels_CHW[3:]
        if variant == "polarization":
            degree, angle = polarization(stokes(other))
            views = ((degree, "magma", (0.0, 0.5), "degree"), (angle, "twilight", (0.0, 180.0), "angle [°]"))
        else:
            plane = np.where(scene.raster.valid_CHW[3], other[0], np.nan)
            unit = "K" if variant == "thermal" else "m"
            rest = plane - background_of(other[0])
            views = (
                (plane, "inferno" if unit == "K" else "cividis_r", percentiles(plane), f"measured [{unit}]"),
                (rest, "coolwarm", symmetric(rest), f"less its surroundings [{unit}]"),
            )
        for axis, (values, palette, limits, name) in zip(line[1:3], views, strict=True):
            shown(axis, values, palette, limits)
            axis.set_title(name, fontsize=10)
        labelled(line[3], scene, of)
        handles = [Patch(color=entry.colour, label=entry.name) for entry in of.classes]
        line[3].legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, fontsize=8, frameon=False
        )
        instances = np.ma.masked_equal(scene.instances_HW % 20 + (scene.instances_HW > 0), 0)
        line[4].imshow(instances, cmap="tab20", interpolation="nearest")
    titled(axes[0], ("colour", None, None, "label", "instances"))
    return figure


def background_of(plane: Plane) -> Plane:
    """The smooth surface behind the objects: a plane fitted by medians, then a wide average."""
    row, column = np.mgrid[-1 : 1 : plane.shape[0] * 1j, -1 : 1 : plane.shape[1] * 1j]
    design = np.stack([np.ones(plane.size), row.ravel(), column.ravel()], axis=1)
    seen = (plane > 0).ravel()
    for _ in range(4):
        fit, *_ = np.linalg.lstsq(design[seen], plane.ravel()[seen], rcond=None)
        rest = plane.ravel() - design @ fit
        seen = (plane > 0).ravel() & (np.abs(rest) < 1.5 * np.median(np.abs(rest[seen])))
    return np.asarray((design @ fit).reshape(plane.shape), np.float32)


def grid(
    rows: int, columns: int, size: tuple[int, int], *, width: float, legend: tuple[ClassInfo, ...] = ()
) -> tuple[Figure, NDArray[np.object_]]:
    """Empty frames on white, with the classes below."""
    height = 0.92 * width / columns * size[0] / size[1] * rows + 0.8
    figure, axes = pyplot.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained", dpi=80)
    figure.patch.set_facecolor("white")
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_color("#bbbbbb")
    if legend:
        handles = [Patch(facecolor=entry.colour, edgecolor="#888888", label=entry.name) for entry in legend]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(legend), frameon=False, fontsize=11)
    return figure, axes


def shown(
    axis: Axes, values: Plane, palette: str, limits: tuple[float, float], ticks: dict[float, str] | None = None
) -> None:
    """One quantity with its scale; white where there is none."""
    colours = matplotlib.colormaps[palette].with_extremes(bad="white")
    image = axis.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    bar = axis.figure.colorbar(image, cax=axis.inset_axes((1.015, 0, 0.03, 1)))
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    if ticks:
        bar.set_ticks(np.log10(list(ticks)), labels=list(ticks.values()))


def labelled(axis: Axes, scene: Scene, of: Family) -> None:
    """The label in the colours of its classes, white where nothing was observed."""
    colours = ListedColormap([entry.colour for entry in of.classes])
    label = np.ma.masked_equal(scene.label_HW, 255)
    axis.imshow(label, cmap=colours, vmin=-0.5, vmax=len(of.classes) - 0.5, interpolation="nearest")


def titled(axes: NDArray[np.object_], names: "list[str] | tuple[str | None, ...]") -> None:
    for axis, name in zip(axes, names, strict=True):
        if name is not None:
            axis.set_title(name, fontsize=11)


def colour(scene: Scene) -> NDArray[np.uint8]:
    return scene.raster.pixels_CHW[:3].transpose(1, 2, 0).astype(np.uint8)


def percentiles(values: Plane) -> tuple[float, float]:
    low, high = np.nanpercentile(values, [1, 99])
    return float(low), float(high)


def symmetric(values: Plane) -> tuple[float, float]:
    reach = float(np.nanpercentile(np.abs(values), 98.5))
    return -reach, reach


def save(figure: Figure, name: str) -> None:
    """As a PNG below the limit: pictures travel with the repository."""
    path = PICTURES / f"scenes-{name}.png"
    figure.canvas.draw()
    drawn = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])
    for step in (1, 4, 8, 12, 16):  # coarser shades until it is small: sensor noise does not compress
        drawn.point([min(round(value / step) * step, 255) for value in range(256)] * 3).save(path, optimize=True)
        if path.stat().st_size < LARGEST_BYTES:
            break
    pyplot.close(figure)
    typer.echo(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, shades in steps of {step}")


DRAWINGS: dict[str, Callable[[], Figure]] = {
    "seafog": draw_seafog,
    "drive": draw_drive,
    "sar": draw_sar,
    "modality": draw_modality,
    "panorama": draw_panorama,
}

if __name__ == "__main__":
    typer.run(main)
