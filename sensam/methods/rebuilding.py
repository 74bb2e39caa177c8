"""A method from what was saved of it: the SAM that it sits on, its parts, and exactly the weights that it learnt."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sensam.config import validate
from sensam.errors import WeightsError
from sensam.methods import find_method
from sensam.methods.base import Method, MethodConfig, Stage, Task
from sensam.methods.folder import ModelFolder, describe_difference, is_model, read_model
from sensam.methods.inherited import as_sam
from sensam.nn.surgery import choose, has_part, holdings, remove
from sensam.sam.anatomy import Anatomy
from sensam.sam.checkpoint import identify
from sensam.sam.encoder import ImageEncoder
from sensam.sam.model import Sam
from sensam.sam.report import LoadReport, count_parts
from sensam.sam.weights import load_sam
from sensam.sensors import Sensor


def build_method(name: str, task: Task, settings: Mapping[str, Any] | MethodConfig | None = None) -> Method:
    """A method for a task. The same seed draws the same weights, and no other random numbers are disturbed."""
    kind = find_method(name)
    if isinstance(settings, MethodConfig):
        config = settings
    else:
        config = validate(kind.Config, dict(settings or {}), f"settings of {name}")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # A head for no classes has nothing to draw: fine for stages without labels, and refused for others later.
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        torch.manual_seed(task.seed)
        return kind(task, config)


def learned_by(method: Method, stages: Sequence[Stage]) -> dict[str, frozenset[str]]:
    """Names of the parameters that each stage trains; found before any stage discards a part."""
    names = [name for name, _ in method.named_parameters()]
    return {
        stage.name: frozenset(name for name, factor in choose(names, stage.learns).items() if factor > 0)
        for stage in stages
    }


def trained_by(method: Method, stages: tuple[str, ...]) -> frozenset[str]:
    """Names of the parameters that these stages train; asked of a method from which nothing was discarded."""
    learned = learned_by(method, [stage for stage in method.stages if stage.name in stages])
    return frozenset().union(*learned.values())


def discard(method: Method, stages: Sequence[str]) -> None:
    """Take out what these stages leave behind that has done its work."""
    for stage in method.stages:
        if stage.name in stages:
            for child in stage.discards:
                if has_part(method, child):
                    remove(method, child)


def spent(method: Method, done: Sequence[str]) -> tuple[str, ...]:
    """The stages whose discards a model at rest does without.

    One that stops before the method's last stage keeps what its own last stage had: an inherited student answers
    clicks by parts that fine-tuning no longer needs.
    """
    is_complete = bool(done) and done[-1] == method.stages[-1].name
    return tuple(done) if is_complete else tuple(done[:-1])


def rebuild(folder: ModelFolder, sam: Sam) -> Method:
    """The method of a model folder that was read, on the SAM that `read_base` finds for it."""
    config = folder.config
    sensor = Sensor.from_dict(config["sensor"], where=f"sensor of {folder.source}")
    task = Task(sensor, tuple(config["classes"]), sam, config["size"], config["ignore"], config["seed"])
    method = build_method(config["method"], task, config["settings"])
    restore(method, folder.weights, tuple(config["stages"]), folder.source)
    return method


def restore(method: Method, weights: Mapping[str, torch.Tensor], stages: tuple[str, ...], source: str) -> None:
    """Put trained weights into a fresh method: exactly those that these stages leave behind."""
    trained = trained_by(method, stages)
    discard(method, spent(method, stages))
    put(method, weights, trained, source)


@torch.no_grad()
def put(method: Method, weights: Mapping[str, torch.Tensor], trained: frozenset[str], source: str) -> None:
    """Copy weights into a method: exactly those that training changes."""
    places = holdings(method, trained)
    difference = describe_difference(source, weights, places)
    if difference:
        raise WeightsError(difference)
    for name, place in places.items():
        place.copy_(weights[name])


def read_base(
    config: Mapping[str, Any], source: str, given: str | Path | None = None, *, is_wanted: bool = False
) -> Sam:
    """The SAM that a model sits on, checked to be the same; random where nothing of it is used, unless it is wanted."""
    config = {**config, "is_needed": is_wanted or config["is_needed"]}
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
    teacher = read_base(folder.config["base"], folder.source, is_wanted=True)
    encoder = getattr(getattr(rebuild(folder, teacher), "net", None), "encoder", None)
    if not isinstance(encoder, ImageEncoder):
        raise WeightsError(f"{source} is a model of {folder.config['method']}, which has no encoder to start from.")
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
