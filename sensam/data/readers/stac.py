"""Band names and wavelengths from a STAC item: `image.json` beside `image.tif`, or the only item of its folder.

Scale and offset of an item are not used: public catalogues state them for files in which they are applied already.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from sensam.data.readers.naming import BandFacts, to_nanometres
from sensam.errors import InputError

LARGEST_ITEM = 2_000_000  # bytes; anything longer beside an image is an annotation, not an item


def beside(path: str) -> tuple[BandFacts, ...]:
    """Facts of the bands of a local file, from the item that lies beside it; empty where there is none."""
    if "://" in path or path.startswith("/vsi"):
        return ()
    item = Path(path).with_suffix(".json")
    try:
        state = item.stat()
    except OSError:
        return ()
    if state.st_size > LARGEST_ITEM:
        return ()
    return _parse(str(item), state.st_mtime_ns, Path(path).name)


@lru_cache(maxsize=4096)
def _parse(item: str, _changed: int, name: str) -> tuple[BandFacts, ...]:
    try:
        content = json.loads(Path(item).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()  # some other program's JSON
    if not isinstance(content, Mapping) or "stac_version" not in content:
        return ()
    return bands_of(content, name)


def read_item(path: str | Path, name: str) -> tuple[BandFacts, ...]:
    """Facts of the bands of the file called `name`, from an item given by the user."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a STAC item ({error}).") from error
    if not isinstance(content, Mapping) or "assets" not in content:
        raise InputError(f"{path} is no STAC item: it has no assets.")
    facts = bands_of(content, name)
    if not facts:
        files = sorted(PurePosixPath(str(asset.get("href", ""))).name for asset in content["assets"].values())
        raise InputError(f"{path} describes no bands of {name}. Its assets are {', '.join(files)}.")
    return facts


def bands_of(item: Mapping[str, Any], name: str) -> tuple[BandFacts, ...]:
    """Bands of the asset whose address ends in `name`, or of the only asset that has bands."""
    assets = [asset for asset in item.get("assets", {}).values() if isinstance(asset, Mapping)]
    described = [(asset, _bands(asset)) for asset in assets]
    described = [(asset, bands) for asset, bands in described if bands]
    fitting = [bands for asset, bands in described if PurePosixPath(str(asset.get("href", ""))).name == name]
    if not fitting and len(described) == 1:
        fitting = [described[0][1]]
    return tuple(_facts(band) for band in fitting[0]) if fitting else ()


def _bands(asset: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    bands = asset.get("eo:bands") or asset.get("bands") or ()
    return [band for band in bands if isinstance(band, Mapping)]


def _facts(band: Mapping[str, Any]) -> BandFacts:
    name = band.get("name") or band.get("eo:common_name") or band.get("common_name") or ""
    length = band.get("eo:center_wavelength", band.get("center_wavelength"))
    return BandFacts(str(name), None if length is None else to_nanometres(length, "um"))
