"""Clicks on any sensor without labels: an inherited student under SAM's decoder, and SAM on three bands beside it."""

from collections.abc import Sequence
from typing import get_args

from sensam.errors import SettingsError, unknown
from sensam.infer.promptable import Predictor
from sensam.methods.base import Method
from sensam.methods.e2sam import E2Sam
from sensam.methods.inherited import PickedEncoder, PromptBy, Triple, as_sam
from sensam.methods.triples import Names, positions
from sensam.sam.model import Sam
from sensam.sensors import Sensor


def inherited_predictor(
    method: Method,
    by: PromptBy | None = None,
    triples: Sequence[Names] | None = None,
    *,
    longest_side: int | None = None,
    square: bool = True,
) -> Predictor:
    """A predictor for images of all bands of the student's sensor, once it has inherited.

    `by` says what the mask decoder reads: "rgb", the student's map of the RGB-like triple; "average", its mean over
    triples; "neck", what the student's own neck learnt of all of them (with neck_loss). `triples` names certain ones.
    """
    if not isinstance(method, E2Sam):
        raise SettingsError(f"{type(method).__name__} inherits nothing. Train e2sam up to its stage inherit.")
    if by is not None and by not in get_args(PromptBy):
        raise unknown("way to prompt", by, get_args(PromptBy))
    chosen = None if triples is None else tuple(positions(method.task.sensor, names) for names in triples)
    sam = method.promptable_by(by or method.config.prompts, chosen)
    return Predictor(sam, method.task.sensor, longest_side=longest_side, square=square)


def three_band_predictor(
    sam: Sam, sensor: Sensor, triple: Triple, *, longest_side: int | None = None, square: bool = True
) -> Predictor:
    """SAM itself, which sees only these bands of the sensor, in this order."""
    picked = as_sam(sam, PickedEncoder(sam.vision_encoder, triple), len(sensor.bands))
    return Predictor(picked, sensor, longest_side=longest_side, square=square)
