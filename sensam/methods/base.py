"""What a method is: one published way of adapting SAM, as parts that learn in stages."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from sensam.errors import SettingsError
from sensam.nn.surgery import settle
from sensam.sam.model import Sam
from sensam.sensors import Sensor
from sensam.types import Batch

Protocol = Literal["strict", "paper"]
Judged = Literal["classes", "clicks", "loss"]
WHOLE = 1 << 15  # a training window larger than any image: the whole of it


class MethodConfig(BaseModel):
    """The settings of a method; each method adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: Protocol = "strict"  # correct, or as the authors ran it where that changes numbers


@dataclass(frozen=True, slots=True)
class Task:
    """What a method is built for: a sensor's bands, the classes to tell apart, and the SAM that it starts from."""

    sensor: Sensor
    classes: tuple[str, ...]
    sam: Sam  # never changed: a method copies what it adapts, and keeps as teacher what it does not
    size: int  # pixels on a side of a training window
    ignore: int = 255
    seed: int = 0

    @property
    def bands(self) -> int:
        """How many planes an image of the sensor has."""
        return len(self.sensor.bands)


@dataclass(frozen=True, slots=True)
class Moment:
    """Where in a run a batch stands. Whatever a loss draws at random is a function of it, so that runs resume."""

    seed: int
    epoch: int
    step: int  # of the stage, counted over its epochs
    places: range  # which samples of the epoch the rows of the batch are, over all processes together

    def generator(self, purpose: int, place: int | None = None) -> torch.Generator:
        """Random numbers of one purpose: for the whole step, or for one sample whatever batch it comes in."""
        at = (1, self.step) if place is None else (2, self.epoch, place)
        key = 0
        for part in (self.seed, purpose, *at):
            key = (key * 1_000_003 + part + 1) % (2**63 - 1)
        return torch.Generator().manual_seed(key)


Losses = Mapping[str, Tensor]  # "loss" is minimised; every entry is logged
Loss = Callable[[Batch, Moment], Losses]
Mass = Callable[[Batch], Tensor]


@dataclass(frozen=True, slots=True)
class Stage:
    """One period of learning: what moves and how fast, by which loss, from labels or not."""

    name: str
    loss: Loss
    learns: Mapping[
        str, float
    ]  # pattern over parameter names (fnmatch; the first that fits counts) -> factor on the rate
    needs_labels: bool = True
    judged_by: Judged = "classes"  # what validation measures: class maps, clicks, or the stage's own loss
    settings: Mapping[str, Any] = field(default_factory=dict)  # what its paper trains with, where it differs from ours
    discards: tuple[str, ...] = ()  # children of the method that have done their work when the stage ends
    begin: Callable[[], None] | None = None  # called once before the first step, and not again after a resume
    mass: Mass | None = None  # over how much a batch's loss is a mean, where not over labelled pixels or samples
    least_batch: int = 1  # samples below which a process cannot compute the loss
    keeps_views: bool = False  # whether the loss keeps what it computed of a view, which must come again then


def refuse_new_views(stage: str) -> SettingsError:
    """The error where a stage keeps what it computed of views, and these will not come again."""
    return SettingsError(
        f"Stage {stage} keeps features of views that come again, and these are drawn anew each time. Use "
        f"--set stages.{stage}.views=grid without random light, scale or roll, or leave the setting `cache` out."
    )


class Method(nn.Module):
    """A way of adapting SAM. Subclassed once, never again: what differs is parts, and parts live in `nn`.

    Freezing, optimiser groups, checkpoints and reports all follow from `stages`. Children that no stage trains are the
    base: they are rebuilt from the SAM when a model is loaded, never saved.
    """

    paper: ClassVar[str]
    Config: ClassVar[type[MethodConfig]]
    adapts_sam: ClassVar[bool] = True  # or it has nothing of the SAM in its task
    for_labels: ClassVar[frozenset[str]] = frozenset()  # settings that stages without labels take no notice of

    def __init__(self, task: Task, config: MethodConfig) -> None:
        super().__init__()
        self.task, self.config = task, config

    @property
    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """The periods of learning, in order."""

    def forward(self, image_BCHW: Tensor) -> Tensor:  # noqa: ARG002 - what every other method takes
        """Logits B x K x H x W at the size of the input."""
        raise SettingsError(
            f"{type(self).__name__} answers clicks, not class maps. Score it with sensam evaluate --clicks, use it "
            "with sensam segment or a Predictor."
        )

    def train(self, mode: bool = True) -> Self:
        """Training mode for what learns; what a stage froze stays in eval mode."""
        super().train(mode)
        settle(self)
        return self

    def config_at_rest(self) -> MethodConfig:
        """The settings that rebuild a finished model: without what is read from elsewhere only to teach it."""
        return self.config

    def promptable(self) -> Sam | None:
        """The adapted SAM for a Predictor, where the method answers clicks and boxes."""
        return None
