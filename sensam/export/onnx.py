"""A model as one ONNX file that carries its sensor, statistics and classes, and that QGIS's Deepness can run."""

import json
import logging
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from torch.export import Dim

from sensam.errors import MissingExtraError, SettingsError
from sensam.export.any_size import any_size as render_any_size
from sensam.export.any_size import multiple
from sensam.export.graph import TOLERANCE, Graph
from sensam.files import whole
from sensam.infer.onnx_network import KEY, load_onnx
from sensam.infer.segmenter import Segmenter

OVERLAP_PERCENT = 12  # an eighth of a tile, as `sensam predict` takes
CENTIMETRES = 100
MOST_STEPS = 4096  # of a graph for any size, along a side: patches of the network, or pixels
DEPENDS_ON_SIZE = (
    "This network cannot be exported for any size: its code depends on the size of the image. "
    "Leave --any-size out; scenes of any size are cut into tiles anyway."
)


def export_onnx(segmenter: Segmenter, path: Path, *, side: int, any_size: bool = False, int8: bool = False) -> Path:
    """Write the file, whole or not at all. Batches are of any size; tiles have `side` pixels.

    With `any_size` tiles of any size are taken (multiples of the patch by a SAM), and checked at three. A network whose
    own code branches on the size of the image is refused.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - the exporter needs it and would fail late
    except ImportError as error:
        raise MissingExtraError("Exporting to ONNX", "export") from error
    step = multiple(segmenter.network) if any_size else 1
    side = -(-side // step) * step
    graph = Graph(segmenter, render=render_any_size if any_size else None).eval().cpu()
    example = torch.zeros(2, len(segmenter.sensor.bands), side, side)
    free: dict[int, Any] = {0: Dim("batch")}
    if any_size:
        free |= {axis: _any_multiple(step, name) for axis, name in ((2, "height"), (3, "width"))}
        example = torch.nn.functional.pad(example, (0, step))  # lest a tracer takes it that images are square
    program = _traced(graph, example, free, any_size=any_size)
    model = program.model_proto
    for key, value in metadata(segmenter, side, step).items():
        model.metadata_props.add(key=key, value=value)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        onnx.save(model, unfinished, format="protobuf")  # whatever the ending
        if any_size and not _takes_any_size(segmenter, unfinished, side, step):
            raise SettingsError(DEPENDS_ON_SIZE)
        if int8:
            _make_int8(unfinished)
    return path


def _any_multiple(step: int, name: str) -> Any:
    if step == 1:
        return Dim(name, min=8, max=MOST_STEPS)
    return step * Dim(f"{name}_in_patches", min=2, max=MOST_STEPS)


def metadata(segmenter: Segmenter, side: int, step: int = 1) -> dict[str, str]:
    """Ours under one key; besides, the keys that Deepness reads, each value as JSON."""
    ours = {
        "sensor": segmenter.sensor.to_dict(),
        "classes": list(segmenter.classes),
        "colours": [list(colour) for colour in segmenter.colours],
        "size": side,
        "multiple": step,
        "ignore": segmenter.ignore,
        "name": segmenter.name,
        "takes_missing_bands": segmenter.takes_missing_bands,
        "resolution": segmenter.resolution,
        "fit": segmenter.fit,
    }
    deepness: dict[str, Any] = {
        "model_type": "Segmentor",
        "class_names": {str(number): name for number, name in enumerate(segmenter.classes)},
        "tiles_size": side,
        "tiles_overlap": OVERLAP_PERCENT,
        "seg_thresh": 0.0,
        "standardization_mean": [0.0] * len(segmenter.sensor.bands),  # the scaling is in the graph
        "standardization_std": [1.0] * len(segmenter.sensor.bands),
    }
    if segmenter.resolution is not None:
        deepness["resolution"] = segmenter.resolution * CENTIMETRES
    return {KEY: json.dumps(ours)} | {key: json.dumps(value) for key, value in deepness.items()}


def _traced(graph: Graph, example: torch.Tensor, free: dict[int, Any], *, any_size: bool) -> Any:
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with catch_warnings(), torch.no_grad():
            simplefilter("ignore")  # of the exporter's own making, about things a user cannot change
            return torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                dynamic_shapes=(free,),
                input_names=["image"],
                output_names=["probabilities"],
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
        if any_size:
            raise SettingsError(DEPENDS_ON_SIZE) from error
        reason = str(error).strip().splitlines()[0]
        raise SettingsError(f"This network cannot be exported to ONNX ({reason}).") from error
    finally:
        quiet.setLevel(level)


@torch.no_grad()
def _takes_any_size(segmenter: Segmenter, path: Path, side: int, step: int) -> bool:
    """Whether the file computes what the model computes, smaller and larger than the image it was traced with."""
    from onnxruntime.capi import onnxruntime_pybind11_state as faults  # type: ignore[import-untyped]  # ships no types

    exported = load_onnx(path)
    random = torch.Generator().manual_seed(0)
    bands = len(segmenter.sensor.bands)
    half = max(8, side // 2 // step * step, 2 * step)
    for batch, rows, columns in ((1, side + 3 * step, side), (3, half, half + step), (1, side, side + half)):
        image = torch.randn(batch, bands, rows, columns, generator=random)
        try:
            found = exported.logits(image).softmax(1)
        except (faults.Fail, faults.InvalidArgument, faults.RuntimeException):
            return False
        wanted = segmenter.logits(image).softmax(1)
        if found.shape != wanted.shape or not (found - wanted).abs().max() <= TOLERANCE:
            return False
    return True


def _make_int8(path: Path) -> None:
    """Weights of linear layers as 8-bit numbers, activations made so while running: needs no sample data."""
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]  # ships no types
    except ImportError as error:
        raise MissingExtraError("Exporting 8-bit weights", "export") from error
    with catch_warnings():
        simplefilter("ignore")
        quantize_dynamic(path, path, op_types_to_quantize=["MatMul", "Gemm"], weight_type=QuantType.QInt8)
