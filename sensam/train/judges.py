"""What validation measures: class maps, the stage's own loss, or clicks; sums that add up across processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sensam.methods.base import Loss, Mass, Method, Moment
from sensam.nn.wide import wide
from sensam.train.confusion import Confusion, count
from sensam.types import Batch


class Judge(Protocol):
    """Scores a method. What `measure` returns is summed over the split and all processes before `report` sees it."""

    @property
    def decides(self) -> str:
        """The entry of the report by which the best weights are chosen."""

    @property
    def higher_is_better(self) -> bool: ...

    def measure(self, method: Method, batch: Batch, moment: Moment) -> Tensor: ...

    def report(self, total: Tensor) -> Mapping[str, float]: ...


@dataclass(frozen=True)
class ClassJudge:
    """Class maps against labels, by one confusion matrix over the split."""

    classes: tuple[str, ...]
    ignore: int
    decides: str = "miou"
    higher_is_better: bool = True

    def measure(self, method: Method, batch: Batch, moment: Moment) -> Tensor:  # noqa: ARG002 - as every judge
        assert batch.label_BHW is not None
        found_BHW = method(batch.image_BCHW).argmax(1)
        return count(batch.label_BHW, found_BHW, len(self.classes), self.ignore)

    def report(self, total: Tensor) -> Mapping[str, float]:
        confusion = Confusion(total.cpu().numpy(), self.classes)
        by_class = {f"iou {name}": float(value) for name, value in zip(self.classes, confusion.iou_K, strict=True)}
        return {**confusion.summary(), **by_class}


@dataclass(frozen=True)
class LossJudge:
    """The mean of a stage's own loss, over samples or over what the stage says that it is a mean over."""

    loss: Loss
    decides: str = "loss"
    higher_is_better: bool = False
    mass: Mass | None = None

    def measure(self, method: Method, batch: Batch, moment: Moment) -> Tensor:  # noqa: ARG002 - as every judge
        value = self.loss(batch, moment)["loss"]
        value = value.to(wide(value.device))
        weight = torch.tensor(len(batch)) if self.mass is None else self.mass(batch)
        weight = weight.to(value)
        return torch.stack([value * weight, weight])

    def report(self, total: Tensor) -> Mapping[str, float]:
        return {"loss": float(total[0] / total[1])}
