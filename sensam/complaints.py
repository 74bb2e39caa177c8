"""An error of pydantic or of YAML as one line: the place, what was found, the nearest right name for a misspelt key."""

from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from sensam.errors import SettingsError, unknown


def explain(error: ValidationError, model: type[BaseModel], where: str) -> SettingsError:
    """The first complaint of a validation; a misspelt key goes first, because it explains the others."""
    details = error.errors(include_url=False)
    first = min(details, key=lambda detail: detail["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *parents, name = first["loc"]
        inside = f" in {'.'.join(map(str, parents))}" if parents else ""
        return SettingsError(f"{where}: {unknown(f'setting{inside}', str(name), _fields(model, parents))}")
    if first["type"] == "missing":
        return SettingsError(f"{where}: {place} is missing, and it is needed.")
    message = first["msg"].removeprefix("Value error, ").removesuffix(".")
    return SettingsError(f"{where}: {f'{place}: ' if place else ''}{message}.")


# What reading a YAML file may raise; ValueError is for texts that are no UTF-8, and for dates that are none.
UNREADABLE = (OSError, ValueError, yaml.YAMLError)


def explain_reading(error: Exception) -> str:
    """Why a YAML file cannot be read: the line and what is wrong there, or what the system says."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error).splitlines()[0]


def _fields(model: type[BaseModel], place: list[int | str]) -> set[str]:
    """Names a mapping at this place may have, found by walking the annotations."""
    for part in place:
        field = model.model_fields.get(str(part))
        if field is None:  # a key of a mapping or a position in a list: the model inside was already found
            continue
        model = _inner_model(field.annotation) or model
    aliases = {field.alias for field in model.model_fields.values() if field.alias}
    return set(model.model_fields) | aliases


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _inner_model(inner))), None)
