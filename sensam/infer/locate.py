"""What a scene on the command line is: a file, a folder or list of per-band files, a URL, a bucket, a STAC item."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from sensam.data.readers.stac import bands_of
from sensam.errors import InputError
from sensam.sensors import Sensor, name_key

Located = str | Mapping[str, str]  # one file, or files by the band that each holds

BUCKETS = {"s3://": "/vsis3/", "gs://": "/vsigs/", "az://": "/vsiaz/"}
BAND_FILES = {".tif", ".tiff", ".jp2", ".img", ".vrt"}
LARGEST_ITEM = 20_000_000  # bytes of JSON


def locate(scene: str, sensor: Sensor) -> Located:
    """The file or files of a scene, as the readers take them."""
    if "," in scene and not Path(scene).exists():
        parts = [part.strip() for part in scene.split(",") if part.strip()]
        return _by_label({Path(part).stem: _address(part) for part in parts}, parts)
    if not scene.strip():
        raise InputError("The name of a scene is empty. Give a file, a folder of bands, a URL or a STAC item.")
    path = Path(scene)
    try:
        if path.is_dir():
            return _folder(path)
        if not path.exists() and not is_remote(scene) and not scene.startswith("/vsi"):
            if path.is_symlink():
                raise InputError(f"{scene} is a link that leads nowhere. Give the file itself.")
            raise InputError(f"{scene} does not exist. Give a file, a folder of bands, a URL or a STAC item.")
    except OSError as error:  # a name that is too long, or links that lead to themselves
        raise InputError(f"{scene} cannot be read ({error.strerror}).") from error
    if path.suffix.lower() in {".json", ".geojson"}:
        return _item(path, sensor)
    return _address(scene)


def is_remote(scene: str) -> bool:
    """Whether reading goes over a network."""
    return scene.startswith(("http://", "https://", *BUCKETS, *BUCKETS.values(), "/vsicurl"))


def refuse_overwriting(source: Located, outputs: Sequence[Path]) -> None:
    """An error where a file to be written is one of the scene's own."""
    inputs = {os.path.realpath(path) for path in ([source] if isinstance(source, str) else source.values())}
    for path in outputs:
        if os.path.realpath(path) in inputs:
            raise InputError(f"{path} is the scene itself, which must stay as it is. Choose another place with -o.")


def title(scene: str) -> str:
    """What a scene's outputs are called."""
    first = scene.split(",")[0].rstrip("/")
    return PurePosixPath(first.split("?")[0].removeprefix("/vsicurl/")).stem or "scene"


def _address(text: str) -> str:
    if text.startswith(("http://", "https://")):
        return f"/vsicurl/{text}"
    for scheme, prefix in BUCKETS.items():
        if text.startswith(scheme):
            return prefix + text.removeprefix(scheme)
    return text


def _by_label(files: Mapping[str, str], given: list[str]) -> Located:
    if len(files) < len(given):
        raise InputError(f"{','.join(given)} names two files alike. Give every band's file its own name.")
    return files if len(files) > 1 else next(iter(files.values()))


def _folder(folder: Path) -> Located:
    """A folder holds one image a band; the part of each name that differs says which."""
    from sensam.data.readers.stack import label_files

    files = sorted(str(path) for path in folder.iterdir() if path.suffix.lower() in BAND_FILES)
    if not files:
        raise InputError(
            f"{folder} holds no image ({', '.join(sorted(BAND_FILES))}). Give a file or a folder of bands."
        )
    return dict(zip(label_files(files), files, strict=True)) if len(files) > 1 else files[0]


def _item(path: Path, sensor: Sensor) -> Located:
    """The assets of a STAC item that hold the sensor's bands: one with all of them, else one for each."""
    if path.stat().st_size > LARGEST_ITEM:
        raise InputError(f"{path} is too long for a STAC item. Give the item, not a catalogue.")
    try:
        item = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a STAC item ({error}).") from error
    if not isinstance(item, Mapping) or not isinstance(item.get("assets"), Mapping):
        raise InputError(f"{path} is no STAC item: it has no assets.")
    assets = {str(key): asset for key, asset in item["assets"].items() if isinstance(asset, Mapping)}
    named = {key: _names(key, asset) for key, asset in assets.items()}
    for key, names in named.items():
        if all(band.keys & names for band in sensor.bands):
            return _href(path, assets[key])
    single: dict[str, str] = {}
    for band in sensor.bands:
        holding = [key for key, names in named.items() if band.keys & names]
        if holding:
            single[band.name] = _href(path, assets[holding[0]])
    if not single:
        raise InputError(
            f"{path} has no asset with bands of {sensor.name} ({', '.join(sensor.band_names)}). "
            f"Its assets are {', '.join(sorted(assets))}."
        )
    return single if len(single) > 1 else next(iter(single.values()))


def _names(key: str, asset: Mapping[str, Any]) -> frozenset[str]:
    """Every name an asset's bands go by; an asset without bands goes by its key."""
    described = asset.get("eo:bands") or asset.get("bands") or ()
    names = {str(band.get("name", "")) for band in described if isinstance(band, Mapping)}
    facts = bands_of({"assets": {key: asset}}, PurePosixPath(str(asset.get("href", ""))).name) if described else ()
    names |= {fact.name for fact in facts} | ({key} if len(names) <= 1 else set())
    return frozenset(name_key(name) for name in names if name)


def _href(item: Path, asset: Mapping[str, Any]) -> str:
    href = str(asset.get("href", ""))
    if not href:
        raise InputError(f"{item} has an asset without href. Repair the item.")
    if is_remote(href) or href.startswith("/"):
        return _address(href)
    return str(item.parent / href.removeprefix("file://"))
