"""A trained model: saved as what was trained and what it sits on, loaded strictly, used on images."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensam.data.raster import Raster
from sensam.errors import WeightsError
from sensam.infer.pixels import read_pixels
from sensam.infer.scene import Scene
from sensam.infer.segmenter import Segmenter
from sensam.methods.base import Method, Task
from sensam.methods.inherited import as_sam
from sensam.nn.surgery import holdings
from sensam.run.assembly import build_method, discard, learned_by, spent
from sensam.sam.anatomy import Anatomy
from sensam.sam.checkpoint import identify
from sensam.sam.encoder import ImageEncoder
from sensam.sam.model import Sam
from sensam.sam.report import LoadReport, count_parts
from sensam.sam.weights import load_sam
from sensam.sensors import Sensor
from sensam.train.folder import describe_difference, is_model, read_model, write_model
from sensam.version import __version__


@dataclass(frozen=True, eq=False)
class Model:
    """A trained method with everything that belongs to it."""

    method: Method
    segmenter: Segmenter
    config: Mapping[str, Any]  # what config.json holds

    @property
    def sensor(self) -> Sensor:
        return self.segmenter.sensor

    @property
    def classes(self) -> tuple[str, ...]:
        return self.segmenter.classes

    @torch.no_grad()
    def predict(self, image: Raster | str | Path) -> NDArray[np.unsignedinteger[Any]]:
        """The class of every pixel of one image, seen as a whole; the ignore value where a band has no data.

        Scenes that are too large for that are mapped in overlapping tiles by `sensam.predict`.
        """
        pixels_CHW, valid_HW = self._read(image)
        self.method.eval()
        device = next(iter(self.method.parameters())).device
        logits_1KHW = self.segmenter.logits(pixels_CHW[None].to(device))
        largest = max(self.segmenter.ignore, len(self.classes) - 1)
        dtype: type[np.unsignedinteger[Any]] = np.uint8 if largest < 256 else np.uint16
        classes_HW: NDArray[np.unsignedinteger[Any]] = logits_1KHW[0].argmax(0).cpu().numpy().astype(dtype)
        if valid_HW is not None:
            classes_HW[~valid_HW.numpy()] = self.segmenter.ignore
        return classes_HW

    def _read(self, image: Raster | str | Path) -> tuple[Tensor, Tensor | None]:
        """Normalised pixels, and where every band has data that there is."""
        if isinstance(image, Raster):
            return read_pixels(image, len(self.sensor.bands), self.sensor)
        scene = Scene(str(image), self.sensor, may_lack_bands=self.segmenter.takes_missing_bands)
        pixels_CHW, valid_HW = scene.read((0, 0, *scene.size))
        return torch.from_numpy(pixels_CHW), torch.from_numpy(valid_HW)

    def to(self, device: torch.device | str) -> "Model":
        """The same model on another device."""
        self.method.to(device)
        return self


def describe_model(
    method: Method, name: str, *, colours: tuple[tuple[int, int, int], ...], stages: tuple[str, ...]
) -> dict[str, Any]:
    """The config.json of a method that has finished these stages."""
    task = method.task
    is_finished = stages[-1:] == tuple(stage.name for stage in method.stages[-1:])
    settings = method.config_at_rest() if is_finished else method.config
    return {
        "sensam": __version__,
        "torch": torch.__version__,
        "method": name,
        "settings": settings.model_dump(mode="json"),
        "stages": list(stages),
        "sensor": task.sensor.to_dict(),
        "classes": list(task.classes),
        "colours": [list(colour) for colour in colours],
        "ignore": task.ignore,
        "size": task.size,
        "seed": task.seed,
        "base": _describe_base(task.sam),
    }


def _describe_base(sam: Sam) -> dict[str, Any]:
    loaded = sam.loaded
    return {
        "source": loaded.source if loaded else None,
        "identity": loaded.identity if loaded else None,
        "anatomy": asdict(sam.anatomy),
    }


def trained_by(method: Method, stages: tuple[str, ...]) -> frozenset[str]:
    """Names of the parameters that these stages train; asked of a method from which nothing was discarded."""
    learned = learned_by(method, [stage for stage in method.stages if stage.name in stages])
    return frozenset().union(*learned.values())


def save_model(
    folder: Path, method: Method, trained: frozenset[str], config: Mapping[str, Any], results: Mapping[str, Any]
) -> None:
    """Write the folder that `load` reads: what was trained, with its buffers, and what it sits on."""
    weights = holdings(method, trained)
    base = {**config["base"], "is_needed": _needs_base(method, set(weights))}
    write_model(folder, {**config, "base": base, "results": dict(results)}, weights)


def _needs_base(method: Method, saved: set[str]) -> bool:
    """Whether anything of the method comes from the SAM below it rather than from the file."""
    return any(name not in saved for name in method.state_dict())


def load(source: str | Path, *, base: str | Path | None = None, device: str | torch.device = "cpu") -> Model:
    """A model from its folder, the folder of its run, or the hub.

    `base` says where the SAM lies that it was trained on, when that is no longer where it was.
    """
    folder = read_model(source)
    config = folder.config
    sam = _base(config["base"], base, folder.source)
    sensor = Sensor.from_dict(config["sensor"], where=f"sensor of {source}")
    task = Task(sensor, tuple(config["classes"]), sam, config["size"], config["ignore"], config["seed"])
    method = build_method(config["method"], task, config["settings"])
    restore(method, folder.weights, tuple(config["stages"]), folder.source)
    method.requires_grad_(False).eval().to(device)
    return as_model(method, config)


def as_model(method: Method, config: Mapping[str, Any]) -> Model:
    """A method in memory as what maps and exports take."""
    colours = tuple((red, green, blue) for red, green, blue in config["colours"])
    segmenter = Segmenter(
        network=method,
        sensor=method.task.sensor,
        classes=method.task.classes,
        colours=colours,
        size=config["size"],
        ignore=method.task.ignore,
        name=config["method"],
        takes_missing_bands=bool(config["settings"].get("band_dropout")),
        resolution=config.get("resolution"),
    )
    return Model(method, segmenter, config)


@torch.no_grad()
def restore(method: Method, weights: Mapping[str, torch.Tensor], stages: tuple[str, ...], source: str) -> None:
    """Put trained weights into a fresh method: exactly those that these stages leave behind."""
    trained = trained_by(method, stages)
    discard(method, spent(method, stages))
    places = holdings(method, trained)
    difference = describe_difference(source, weights, places)
    if difference:
        raise WeightsError(difference)
    for name, place in places.items():
        place.copy_(weights[name])


def _base(config: Mapping[str, Any], given: str | Path | None, source: str) -> Sam:
    """The SAM that a model sits on, checked to be the same; random where nothing of it is used."""
    values = config["anatomy"]
    anatomy = Anatomy(**{**values, "global_blocks": tuple(values["global_blocks"])})
    if not config["is_needed"]:
        return Sam(anatomy).eval()
    origin = given or config["source"]
    if origin is None:
        raise WeightsError(f"{source} sits on a SAM that was never saved. Give the folder of that SAM with base=.")
    sam = load_start(origin)
    check_base(config, sam, source, str(origin), "Give the right one with base=.")
    if replace(sam.anatomy, bands=anatomy.bands) != anatomy:
        raise WeightsError(f"{source} was trained on a SAM of another shape than {origin} holds.")
    return sam


def check_base(config: Mapping[str, Any], sam: Sam, source: str, origin: str, remedy: str) -> None:
    """Refuse another SAM than the one that a model was trained on, where anything of it is still in use."""
    identity = sam.loaded.identity if sam.loaded else None
    if not config["is_needed"] or config["identity"] in (None, identity):
        return
    raise WeightsError(
        f"{source} was trained on the SAM {config['source']} (sha256 {config['identity'][:12]}), but {origin} "
        f"holds another (sha256 {(identity or 'unknown')[:12]}). {remedy}"
    )


def load_start(source: str | Path) -> Sam:
    """The SAM that a method starts from: SAM's own weights, or an inherited student in the place of its encoder.

    A student is given by its model folder; prompt encoder and mask decoder are those of the SAM that taught it.
    """
    if not is_model(source):
        return load_sam(source)
    folder = read_model(source)
    encoder = getattr(getattr(load(source).method, "net", None), "encoder", None)
    if not isinstance(encoder, ImageEncoder):
        raise WeightsError(f"{source} is a model of {folder.config['method']}, which has no encoder to start from.")
    teacher = _base({**folder.config["base"], "is_needed": True}, None, folder.source)
    sam = as_sam(teacher, encoder, encoder.anatomy.bands)
    decoder = {name: getattr(teacher.anatomy, name) for name in ("decoder_heads", "decoder_mlp", "mask_channels")}
    sam.anatomy = replace(encoder.anatomy, **decoder)
    weights = sam.state_dict()
    sam.loaded = LoadReport(
        source=str(source),
        layout="sensam's",
        precision="float32",
        size=sam.anatomy.name,
        bands=sam.anatomy.bands,
        identity=identify({name: weight.contiguous() for name, weight in weights.items()}),
        parts=count_parts(weights, {}),
    )
    return sam
