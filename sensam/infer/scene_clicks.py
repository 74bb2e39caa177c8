"""Clicks on a scene of any size: the window around them is encoded once, kept on disk, and answered from there."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sensam.data.raster import RasterInfo, Window
from sensam.data.readers import open_raster
from sensam.errors import InputError, SettingsError
from sensam.infer.click_places import Point, Wanted
from sensam.infer.closer import moved_inside
from sensam.infer.locate import Located, is_remote
from sensam.infer.scene import Scene
from sensam.nn.shelf import Shelf
from sensam.radiometry import Match
from sensam.sam.framing import Embedded, Fit, embed
from sensam.sam.model import Sam
from sensam.sensors import Sensor
from sensam.types import Prompts

STEPS = 4  # windows start at multiples of a quarter of their side, so that near clicks share one
MARGIN = 1.5  # a box fits so often into the side of its window
PHOTO_PERCENTILES = (2.0, 98.0)

Read = Callable[[Window], tuple[Tensor, NDArray[np.bool_]]]  # pixels C x H x W for the encoder, and where they are real


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One object on the scene's grid."""

    mask_HW: NDArray[np.bool_]
    window: Window  # where the mask lies in the scene
    score: float  # the model's own estimate of the IoU
    text: str  # what was asked, in the user's words
    is_cut: bool  # the mask reaches an edge of the window that is none of the scene


