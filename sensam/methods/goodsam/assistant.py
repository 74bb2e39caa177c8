"""The teacher assistant: any segmenter that knows the classes, answering in our classes from our bands."""

from collections.abc import Callable, Sequence
from importlib import import_module

import torch
from torch import Tensor, nn

from sensam.errors import SettingsError
from sensam.methods.base import Task
from sensam.methods.folder import is_model
from sensam.methods.goodsam.own import OwnModel
from sensam.methods.goodsam.settings import GoodSamConfig
from sensam.nn.segformer import Levels, SegFormer, build_segformer, load_segformer

HERE = "train"  # the assistant that is trained on labels in a stage of its own
GONE = "gone"  # none, in a model whose student has learnt all: nothing is read to rebuild it
NEVER = -20.0  # the logit of a class that the assistant does not know


class Assistant(nn.Module):
    """A network, the bands it is shown, and which of its classes make which of ours."""

    def __init__(self, net: nn.Module, bands: Sequence[int] | None, sources: Sequence[Sequence[int]] | None) -> None:
        super().__init__()
        self.net = net
        self.bands = None if bands is None else list(bands)  # None: all, in their order
        self.sources = None if sources is None else [list(entry) for entry in sources]  # None: the same classes

    @property
    def widths(self) -> tuple[int, ...] | None:
        """Channels of its four levels of features; None where it shows none."""
        return None if self._levelled is None else self._levelled.widths

    @property
    def _levelled(self) -> SegFormer | OwnModel | None:
        if isinstance(self.net, SegFormer):
            return self.net
        return self.net if isinstance(self.net, OwnModel) and self.net.widths else None

    def forward(self, image_BCHW: Tensor) -> Tensor:
        shown = image_BCHW if self.bands is None else image_BCHW[:, self.bands]
        logits: Tensor = self.net(shown)
        return self._translated(logits)

    def analyse(self, image_BCHW: Tensor) -> tuple[Tensor, Levels]:
        """Logits and the features of four levels, of one that has `widths`."""
        assert self._levelled is not None
        logits, levels = self._levelled.analyse(image_BCHW if self.bands is None else image_BCHW[:, self.bands])
        return self._translated(logits), levels

    def _translated(self, logits_BKHW: Tensor) -> Tensor:
        """Logits of our classes: the probabilities of those that are one here are added."""
        if self.sources is None:
            return logits_BKHW
        unknown = torch.full_like(logits_BKHW[:, 0], NEVER)
        parts = [logits_BKHW[:, entry].logsumexp(1) if entry else unknown for entry in self.sources]
        return torch.stack(parts, 1)


def find_assistant(task: Task, config: GoodSamConfig, net: nn.Module | None = None) -> Assistant:
    """The assistant that the settings name, or around a network that is there already."""
    if net is None:
        net = _build(task, config)
    names = tuple(getattr(net, "class_names", ()))
    # transformers calls classes LABEL_0, LABEL_1, ... where a checkpoint does not say what they are.
    sources = None
    if names and not all(name.startswith("LABEL_") for name in names):
        sources = match_classes(names, task.classes, config)
    elif config.renamed or config.unanswered:
        raise SettingsError("renamed and unanswered are about classes by name, but the assistant does not name its.")
    return Assistant(net, _bands(task, net), sources)


def match_classes(theirs: Sequence[str], ours: Sequence[str], config: GoodSamConfig) -> list[list[int]] | None:
    """For each of our classes the assistant's that are it, by name; None where both lists are the same."""
    strangers = sorted(set(config.renamed) - set(theirs)) + sorted(set(config.renamed.values()) - set(ours))
    if strangers:
        raise SettingsError(f"renamed speaks of {strangers[0]!r}; the assistant has {_list(theirs)}, we {_list(ours)}.")
    called = [_plain(config.renamed.get(name, name)) for name in theirs]
    sources = [[place for place, name in enumerate(called) if name == _plain(wanted)] for wanted in ours]
    lacking = [name for name, entry in zip(ours, sources, strict=True) if not entry and name not in config.unanswered]
    if lacking:
        raise SettingsError(
            f"The assistant knows no {', '.join(lacking)} (it has {_list(theirs)}). Say what it calls them with "
            "`renamed`, or accept that they are never predicted with `unanswered`."
        )
    return None if sources == [[place] for place in range(len(theirs))] else sources


def _build(task: Task, config: GoodSamConfig) -> nn.Module:
    if config.assistant in (HERE, GONE):
        return build_segformer(config.assistant_size, bands=task.bands, classes=len(task.classes))
    if is_model(config.assistant):
        return OwnModel(config.assistant, task)
    module, colon, attribute = config.assistant.partition(":")
    if not colon:
        return load_segformer(config.assistant)
    try:
        build: Callable[[Task], nn.Module] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as fault:
        raise SettingsError(
            f"Assistant {config.assistant!r} cannot be imported ({fault}). Give module:function, on Python's path."
        ) from fault
    return build(task)


def _bands(task: Task, net: nn.Module) -> list[int] | None:
    """All bands if it takes as many; the three that look like a photograph if it takes three."""
    takes = getattr(net, "bands", task.bands)
    if takes == task.bands:
        return None
    if takes == 3:
        return list(task.sensor.display)
    raise SettingsError(
        f"The assistant takes {takes} bands, sensor {task.sensor.name} has {task.bands}. "
        "Give one for all of them or for three, or choose bands in the data set."
    )


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def _list(names: Sequence[str], shown: int = 6) -> str:
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")
