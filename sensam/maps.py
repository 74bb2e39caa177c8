"""Maps of scenes from a trained model, however it is kept: the Python side of `sensam predict`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sensam.errors import SettingsError, WeightsError, unknown
from sensam.infer.mapping import MapSettings, SceneJob, Target
from sensam.infer.regrid import Resolution, trained_resolution
from sensam.infer.segmenter import Segmenter
from sensam.infer.voting import Augmentation, Precision, Vote

PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib"}


@dataclass(frozen=True, slots=True)
class ModelSource:
    """One model or several, and how they are asked; travels to workers and makes the model there."""

    models: tuple[str, ...]
    base: str | None = None
    augmentation: Augmentation = "none"
    precision: Precision = "auto"
    device: str = "auto"

    def __call__(self) -> Vote:
        members = [load_segmenter(model, base=self.base) for model in self.models]
        return Vote(members, augmentation=self.augmentation, precision=self.precision, device=self.device)


def load_segmenter(model: str | Path, *, base: str | Path | None = None) -> Segmenter:
    """A model from an .onnx file, or from its folder, the folder of its run, or the hub."""
    path = Path(model)
    if path.suffix.lower() == ".onnx":
        from sensam.infer.onnx_network import load_onnx

        return load_onnx(path)
    if path.suffix.lower() in PICKLES:
        raise WeightsError(f"{model} may hold a pickle, which is never run. Give a model folder or an .onnx file.")
    if path.is_file():
        raise WeightsError(f"{model} is a file. Give a model folder, the folder of a run, or an .onnx file.")
    # What trains and what is trained is imported only here: an exported model needs none of it.
    from sensam.run.model import load

    return load(model, base=base).segmenter


def predict(
    model: Segmenter | str | Path | Any,
    scenes: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    augmentation: Augmentation = "none",
    precision: Precision = "auto",
    device: str = "auto",
    progress: Callable[[int, int, float], None] | None = None,
    **settings: Any,
) -> list[Path]:
    """Map scenes into a folder, or one scene into one .tif; the files of all maps, each scene's class map last.

    `model` is a model in memory (a Segmenter, or what `sensam.load` returns), a folder or an .onnx file. `settings` are
    the fields of `sensam.infer.mapping.MapSettings`. What is there already is left alone.
    """
    if isinstance(model, str | Path):
        member = load_segmenter(model)
    else:
        member = model if isinstance(model, Segmenter) else model.segmenter
    given = [str(scenes)] if isinstance(scenes, str | Path) else [str(scene) for scene in scenes]
    vote = Vote([member], augmentation=augmentation, precision=precision, device=device)
    chosen = settled(settings_of(settings), augmentation, vote)
    fingerprint = fingerprint_of(vote)
    made: list[Path] = []
    for scene in given:
        job = SceneJob(member, fingerprint, scene, Target.of(scene, Path(out), alone=len(given) == 1), chosen)
        made += job.outputs if job.is_done else job.complete(job.run(vote, progress=progress))
    return made


def settings_of(values: dict[str, Any]) -> MapSettings:
    """Checked settings from keywords."""
    known = MapSettings.__dataclass_fields__
    for name in values:
        if name not in known or name == "how":
            raise unknown("setting of predict", name, set(known) - {"how"})
    return MapSettings(**values)


def notes_on_tiles(vote: Vote) -> list[str]:
    """What is to be said of members that learnt from whole images, as no scene is stretched into one tile."""
    return [
        f"{member.name} learnt from whole images stretched to {member.size} x {member.size} pixels; a scene is mapped "
        "in tiles of its own pixels, which `sensam evaluate` does not score. For single images: "
        "sensam.load(MODEL).predict(IMAGE)"
        for member in vote.members
        if member.fit == "stretch"
    ]


def fingerprint_of(vote: Vote) -> str:
    """One name for the weights of all members."""
    return "+".join(member.fingerprint for member in vote.members)


def settled(settings: MapSettings, augmentation: str, vote: Vote) -> MapSettings:
    """Settings with what follows from the device: tiles at once, and what else decides the numbers."""
    batch = vote.batch if settings.batch is None else settings.batch
    return replace(settings, batch=batch, how=f"{augmentation},{'bf16' if vote.is_half else 'fp32'}")


def resolution_of(text: str | None, model: Segmenter) -> Resolution | None:
    """`--resample`: a number, or what the model was trained on, where it says so."""
    if text is None:
        return None
    if text == "trained":
        trained_resolution(model)
        return "trained"
    try:
        return float(text)
    except ValueError:
        raise SettingsError(
            f"--resample {text} is no number. Give the size of a pixel such as 10, or: trained."
        ) from None


def box_of(text: str | None) -> tuple[float, float, float, float] | None:
    """`--bbox`: four numbers."""
    if text is None:
        return None
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--bbox {text} cannot be read. Write xmin,ymin,xmax,ymax.") from None
    return x0, y0, x1, y1
