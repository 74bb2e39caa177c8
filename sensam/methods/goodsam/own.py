"""A model that sensam trained, as the assistant: shown what it was trained on, whatever the task's statistics."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sensam.methods.base import Method, Task
from sensam.methods.folder import read_model
from sensam.methods.rebuilding import read_base, rebuild
from sensam.nn.segformer import Levels, SegFormer


class OwnModel(nn.Module):
    """Takes the task's bands as the task normalises them; finds its own by name and gives them its own statistics."""

    def __init__(self, source: str, task: Task) -> None:
        super().__init__()
        folder = read_model(source)
        method = rebuild(folder, read_base(folder.config["base"], folder.source))
        sensor = method.task.sensor
        self.class_names, self.bands = method.task.classes, task.bands
        self.chosen = [task.sensor.index(name) for name in sensor.band_names]
        (our_mean, our_std), (mean, std) = task.sensor.statistics, sensor.statistics
        our_mean, our_std = our_mean[self.chosen], our_std[self.chosen]
        self.register_buffer("gain_C11", torch.from_numpy(our_std / std)[:, None, None])
        self.register_buffer("bias_C11", torch.from_numpy((our_mean - mean) / std)[:, None, None])
        self.net = _answering(method, folder.config["stages"])

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of four levels of features; empty where the network is no SegFormer."""
        return self.net.widths if isinstance(self.net, SegFormer) else ()

    def forward(self, image_BCHW: Tensor) -> Tensor:
        logits: Tensor = self.net(self._renormalised(image_BCHW))
        return logits

    def analyse(self, image_BCHW: Tensor) -> tuple[Tensor, Levels]:
        """Logits and features, for a SegFormer."""
        assert isinstance(self.net, SegFormer)
        return self.net.analyse(self._renormalised(image_BCHW))

    def _renormalised(self, image_BCHW: Tensor) -> Tensor:
        chosen_BCHW = image_BCHW[:, self.chosen]
        return chosen_BCHW * self.get_buffer("gain_C11") + self.get_buffer("bias_C11")


def _answering(method: Method, done: Sequence[str]) -> nn.Module:
    """The network that answers class maps: the method, or what it was training when it stopped."""
    from sensam.methods.goodsam.method import GoodSam

    if isinstance(method, GoodSam):
        return {"assistant": method.source.net, "rectify": method.assistant.net}.get(done[-1], method.student)
    return method
