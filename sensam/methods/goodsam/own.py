"""A model that sensam trained, as the assistant: shown what it was trained on, whatever the task's statistics."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sensam.errors import WeightsError
from sensam.methods.base import Method, Task
from sensam.nn.segformer import Levels, SegFormer
from sensam.sam.anatomy import Anatomy
from sensam.sam.model import Sam
from sensam.sam.weights import load_sam
from sensam.sensors import Sensor


def find_own(source: str) -> Path | None:
    """The folder of a model of ours, or of the run around it; None where it is none."""
    for folder in (Path(source).expanduser(), Path(source).expanduser() / "model"):
        config = folder / "config.json"
        if config.is_file() and '"method"' in config.read_text(encoding="utf-8"):
            return folder
    return None


class OwnModel(nn.Module):
    """Takes the task's bands as the task normalises them; finds its own by name and gives them its own statistics."""

    def __init__(self, folder: Path, task: Task) -> None:
        super().__init__()
        config = _read_config(folder)
        sensor = Sensor.from_dict(config["sensor"], where=f"sensor of {folder}")
        self.class_names, self.bands = tuple(config["classes"]), task.bands
        self.chosen = [task.sensor.index(name) for name in sensor.band_names]
        (our_mean, our_std), (mean, std) = task.sensor.statistics, sensor.statistics
        our_mean, our_std = our_mean[self.chosen], our_std[self.chosen]
        self.register_buffer("gain_C11", torch.from_numpy(our_std / std)[:, None, None])
        self.register_buffer("bias_C11", torch.from_numpy((our_mean - mean) / std)[:, None, None])
        self.net = _restore(folder, config, sensor)

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


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise WeightsError(f"{folder / 'config.json'} cannot be read as JSON ({fault}).") from fault
    return config


def _restore(folder: Path, config: Mapping[str, Any], sensor: Sensor) -> nn.Module:
    """The network that answers class maps: the method, or what it was training when it stopped."""
    from sensam.methods import find_method
    from sensam.methods.goodsam.method import GoodSam

    kind = find_method(config["method"])
    base = config["base"]
    measures = {**base["anatomy"], "global_blocks": tuple(base["anatomy"]["global_blocks"])}
    sam = load_sam(base["source"]) if base["is_needed"] else Sam(Anatomy(**measures))
    task = Task(sensor, tuple(config["classes"]), sam, config["size"], config["ignore"], config["seed"])
    try:
        method: Method = kind(task, kind.Config.model_validate(config["settings"]))
        weights = load_file(folder / "model.safetensors")
    except (ValidationError, SafetensorError, OSError) as fault:
        raise WeightsError(f"{folder} cannot be rebuilt: {str(fault).splitlines()[0]}") from fault
    places = method.state_dict()
    strangers = [name for name, weight in weights.items() if name not in places or places[name].shape != weight.shape]
    if strangers:
        raise WeightsError(f"{folder} holds {strangers[0]}, which {config['method']} has no place for. Train it again.")
    method.load_state_dict({**places, **weights})
    if isinstance(method, GoodSam):
        return {"assistant": method.source.net, "rectify": method.assistant.net}.get(
            config["stages"][-1], method.student
        )
    return method
