"""A model in an ONNX file, as `sensam export` writes it: run by ONNX Runtime, without the code that trained it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sensam.errors import InputError, MissingExtraError, SettingsError, WeightsError
from sensam.infer.segmenter import Segmenter
from sensam.sensors import Sensor

KEY = "sensam"  # of the metadata that makes a file ours
BYTE = 255.0  # the graph takes stored numbers / 255, as the QGIS plugin Deepness feeds them
SMALLEST = 1e-30  # a probability of which a logarithm can be taken


def line_of(sensor: Sensor) -> tuple[list[float], list[float]]:
    """Gain and bias by which the graph makes its input (stored numbers / 255) normalised."""
    mean_C, std_C = (part.astype(np.float64) for part in sensor.statistics)
    scale_C, offset_C = np.array([band.scaling(None) for band in sensor.bands], np.float64).T
    return (BYTE * scale_C / std_C).tolist(), ((offset_C - mean_C) / std_C).tolist()


class OnnxNetwork(nn.Module):
    """Normalised pixels to logits, through a graph that takes stored numbers and answers probabilities."""

    def __init__(self, path: Path, session: Any, sensor: Sensor, multiple: int = 1) -> None:
        super().__init__()
        self.session = session
        self.multiple = multiple  # of which the sides of an image must be
        gain, bias = line_of(sensor)
        self.register_buffer("gain_C11", torch.tensor(gain, dtype=torch.float64)[:, None, None])
        self.register_buffer("bias_C11", torch.tensor(bias, dtype=torch.float64)[:, None, None])
        digest = hashlib.sha256(path.read_bytes()).digest()
        self.register_buffer("file", torch.frombuffer(bytearray(digest), dtype=torch.uint8))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        fed = ((image_BCHW.double() - self.get_buffer("bias_C11")) / self.get_buffer("gain_C11")).float()
        (name,) = (given.name for given in self.session.get_inputs())
        (probability,) = self.session.run(None, {name: fed.cpu().numpy()})
        return torch.from_numpy(probability).to(image_BCHW.device).clamp_min(SMALLEST).log()


def load_onnx(path: Path) -> Segmenter:
    """The model, and what its metadata says of sensor, classes and tiles."""
    session = open_session(path)
    facts = _facts(path, session.get_modelmeta().custom_metadata_map)
    sensor = Sensor.from_dict(facts["sensor"], where=f"sensor of {path}")
    _check_shapes(path, session, sensor, facts["classes"])
    return Segmenter(
        network=OnnxNetwork(path, session, sensor, facts["multiple"]),
        sensor=sensor,
        classes=tuple(facts["classes"]),
        colours=tuple((r, g, b) for r, g, b in facts["colours"]),
        size=facts["size"],
        ignore=facts["ignore"],
        name=facts["name"],
        takes_missing_bands=facts["takes_missing_bands"],
        resolution=facts["resolution"],
        fit=facts["fit"],
    )


def open_session(path: Path) -> Any:
    """ONNX Runtime over a file, on a GPU where it can."""
    try:
        import onnxruntime  # type: ignore[import-untyped]  # it ships no types
        from onnxruntime.capi import onnxruntime_pybind11_state as faults  # type: ignore[import-untyped]  # nor here
    except ImportError as error:
        raise MissingExtraError(f"Running {path}", "export") from error
    if not path.is_file():
        raise InputError(f"{path} does not exist. Make it with: sensam export MODEL --format onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except (
        faults.Fail,
        faults.InvalidArgument,  # an empty file
        faults.InvalidGraph,
        faults.InvalidProtobuf,
        faults.NotImplemented,
        RuntimeError,
    ) as error:
        reason = str(error).splitlines()[0][:200]
        raise WeightsError(
            f"{path} cannot be read as ONNX ({reason}). It may be cut short: export it again."
        ) from error


def _facts(path: Path, metadata: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        facts = json.loads(metadata[KEY])
        wanted = ("sensor", "classes", "colours", "size", "multiple", "ignore", "name", "takes_missing_bands")
        return {name: facts[name] for name in (*wanted, "resolution")} | {"fit": facts.get("fit", "crop")}
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{path} does not say what its bands and classes are, so it is not one of ours. "
            "Make it with: sensam export MODEL --format onnx"
        ) from error


def _check_shapes(path: Path, session: Any, sensor: Sensor, classes: Sequence[str]) -> None:
    """The graph must be the one that the metadata speaks of."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    bands = inputs[0].shape[1] if len(inputs) == 1 and len(inputs[0].shape) == 4 else None
    if bands != len(sensor.bands) or len(outputs) != 1:
        raise WeightsError(
            f"{path} takes {bands} bands, its metadata names {len(sensor.bands)}. Export the model again."
        )
    found = outputs[0].shape[1]
    if isinstance(found, int) and found != len(classes):
        raise WeightsError(
            f"{path} answers {found} classes, its metadata names {len(classes)}. Export the model again."
        )


def check_fixed_size(segmenter: Segmenter, side: int) -> None:
    """A graph that was exported for one size takes no other, and one for any size may take whole patches only."""
    if not isinstance(segmenter.network, OnnxNetwork):
        return
    rows = segmenter.network.session.get_inputs()[0].shape[2]
    if isinstance(rows, int) and rows != side:
        raise SettingsError(
            f"{segmenter.name} was exported for tiles of {rows} pixels. Leave --tile out, or give {rows}."
        )
    multiple = segmenter.network.multiple
    if side % multiple:
        raise SettingsError(
            f"{segmenter.name} takes tiles whose sides are multiples of {multiple} pixels, found {side}. "
            "Leave --tile out, or give such a number."
        )
