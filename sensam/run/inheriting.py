"""Inheritance alone: a student for all bands of a sensor from images without labels, ready for clicks or labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensam.run.model import Model
from sensam.run.training import train

METHOD, STAGE = "e2sam", "inherit"


def inherit(
    data: str | Path,
    *,
    out: str | Path = "runs/inherited",
    teacher: str = "nano",
    seed: int = 0,
    cache: str | Path | None = None,
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
    stages: Mapping[str, Mapping[str, Any]] | None = None,
    machine: Mapping[str, Any] | None = None,
    quiet: bool = False,
    **training: Any,
) -> Model:
    """Train E2SAM's student without labels; the model as it stands before fine-tuning.

    `cache` is a folder in which the teacher's features are kept, of the same windows in every epoch. Go on with
    labels by `train(data, method="e2sam", begin_from=out)`, or prompt at once with `inherited_predictor(model.method)`.
    """
    return train(
        data,
        method=METHOD,
        out=out,
        teacher=teacher,
        seed=seed,
        resume=resume,
        settings=with_cache(settings or {}, cache),
        stages={**(stages or {}), STAGE: {**views_for(cache), **(stages or {}).get(STAGE, {})}},
        stop_after=STAGE,
        machine=machine,
        quiet=quiet,
        **training,
    )


def with_cache(settings: Mapping[str, Any], cache: str | Path | None) -> dict[str, Any]:
    """The method's settings with a folder for features, where one is given."""
    return {**settings, "cache": str(cache)} if cache is not None else dict(settings)


def views_for(cache: str | Path | None) -> dict[str, Any]:
    """Settings of the stage: features can only be kept of windows that come again."""
    return {"views": "grid"} if cache is not None else {}
