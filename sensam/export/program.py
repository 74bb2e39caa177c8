"""A model as a torch.export program: runs in PyTorch and ExecuTorch without the code that defines it."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch.export import Dim

from sensam.errors import SettingsError
from sensam.export.graph import Graph
from sensam.export.onnx import metadata
from sensam.files import whole
from sensam.infer.onnx_network import KEY
from sensam.infer.segmenter import Segmenter

EXTRA = f"{KEY}.json"  # what travels inside the file


def export_program(segmenter: Segmenter, path: Path, *, side: int) -> Path:
    """Write the .pt2, whole or not at all; it takes batches of any size."""
    graph = Graph(segmenter).eval().cpu()
    example = torch.zeros(2, len(segmenter.sensor.bands), side, side)
    try:
        with torch.no_grad():
            program = torch.export.export(graph, (example,), dynamic_shapes=({0: Dim("batch")},))
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SettingsError(f"This network cannot be exported with torch.export ({reason}).") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    # As a stream: torch complains of a name that does not end in .pt2.
    with whole(path) as unfinished, unfinished.open("wb") as file:
        torch.export.save(program, file, extra_files={EXTRA: json.dumps(metadata(segmenter, side))})
    return path


class ProgramNetwork(torch.nn.Module):
    """Normalised pixels to logits through an exported graph, to compare the two."""

    def __init__(self, graph: torch.nn.Module, original: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.register_buffer("gain_C11", original.get_buffer("gain_C11"))
        self.register_buffer("bias_C11", original.get_buffer("bias_C11"))

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        stored = (image_BCHW - self.get_buffer("bias_C11")) / self.get_buffer("gain_C11")
        return self.graph(stored).clamp_min(1e-30).log()


def read_program(path: Path, original: Segmenter) -> Segmenter:
    """What was just written, in the original's place."""
    program = torch.export.load(path)
    return replace(original, network=ProgramNetwork(program.module(), Graph(original)))
