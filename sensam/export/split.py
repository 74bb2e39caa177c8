"""SAM in two ONNX files: the encoder runs once an image, the decoder once a click."""

import json
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor, nn
from torch.export import Dim

from sensam.errors import MissingExtraError
from sensam.export.graph import portable
from sensam.files import whole
from sensam.infer.onnx_network import KEY, open_session
from sensam.sam.model import Sam
from sensam.sensors import Sensor
from sensam.types import Prompts

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"


class Encoder(nn.Module):
    """Normalised pixels B x C x H x W to embeddings."""

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.sam = sam

    def forward(self, image: Tensor) -> Tensor:
        return self.sam.encode(image)


class Decoder(nn.Module):
    """One image's embedding and one prompt of any number of points to three masks, with SAM's estimate of their IoU."""

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.sam = sam

    def forward(self, embedding: Tensor, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return self.sam.decode(embedding, Prompts(points, labels), multimask=True)


def export_split(sam: Sam, sensor: Sensor, folder: Path, *, side: int) -> tuple[Path, Path, float]:
    """Both files, and the largest difference of a logit from the model's, on a random image with random clicks."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("Exporting to ONNX", "export") from error
    sam = sam.eval().cpu()
    copied = portable(sam)
    assert isinstance(copied, Sam)
    random = torch.Generator().manual_seed(0)
    image = torch.randn(1, sam.anatomy.bands, side, side, generator=random)
    with torch.no_grad():
        embedding = sam.encode(image)
    points = torch.rand(1, 3, 2, generator=random) * side
    labels = torch.tensor([[1, 0, 1]])
    folder.mkdir(parents=True, exist_ok=True)
    batch, count = Dim("batch"), Dim("points", min=2, max=64)
    parts: dict[str, tuple[nn.Module, tuple[Tensor, ...], list[str], list[str], tuple[Any, ...]]] = {
        ENCODER: (Encoder(copied), (image.repeat(2, 1, 1, 1),), ["image"], ["embedding"], ({0: batch},)),
        DECODER: (
            Decoder(copied),
            (embedding, points, labels),
            ["embedding", "points", "labels"],
            ["logits", "quality"],
            ({}, {1: count}, {1: count}),
        ),
    }
    told = json.dumps({"sensor": sensor.to_dict(), "size": side, "split": True})
    for name, (module, example, inputs, outputs, free) in parts.items():
        with catch_warnings(), torch.no_grad():
            simplefilter("ignore")  # of the exporter's own making
            program = torch.onnx.export(
                module,
                example,
                dynamo=True,
                dynamic_shapes=free,
                input_names=inputs,
                output_names=outputs,
                verbose=False,
            )
        assert program is not None
        program.model_proto.metadata_props.add(key=KEY, value=told)
        with whole(folder / name) as unfinished:
            onnx.save(program.model_proto, unfinished)
    return folder / ENCODER, folder / DECODER, _difference(sam, folder, image, points, labels)


@torch.no_grad()
def _difference(sam: Sam, folder: Path, image: Tensor, points: Tensor, labels: Tensor) -> float:
    (embedding,) = open_session(folder / ENCODER).run(None, {"image": image.numpy()})
    largest = 0.0
    decoder = open_session(folder / DECODER)
    for given, marks in ((points, labels), (points[:, :1], labels[:, :1])):  # as traced, and a single click
        mine, _ = sam.decode(sam.encode(image), Prompts(given, marks), multimask=True)
        fed = {"embedding": embedding, "points": given.numpy(), "labels": marks.numpy()}
        its, _ = decoder.run(None, fed)
        largest = max(largest, (mine - torch.from_numpy(its)).abs().max().item())
    return largest
