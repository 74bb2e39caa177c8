"""The settings of a run: typed, frozen, from YAML or the command line, resolved stage by stage."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sensam.complaints import UNREADABLE, explain, explain_reading
from sensam.errors import InputError, SettingsError, unknown
from sensam.files import write_text

EPOCHS = 50  # of a stage whose length nobody settled
PASSING = ("track", "out")  # parts of a run that do not decide what is learnt
PASSING_TRAINING = ("workers", "save_every", "checkpointing")

Settings = TypeVar("Settings", bound=BaseModel)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TrainSettings(_Frozen):
    """How one stage learns. Only what was set counts: the rest comes from the method's paper, then from here."""

    epochs: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)  # of the optimiser, instead of epochs
    batch: int = Field(default=8, ge=1)  # images in each process at a time
    accumulate: int = Field(default=1, ge=1)  # such batches in one step of the optimiser
    rate: float = Field(default=1e-4, gt=0)
    least_rate: float = Field(default=1e-6, ge=0)  # on the last step, for parameters that learn at the full rate
    warm_up: float = Field(default=0.05, ge=0, lt=1)  # share of the steps over which the rate rises
    halve_every: int | None = Field(default=None, ge=1)  # epochs after which the rate halves; without: a cosine
    weight_decay: float = Field(default=0.05, ge=0)
    decay_all: bool = False  # also norms, biases and tables of positions
    optimiser: Literal["adamw", "muon"] = "adamw"  # muon: for matrices of hidden layers; AdamW for all others
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    clip: float = Field(default=1.0, ge=0)  # largest norm of the gradient; 0 for none
    size: int = Field(default=256, ge=1)  # pixels on a side of a training window
    fit: Literal["crop", "stretch"] = "crop"  # windows of images, or whole images stretched to the size
    views: Literal["random", "grid"] = "random"  # windows drawn anew, or the same ones in every epoch
    length: int | None = Field(default=None, ge=1)  # samples in an epoch, if not as many as windows fit into the images
    label_share: float = Field(default=1.0, gt=0, le=1)  # of the labelled images; smaller shares lie within larger ones
    augment: Mapping[str, Any] | None = None  # as in sensam.data.augment; by default what the sensor's geometry allows
    split: str = "train"
    val_split: str = "val"
    validations: int = Field(default=10, ge=0)  # how often, evenly over the stage; 0 for never
    patience: int | None = Field(default=None, ge=1)  # validations without a better score after which a stage stops
    keep: Literal["best", "last"] = "best"
    checkpointing: bool = False  # compute activations of SAM's blocks twice instead of keeping them
    workers: int = Field(default=2, ge=0)  # processes that read images
    save_every: int = Field(default=200, ge=1)  # steps between two checkpoints within an epoch
    log_every: int = Field(default=20, ge=1)  # steps in one row of log.csv

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("epochs and steps both settle the length; give one of them")
        if self.least_rate > self.rate:
            raise ValueError(f"least_rate {self.least_rate:g} is above rate {self.rate:g}")
        return self


