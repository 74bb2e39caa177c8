"""The predictor: an image is set once, then prompted often."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sensam.errors import InputError
from sensam.infer.closer import Outlines, look_closer
from sensam.infer.pixels import Picture, check_sensor, read_pixels
from sensam.infer.prompts import check_prompts
from sensam.sam.automatic import AutomaticSettings, generate
from sensam.sam.framing import Embedded, Fit, Frame, embed
from sensam.sam.model import Sam
from sensam.sam.regions import Regions
from sensam.sensors import Sensor
from sensam.types import Prompts

PROMPTS_AT_ONCE = 64  # bounds memory: the decoder copies the image embedding for every prompt


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What N prompts found: M masks each, with SAM's own estimate of their IoU. Tensors on the model's device."""

    masks_NMHW: Tensor  # bool, at native resolution; False where the image has no data
    scores_NM: Tensor
    low_res_logits_NMhw: Tensor  # best() of them can be given back as masks=

    def best(self) -> "Prediction":
        """The one mask of each prompt with the highest score (M = 1)."""
        rows = torch.arange(len(self.scores_NM), device=self.scores_NM.device)[:, None]
        top_N1 = self.scores_NM.argmax(1, keepdim=True)
        return Prediction(
            self.masks_NMHW[rows, top_N1], self.scores_NM[rows, top_N1], self.low_res_logits_NMhw[rows, top_N1]
        )


class Predictor:
    """SAM for one image at a time, of any sensor the encoder has bands for. Puts `sam` in eval mode.

    By default images come before the encoder as SAM's own: the longest side as in training, padded to a square.
    `longest_side` chooses another size and `resize=False` keeps the pixels; `square=False` leaves the padding out,
    which is faster on elongated images and no longer exactly SAM.
    """

    def __init__(
        self,
        sam: Sam,
        sensor: Sensor | None = None,
        *,
        longest_side: int | None = None,
        resize: bool = True,
        square: bool = True,
    ) -> None:
        if sensor is not None:
            check_sensor(sensor, sam.anatomy.bands)
        self.sam, self.sensor = sam.eval(), sensor
        self.fit = Fit(longest_side, resize, square)
        self._image: tuple[Tensor, Tensor | None, Embedded] | None = None

    def set_image(self, image: Picture) -> None:
        """Run the encoder on an image; every later prompt is about it.

        A Raster is normalised by the sensor. An array is rows x columns x bands, a tensor bands x rows x columns:
        with a sensor the stored numbers, without one an 8-bit RGB photograph or floats normalised already.
        """
        self._image = None  # a refused image must not leave the one before it in its place
        pixels_CHW, valid_HW = read_pixels(image, self.sam.anatomy.bands, self.sensor)
        if valid_HW is not None and not valid_HW.any():
            raise InputError(
                "No pixel of the image is valid in every band (NaN, nodata, or outside the band's valid range). "
                "Give another image, or the sensor that took it."
            )
        self._image = pixels_CHW, valid_HW, embed(self.sam, pixels_CHW, self.fit)

    @torch.no_grad()
    def predict(
        self,
        points: ArrayLike | Tensor | None = None,
        labels: ArrayLike | Tensor | None = None,
        boxes: ArrayLike | Tensor | None = None,
        masks: ArrayLike | Tensor | None = None,
        *,
        multimask: bool = True,
    ) -> Prediction:
        """Masks for one prompt or a batch, in pixels of the image: x to the right, y down.

        points: (2,), (P, 2) for one prompt of P points, or (N, P, 2). labels: 1 inside (the default), 0 outside,
        -10 padding. boxes: (4,) or (N, 4) as x0, y0, x1, y1. masks: low-resolution logits, (h, w) or (N, 1, h, w).
        """
        _, valid_HW, embedded = self._current()
        prompts = check_prompts(points, labels, boxes, masks, embedded.frame, self._mask_size(embedded))
        parts = [self._decode(embedded, chunk, multimask) for chunk in _shares(prompts, embedded.embedding_1Ehw)]
        found, scores, logits = (torch.cat(part) for part in zip(*parts, strict=True))
        if valid_HW is not None:
            found &= valid_HW.to(found.device)
        return Prediction(found, scores, logits)

    def look_closer(self, boxes: ArrayLike | Tensor) -> Outlines:
        """One mask for each box, (4,) or (N, 4), which is enlarged with its surroundings and encoded anew.

        For what is small in the image, at one pass of the encoder for each box. A mask hardly leaves its box.
        """
        pixels_CHW, valid_HW, embedded = self._current()
        native = embedded.frame.native
        as_it_is = Frame(native, scaled=native, encoded=native)
        boxes_N4 = check_prompts(None, None, boxes, None, as_it_is, self._mask_size(embedded)).boxes_N4
        assert boxes_N4 is not None
        found = look_closer(self.sam, pixels_CHW, boxes_N4, replace(self.fit, resize=True))
        if valid_HW is not None:
            found.masks_NHW.logical_and_(valid_HW.to(found.masks_NHW.device))
        return found

    def everything(self, settings: AutomaticSettings | None = None) -> Regions:
        """Masks of everything in the image, from a grid of points."""
        pixels_CHW, valid_HW, _ = self._current()
        valid = None if valid_HW is None else valid_HW.numpy()
        return generate(self.sam, pixels_CHW, settings, valid_HW=valid, fit=self.fit)

    def _current(self) -> tuple[Tensor, Tensor | None, Embedded]:
        if self._image is None:
            raise InputError("There is no image to predict on. Call set_image(image) first.")
        return self._image

    @staticmethod
    def _mask_size(embedded: Embedded) -> tuple[int, int]:
        rows, columns = embedded.embedding_1Ehw.shape[-2:]
        return 4 * rows, 4 * columns  # the mask decoder makes four logits a token along each side

    def _decode(self, embedded: Embedded, prompts: Prompts, multimask: bool) -> tuple[Tensor, Tensor, Tensor]:
        logits_NMhw, scores_NM = self.sam.decode(embedded.embedding_1Ehw, prompts, multimask=multimask)
        shares = logits_NMhw.split(max(1, embedded.frame.at_once // logits_NMhw.shape[1]))
        masks_NMHW = torch.cat([embedded.frame.restore(self.sam, share) > 0 for share in shares])
        return masks_NMHW, scores_NM.float(), logits_NMhw.float()


def _shares(prompts: Prompts, like: Tensor) -> Iterator[Prompts]:
    """Prompts in shares small enough for memory, where the embedding is."""
    masks = None if prompts.masks_N1HW is None else prompts.masks_N1HW.to(like.dtype)
    parts = (prompts.points_NP2, prompts.labels_NP, prompts.boxes_N4, masks)
    for start in range(0, len(prompts), PROMPTS_AT_ONCE):
        share = slice(start, start + PROMPTS_AT_ONCE)
        yield Prompts(*(None if part is None else part[share].to(like.device) for part in parts))