class SceneClicks:
    """A SAM asked about places in a scene. `side` is the window that it sees at once, in the scene's pixels."""

    def __init__(
        self, sam: Sam, read: Read, size: tuple[int, int], *, side: int, is_sure: bool, shelf: Shelf | None, name: str
    ) -> None:
        if side < 1:
            raise SettingsError(f"The window of a click has at least one pixel on a side, found {side}.")
        self.sam, self.read, self.size, self.side = sam.eval(), read, size, side
        self.is_sure = is_sure  # learnt to answer one click by one mask; SAM itself offers three
        self.shelf, self.name = shelf, name
        self._last: tuple[Window, Embedded, NDArray[np.bool_]] | None = None

    def ask(self, wanted: Wanted) -> Found:
        """The mask of one object."""
        window = self.window(wanted)
        embedded, valid_HW = self._see(window)
        mask_HW, score = self._answer(embedded, wanted, window)
        mask_HW &= valid_HW
        return Found(mask_HW, window, score, wanted.text, _is_cut(mask_HW, window, self.size))

    def window(self, wanted: Wanted) -> Window:
        """The part of the scene around an object, on a grid of starts."""
        x0, y0, x1, y1 = wanted.extent
        side = max(self.side, int(np.ceil(MARGIN * max(x1 - x0, y1 - y0))))
        step = max(1, side // STEPS)
        place = []
        for middle, length in zip(((y0 + y1) / 2, (x0 + x1) / 2), self.size, strict=True):
            start = round((middle - side / 2) / step) * step
            place.append(moved_inside(start, side, length))
        (row, rows), (column, columns) = place
        return row, column, rows, columns

    def _see(self, window: Window) -> tuple[Embedded, NDArray[np.bool_]]:
        if self._last is not None and self._last[0] == window:
            return self._last[1:]
        pixels_CHW, valid_HW = self.read(window)
        if not valid_HW.any():
            raise InputError(f"{self.name.split('|')[0]} has no data around the click. Choose another place.")
        fit = Fit(longest_side=self._longest(window), square=not self.is_sure)
        frame = fit.frame(window[2:], self.sam.anatomy.image_size)
        key = f"{self.name}|{window}|{frame}"
        kept = None if self.shelf is None else self.shelf.get(key)
        if kept is None:
            kept = embed(self.sam, pixels_CHW, fit).embedding_1Ehw
            if self.shelf is not None:
                self.shelf.put(key, kept)
                kept = kept.half()  # as it comes back, so that the second answer is the first
        code = self.sam.shared_image_embedding.positional_embedding
        embedded = Embedded(kept.to(code.device, code.dtype), frame)
        self._last = window, embedded, valid_HW
        return embedded, valid_HW

    def _longest(self, window: Window) -> int:
        """SAM sees every window at its own size; what was trained on pixels as they are sees them so."""
        longest = max(window[2:])
        return min(self.side, longest) if self.is_sure else self.sam.anatomy.image_size

    @torch.no_grad()
    def _answer(self, embedded: Embedded, wanted: Wanted, window: Window) -> tuple[NDArray[np.bool_], float]:
        device = embedded.embedding_1Ehw.device
        first = torch.tensor([window[1], window[0]], dtype=torch.float32, device=device)

        def placed(xy: object) -> Tensor:
            return embedded.frame.place(torch.tensor(xy, dtype=torch.float32, device=device).reshape(1, -1, 2) - first)

        outside = tuple(point for point in wanted.outside if _lies_in(point, window))
        points = wanted.inside + outside
        labels = torch.tensor([[1] * len(wanted.inside) + [0] * len(outside)], device=device)
        prompts = Prompts(
            placed(points) if points else None,
            labels if points else None,
            None if wanted.box is None else placed(wanted.box).reshape(1, 4),
        )
        is_vague = len(points) == 1 and wanted.box is None and not self.is_sure
        logits_1Mhw, scores_1M = self.sam.decode(embedded.embedding_1Ehw, prompts, multimask=is_vague)
        best = int(scores_1M[0].argmax())
        mask_HW = embedded.frame.restore(self.sam, logits_1Mhw[:, [best]])[0, 0] > 0
        return mask_HW.cpu().numpy(), float(scores_1M[0, best])


def trained_reader(scene: Scene) -> Read:
    """Windows as a trained model takes them."""

    def read(window: Window) -> tuple[Tensor, NDArray[np.bool_]]:
        pixels_CHW, valid_HW = scene.read(window)
        return torch.from_numpy(pixels_CHW), valid_HW

    return read


def photograph_reader(source: Located, sensor: Sensor, info: RasterInfo, found: Match) -> Read:
    """Windows as SAM takes them: three bands of the sensor, 8 bits; other numbers are stretched within the window."""
    places = list(dict.fromkeys(sensor.display))  # two bands are shown in three colours
    order = [places.index(place) for place in sensor.display]
    names = tuple(found.bands[place] for place in places)
    shown = sensor.select([sensor.band_names[place] for place in places])
    is_plain = [info.dtypes[info.bands.index(name)] == "uint8" for name in names]

    def read(window: Window) -> tuple[Tensor, NDArray[np.bool_]]:
        stored = open_raster(source, bands=names, window=window)
        decoded = shown.decode(stored.renamed(shown.band_names))
        planes = [
            _as_photograph(plane_HW, valid_HW, is_photograph=plain and band.unit == "DN")
            for plane_HW, valid_HW, band, plain in zip(
                decoded.pixels_CHW, decoded.valid_CHW, shown.bands, is_plain, strict=True
            )
        ]
        return torch.from_numpy(np.stack(planes)[order]), decoded.valid_HW

    return read


def _as_photograph(
    plane_HW: NDArray[np.float32], valid_HW: NDArray[np.bool_], *, is_photograph: bool
) -> NDArray[np.uint8]:
    if is_photograph or not valid_HW.any():
        return plane_HW.clip(0, 255).astype(np.uint8)
    low, high = np.percentile(plane_HW[valid_HW], PHOTO_PERCENTILES)
    stretched = (plane_HW - low) / max(float(high - low), 1e-12) * 255
    return np.where(valid_HW, stretched.clip(0, 255), 0).round().astype(np.uint8)


def identify(sam: Sam, source: Located, sensor: Sensor, bands: Sequence[str] | None) -> str | None:
    """What an embedding depends on besides its window; None for files that may change unseen.

    `bands` are the names that the user gave to the file's bands.
    """
    paths = [source] if isinstance(source, str) else list(source.values())
    if any(is_remote(path) or not Path(path).is_file() for path in paths):
        return None
    states = [(path, Path(path).stat().st_size, Path(path).stat().st_mtime_ns) for path in paths]
    facts = json.dumps([sensor.to_dict(), None if bands is None else list(bands)], sort_keys=True)
    return f"{paths[0]}|{_digest(sam.vision_encoder)}|{facts}|{states}"


def _digest(encoder: nn.Module) -> str:
    """One name for all that decides an encoder's answers.

    Its weights are not enough: which bands it picks is a setting of a module, and how it scales them may be a buffer
    that is never saved.
    """
    digest = hashlib.blake2b(digest_size=16)
    for place, module in encoder.named_modules():
        held = vars(module).items()
        settings = {name: value for name, value in held if name != "training" and name[0] != "_" and _is_plain(value)}
        digest.update(f"{place}|{type(module).__qualname__}|{sorted(settings.items())}".encode())
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _is_plain(value: object) -> bool:
    """Whether it is written the same in every process."""
    if isinstance(value, dict):
        return all(_is_plain(each) for each in (*value, *value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if is_dataclass(value):
        return all(_is_plain(getattr(value, each.name)) for each in fields(value))
    return value is None or isinstance(value, str | int | float)


def _lies_in(point: Point, window: Window) -> bool:
    row, column, rows, columns = window
    return column <= point[0] < column + columns and row <= point[1] < row + rows


def _is_cut(mask_HW: NDArray[np.bool_], window: Window, size: tuple[int, int]) -> bool:
    row, column, rows, columns = window
    edges = (
        (row > 0, mask_HW[0]),
        (column > 0, mask_HW[:, 0]),
        (row + rows < size[0], mask_HW[-1]),
        (column + columns < size[1], mask_HW[:, -1]),
    )
    return any(is_inner and bool(edge.any()) for is_inner, edge in edges)
