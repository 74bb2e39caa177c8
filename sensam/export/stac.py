"""A model described as a STAC item with the Machine Learning Model extension, for catalogues of models."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sensam.files import write_text
from sensam.infer.segmenter import Segmenter
from sensam.version import __version__

MLM = "https://stac-extensions.github.io/mlm/v1.4.0/schema.json"
EO = "https://stac-extensions.github.io/eo/v2.0.0/schema.json"
CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
TASK = "semantic-segmentation"
FILE = "stac-item.json"


def item_beside(export: Path) -> Path:
    """Where the item of an export lies: one folder may hold several, `model.onnx` and `model.pt2`."""
    return export.with_name(f"{export.name}.{FILE}")


def write_item(segmenter: Segmenter, path: Path, assets: dict[str, Path], *, side: int) -> Path:
    """The item, beside the files it speaks of."""
    write_text(path, json.dumps(model_item(segmenter, assets, side=side), indent=2) + "\n")
    return path


def model_item(segmenter: Segmenter, assets: dict[str, Path], *, side: int) -> dict[str, Any]:
    """Bands, statistics, shapes and classes, as the extension names them."""
    bands = [_band(band) for band in segmenter.sensor.bands]
    wavelengths = [EO] if any("eo:center_wavelength" in band for band in bands) else []
    ground = {} if segmenter.resolution is None else {"gsd": segmenter.resolution}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [MLM, CLASSIFICATION, PROCESSING, *wavelengths],
        "id": _slug(f"{segmenter.name}-{segmenter.sensor.name}-{segmenter.fingerprint}"),
        "geometry": None,
        "properties": {
            "datetime": None,
            "start_datetime": "1970-01-01T00:00:00Z",
            "end_datetime": "9999-12-31T23:59:59Z",
            "created": now,
            "mlm:name": _slug(f"sensam-{segmenter.name}"),
            "mlm:architecture": "Segment Anything",
            "mlm:tasks": [TASK],
            "mlm:framework": "ONNX" if any(path.suffix == ".onnx" for path in assets.values()) else "PyTorch",
            "mlm:total_parameters": sum(weight.numel() for weight in segmenter.network.parameters()),
            "mlm:input": [_input(segmenter, side)],
            "mlm:output": [_output(segmenter, side)],
            "bands": bands,
            **ground,
            "processing:software": {"sensam": __version__},
        },
        "links": [],
        "assets": {name: _asset(path) for name, path in assets.items()},
    }


def _input(segmenter: Segmenter, side: int) -> dict[str, Any]:
    mean_C, std_C = segmenter.sensor.statistics
    pairs = zip(mean_C.tolist(), std_C.tolist(), strict=True)
    return {
        "name": "image",
        "bands": list(segmenter.sensor.band_names),
        "input": {
            "shape": [-1, len(segmenter.sensor.bands), side, side],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": [{"type": "z-score", "mean": mean, "stddev": std} for mean, std in pairs],
        "resize_type": None,
        "pre_processing_function": None,
    }


def _output(segmenter: Segmenter, side: int) -> dict[str, Any]:
    classes = zip(segmenter.classes, segmenter.colours, strict=True)
    return {
        "name": "classes",
        "tasks": [TASK],
        "result": {
            "shape": [-1, len(segmenter.classes), side, side],
            "dim_order": ["batch", "classes", "height", "width"],
            "data_type": "float32",
        },
        "classification:classes": [
            {"value": number, "name": _slug(name), "title": name, "color_hint": f"{red:02X}{green:02X}{blue:02X}"}
            for number, (name, (red, green, blue)) in enumerate(classes)
        ],
        "post_processing_function": None,
    }


def _band(band: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": band.name}
    if band.title:
        facts["description"] = band.title
    if band.wavelength_nm is not None:
        facts["eo:center_wavelength"] = band.wavelength_nm / 1000
    return facts


def _asset(path: Path) -> dict[str, Any]:
    kinds = {".onnx": "application/octet-stream; framework=onnx", ".json": "application/json"}
    facts = {"href": f"./{path.name}", "type": kinds.get(path.suffix, "application/octet-stream")}
    made_by = {".onnx": "onnx", ".pt2": "torch.export.save", ".safetensors": "safetensors"}
    if path.suffix not in made_by:
        return facts | {"roles": ["metadata"]}
    return facts | {"roles": ["mlm:model"], "mlm:artifact_type": made_by[path.suffix]}


def _slug(text: str) -> str:
    """The extensions' names are of letters, digits, hyphens and underscores."""
    return re.sub(r"[^0-9A-Za-z]+", "-", text).strip("-") or "unnamed"
