"""A user's mistake, said in one line: what was found, what was needed, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class SensamError(Exception):
    """A mistake the user can mend. Commands print it as one line and exit with code 2."""


class InputError(SensamError):
    """An image, mask, prompt or data set that cannot be used as it is."""


class SettingsError(SensamError):
    """A setting that does not exist or has a value that makes no sense."""


class WeightsError(SensamError):
    """Weights that are missing, unreadable, or belong to another model."""


class MissingExtraError(SensamError):
    """An optional package is needed for what was asked."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional package: pip install 'sensam[{extra}]'")


def unknown(kind: str, name: str, known: Iterable[str]) -> SettingsError:
    """The error for a misspelt name, with the nearest right one."""
    names = sorted(known)
    nearest = get_close_matches(name, names, n=1)
    hint = f"Did you mean {nearest[0]!r}?" if nearest else f"Known: {', '.join(names)}."
    return SettingsError(f"There is no {kind} named {name!r}. {hint}")
