"""A model folder as a hub takes it: config, weights, a model card that states what is known, a STAC item."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sensam.errors import InputError
from sensam.export.stac import FILE, write_item
from sensam.files import together, write_text
from sensam.infer.segmenter import Segmenter

CARD = "README.md"
FILES = ("config.json", "model.safetensors")


def export_hub(folder: Path, out: Path, segmenter: Segmenter, config: Mapping[str, Any]) -> list[Path]:
    """Copy the model and write what describes it. `sensam predict OUT scene.tif` and `sensam.load(OUT)` read it."""
    if out.resolve() == folder.resolve():
        raise InputError(f"{out} is the model itself. Choose another folder with -o.")
    out.mkdir(parents=True, exist_ok=True)
    with together(out, *FILES) as unfinished:
        for name in FILES:
            shutil.copyfile(folder / name, unfinished / name)
    write_text(out / CARD, card(segmenter, config))
    assets = {name.split(".")[0]: out / name for name in FILES}
    item = write_item(segmenter, out / FILE, assets, side=segmenter.size)
    return [*(out / name for name in FILES), out / CARD, item]


def card(segmenter: Segmenter, config: Mapping[str, Any]) -> str:
    """What the files themselves say; nothing that nobody measured."""
    head = {
        "library_name": "sensam",
        "pipeline_tag": "image-segmentation",
        "tags": ["remote-sensing", "segment-anything", "multispectral", segmenter.sensor.name],
    }
    bands = "\n".join(
        f"| {band.name} | {band.title or '-'} | {'-' if band.wavelength_nm is None else f'{band.wavelength_nm:g}'} "
        f"| {band.unit or '-'} | {band.mean:g} | {band.std:g} |"
        for band in segmenter.sensor.bands
    )
    classes = "\n".join(f"{number}. {name}" for number, name in enumerate(segmenter.classes))
    results = config.get("results") or {}
    measured = "\n".join(f"- {name}: {value}" for name, value in results.items()) or "None are recorded in the model."
    base = (config.get("base") or {}).get("source")
    return f"""---
{yaml.safe_dump(head, sort_keys=False).strip()}
---

# {segmenter.name} for {segmenter.sensor.title or segmenter.sensor.name}

Class maps from {len(segmenter.sensor.bands)} bands, by the method `{config.get("method", segmenter.name)}` of sensam
{config.get("sensam", "")}{f", on the SAM `{base}`" if base else ""}. Trained on windows of {segmenter.size} pixels.

```sh
sensam predict THIS_FOLDER scene.tif -o maps
```

| band | what | nm | unit | mean | deviation |
|---|---|---|---|---|---|
{bands}

Classes, by their number in the map ({segmenter.ignore} is no data):

{classes}

Results:

{measured}
"""
