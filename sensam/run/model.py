"""A trained model: saved as what was trained and what it sits on, loaded strictly, used on images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensam.data.raster import Raster
from sensam.data.resample import resample_both
from sensam.infer.pixels import read_pixels
from sensam.infer.scene import Scene
from sensam.infer.segmenter import Segmenter, unstretched
from sensam.methods.base import Method
from sensam.methods.folder import read_model, write_model
from sensam.methods.rebuilding import read_base, rebuild
from sensam.nn.surgery import holdings
from sensam.sam.model import Sam
from sensam.sensors import Sensor
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

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return next(self.method.parameters()).device

    @torch.no_grad()
    def predict(self, image: Raster | str | Path) -> NDArray[np.unsignedinteger[Any]]:
        """The class of every pixel of one image, seen as a whole; the ignore value where a band has no data.

        A model that was trained on stretched images sees it stretched, as `sensam.evaluate` scores it.
        Scenes that are too large for that are mapped in overlapping tiles by `sensam.predict`.
        """
        pixels_CHW, valid_HW = self._read(image)
        self.method.eval()
        logits_1KHW = self.segmenter.logits(pixels_CHW[None].to(self.device))
        if self.segmenter.fit == "stretch":
            logits_1KHW = unstretched(logits_1KHW, valid_HW.shape)
        largest = max(self.segmenter.ignore, len(self.classes) - 1)
        dtype: type[np.unsignedinteger[Any]] = np.uint8 if largest < 256 else np.uint16
        classes_HW: NDArray[np.unsignedinteger[Any]] = logits_1KHW[0].argmax(0).cpu().numpy().astype(dtype)
        classes_HW[~valid_HW.numpy()] = self.segmenter.ignore
        return classes_HW

    def _read(self, image: Raster | str | Path) -> tuple[Tensor, Tensor]:
        """Normalised pixels at the size the model sees, and where in the image every band that there is has data."""
        if isinstance(image, Raster):
            return self._read_raster(image)
        scene = Scene(str(image), self.sensor, may_lack_bands=self.segmenter.takes_missing_bands)
        if self.segmenter.fit == "stretch":
            return self._read_raster(scene.decoded())
        pixels_CHW, valid_HW = scene.read((0, 0, *scene.size))
        return torch.from_numpy(pixels_CHW), torch.from_numpy(valid_HW)

    def _read_raster(self, image: Raster) -> tuple[Tensor, Tensor]:
        sensor, names = self.sensor, self.sensor.band_names
        seen = [name for name, valid_HW in zip(image.bands, image.valid_CHW, strict=True) if valid_HW.any()]
        seen = [name for name in seen if name in names]
        if self.segmenter.takes_missing_bands and seen and len(seen) < len(names):
            image, sensor = image.select(seen), sensor.select(seen)
        decoded = image if image.is_decoded else sensor.decode(image)
        seen_CHW, _ = read_pixels(self._fitted(decoded), len(sensor.bands), sensor)
        pixels_CHW = seen_CHW.new_zeros(len(names), *seen_CHW.shape[1:])
        pixels_CHW[[names.index(name) for name in sensor.band_names]] = seen_CHW
        return pixels_CHW, torch.from_numpy(decoded.valid_HW)

    def _fitted(self, image: Raster) -> Raster:
        """A decoded image at the size that the model was trained on, where that was not its own."""
        if self.segmenter.fit == "crop":
            return image
        side = self.segmenter.size
        pixels_CHW, valid_CHW = resample_both(image.pixels_CHW, image.valid_CHW, side, side)
        assert valid_CHW is not None
        return image.with_pixels(pixels_CHW, valid_CHW, is_decoded=True)

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
    method = rebuild(folder, read_base(folder.config["base"], folder.source, base))
    method.requires_grad_(False).eval().to(device)
    return as_model(method, folder.config)


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
        knows_classes=gives_answers(method, config["stages"]),
        fit=config.get("fit", "crop"),
    )
    return Model(method, segmenter, config)


def gives_answers(method: Method, done: Sequence[str]) -> bool:
    """Whether these stages taught what the method is asked for: all before the last one only prepare for it.

    What was trained in none is taken at its word.
    """
    return not done or method.stages[-1].name in done