class MachineSettings(_Frozen):
    """What a run computes on."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: int | Literal["auto"] = 1  # processes on each node
    nodes: int = Field(default=1, ge=1)
    precision: Literal["32", "bf16"] = "32"

    @field_validator("devices")
    @classmethod
    def _are_some(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError(f"{value} processes compute nothing; give 1 or more, or auto")
        return value

    @field_validator("precision", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value  # YAML and --set read 32 as a number


class RunSettings(_Frozen):
    """Everything that makes a run."""

    data: str
    method: str
    settings: Mapping[str, Any] = Field(default_factory=dict)  # the method's own
    teacher: str = "nano"  # the SAM to start from: nano, b, l, h, a hub id, a folder, or Meta's .pth
    seed: int = Field(default=0, ge=0, lt=2**63)
    out: str = "runs/last"
    train: TrainSettings = TrainSettings()  # for every stage
    stages: Mapping[str, TrainSettings] = Field(default_factory=dict)  # for one, by its name
    begin_from: str | None = None  # a model of the same method, whose stages are not repeated
    stop_after: str | None = None  # the last stage to run
    machine: MachineSettings = MachineSettings()
    track: tuple[Literal["tensorboard", "mlflow"], ...] = ("tensorboard",)

    def for_stage(self, stage: str, paper: Mapping[str, Any]) -> TrainSettings:
        """The user's settings over the paper's over ours; for one stage over those for all."""
        own = self.stages.get(stage, TrainSettings())
        merged: dict[str, Any] = {}
        for layer in (dict(paper), _given(self.train), _given(own)):
            if layer.keys() & {"epochs", "steps"}:
                merged = {key: value for key, value in merged.items() if key not in ("epochs", "steps")}
            merged |= layer
        if merged.get("epochs") is None and merged.get("steps") is None:
            merged["epochs"] = EPOCHS
        return validate(TrainSettings, merged, where=f"stage {stage}")

    def resolved(self, papers: Mapping[str, Mapping[str, Any]]) -> "RunSettings":
        """With every setting of every stage written out."""
        strangers = [name for name in (*self.stages, self.stop_after) if name is not None and name not in papers]
        if strangers:
            raise unknown(f"stage of {self.method}", strangers[0], papers)
        stages = {name: self.for_stage(name, paper) for name, paper in papers.items()}
        return self.model_copy(update={"stages": stages})

    def to_dict(self) -> dict[str, Any]:
        """As YAML and JSON can hold it; what was left open stays out."""
        values = self.model_dump(mode="json", exclude_none=True, exclude={"train"})
        given = self.train.model_dump(mode="json", exclude_unset=True)
        return {**values, "train": given} if given else values

    def deciding(self) -> dict[str, Any]:
        """What decides which weights come out: two runs that agree here may continue each other."""
        values = {name: value for name, value in self.to_dict().items() if name not in PASSING}
        values.pop("train", None)  # written out by stage already
        values["machine"].pop("accelerator")
        for stage in values["stages"].values():
            for name in PASSING_TRAINING:
                stage.pop(name, None)
        return values


def _given(settings: TrainSettings) -> dict[str, Any]:
    return settings.model_dump(exclude_unset=True)


def validate(model: type[Settings], values: Mapping[str, Any], where: str) -> Settings:
    """Settings from plain values; a mistake becomes one line that begins with `where`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise explain(error, model, where) from error


def read_settings(path: Path) -> dict[str, Any]:
    """The plain values of a run.yaml."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be read as YAML ({explain_reading(error)}).") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} must be a mapping with `data` and `method`; found {type(values).__name__}.")
    return values


def write_settings(settings: RunSettings, path: Path) -> None:
    """Write a run.yaml, whole or not at all."""
    write_text(path, yaml.safe_dump(settings.to_dict(), sort_keys=False, allow_unicode=True, width=110))


def override(values: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Plain values with `a.b=c` put into them; c is read as YAML."""
    changed = dict(values)
    for assignment in assignments:
        place, equals, text = assignment.partition("=")
        names = place.strip().split(".")
        if not equals or not all(names):
            raise SettingsError(f"--set {assignment} is not understood. Write it as --set train.rate=0.001")
        if names[0] == "method" and names[1:]:
            names[0] = "settings"  # what belongs to the method, as one would say it
        try:
            value = yaml.safe_load(text)
        except UNREADABLE as error:
            raise SettingsError(f"--set {assignment}: {text!r} cannot be read as YAML.") from error
        changed = _with(changed, names, value, assignment)
    return changed


def loosened(values: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Plain values of a run.yaml, without what its stages say of settings that are now set for all of them."""
    names: set[str] = set()
    for assignment in assignments:
        place, _, text = assignment.partition("=")
        first, _, rest = place.strip().partition(".")
        if first == "train":
            names |= {rest} if rest else set(_read_mapping(text))
    lengths = {"epochs", "steps"}  # either of them settles the length
    names = {name.partition(".")[0] for name in names}
    names |= lengths if names & lengths else set()
    changed = dict(values)
    if isinstance(changed.get("stages"), Mapping):
        changed["stages"] = {stage: _without(own, names) for stage, own in changed["stages"].items()}
    if "train" in changed:
        changed["train"] = _without(changed["train"], names & lengths)
    return changed


def _without(values: Any, names: set[str]) -> Any:
    """What is no mapping stays for `validate` to complain about."""
    return {k: v for k, v in values.items() if k not in names} if isinstance(values, Mapping) else values


def _read_mapping(text: str) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(text)
    except UNREADABLE:
        return {}  # `override` says so
    return found if isinstance(found, Mapping) else {}


def _with(values: Mapping[str, Any], names: list[str], value: Any, assignment: str) -> dict[str, Any]:
    first, *rest = names
    if not rest:
        return {**values, first: value}
    inner = values.get(first) or {}
    if not isinstance(inner, Mapping):
        raise SettingsError(f"--set {assignment}: {first} is {inner!r}, which holds no {rest[0]!r}.")
    return {**values, first: _with(inner, rest, value, assignment)}
