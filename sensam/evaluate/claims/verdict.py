"""From measured differences to a verdict: supported, not supported, undecided, or not measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sensam.evaluate.claims.ledger import Claim
from sensam.evaluate.statistics import LEVEL, Difference

Word = Literal["supported", "not supported", "undecided", "not measured"]


@dataclass(frozen=True, slots=True)
class Measured:
    """One difference of a claim as a scaled-down run found it, in the units of its measure."""

    what: str  # study: left - right
    difference: Difference
    unit: str = "points"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found about a claim."""

    claim: str
    word: Word
    why: str
    measured: tuple[Measured, ...] = ()


def judge(claim: Claim, measured: Sequence[Measured]) -> Verdict:
    """Supported only if every difference says so beyond noise; not supported if one says the opposite beyond noise.

    The first needs no correction for how many differences there are, since all must hold; the second does.
    """
    if claim.kind == "unreachable":
        return Verdict(claim.id, "not measured", claim.cannot)
    if len(measured) < len(claim.scaled) or not measured:
        return Verdict(claim.id, "not measured", "the entries that it compares did not all finish", tuple(measured))
    if claim.kind == "fewer":
        return _count(claim, measured)
    lone = [entry for entry in measured if entry.difference.seeds < 2]
    if lone:
        return Verdict(claim.id, "undecided", "one seed cannot tell merit from luck", tuple(measured))
    if claim.kind == "close":
        return _close(claim, measured)
    against = [entry for entry in measured if _is_below(entry.difference, len(measured))]
    if against:
        return Verdict(claim.id, "not supported", f"the opposite was found in {against[0].what}", tuple(measured))
    open_ones = [entry for entry in measured if not (entry.difference.is_real and entry.difference.value > 0)]
    if open_ones:
        text = f"{len(open_ones)} of {len(measured)} differences within noise"
        return Verdict(claim.id, "undecided", text, tuple(measured))
    return Verdict(claim.id, "supported", "every difference is beyond noise", tuple(measured))


def decide(claim: Claim, *, holds: bool, why: str) -> Verdict:
    """The verdict on what is computed exactly."""
    return Verdict(claim.id, "supported" if holds else "not supported", why)


def _is_below(difference: Difference, count: int) -> bool:
    return difference.value < 0 and difference.p * count < LEVEL


def _close(claim: Claim, measured: Sequence[Measured]) -> Verdict:
    """Equivalence: an interval within the margin. That no difference was found is no proof that there is none."""
    assert claim.margin is not None
    margin = claim.margin
    if all(-margin < entry.difference.low and entry.difference.high < margin for entry in measured):
        return Verdict(claim.id, "supported", f"every interval lies within {margin:g}", tuple(measured))
    if any(entry.difference.low > margin or entry.difference.high < -margin for entry in measured):
        return Verdict(claim.id, "not supported", f"an interval lies beyond {margin:g}", tuple(measured))
    return Verdict(claim.id, "undecided", f"an interval reaches across {margin:g}", tuple(measured))


def _count(claim: Claim, measured: Sequence[Measured]) -> Verdict:
    """Parameters and operations are counted, not drawn: no interval is needed."""
    if all(entry.difference.value < 0 for entry in measured):
        return Verdict(claim.id, "supported", "counted", tuple(measured))
    return Verdict(claim.id, "not supported", "counted", tuple(measured))
