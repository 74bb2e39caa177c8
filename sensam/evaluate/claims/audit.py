"""Do printed tables agree with themselves: differences recomputed, and the identity that ties two-class scores."""

from collections.abc import Iterator
from dataclasses import dataclass

from sensam.evaluate.claims.ledger import DELTA, Claim, Paper, Row
from sensam.train import confusion

ROUNDING = 0.0101  # of a difference of two numbers that were rounded to 0.01 each
IDENTITY_SLACK = 0.02  # of the mIoU that two rounded scores imply, in points


@dataclass(frozen=True, slots=True)
class Finding:
    """A printed cell beside what the rest of the table says it should be."""

    row: str
    cell: str
    printed: float
    recomputed: float
    is_flagged: bool

    @property
    def gap(self) -> float:
        return abs(self.printed - self.recomputed)


def implied_miou(csi: float, all_accuracy: float) -> float:
    """The mIoU of a two-class result, from IoU of its positive class and overall accuracy; all in points of 100."""
    return 100 * confusion.implied_miou(all_accuracy / 100, csi / 100)


def rates(csi: float, all_accuracy: float, prevalence: float) -> tuple[float, float]:
    """Recall and precision of the positive class of a two-class result; all in points of 100."""
    positive, error = csi / 100, 1 - all_accuracy / 100
    union = error / (1 - positive)
    hits = positive * union
    missed = prevalence / 100 - hits
    return 100 * hits / (prevalence / 100), 100 * hits / (hits + error - missed)


def check_deltas(paper: Paper) -> Iterator[Finding]:
    """Every printed difference beside the difference of the two printed scores."""
    for row in paper.rows:
        if row.against is None:
            continue
        base = paper.row(row.against)
        for cell, printed in row.deltas.items():
            known = (row.flag(DELTA + cell), row.flag(cell), base.flag(cell))
            recomputed = round(row.values[cell] - base.values[cell], 2)
            yield Finding(row.id, DELTA + cell, printed, recomputed, any(known))


def check_identity(paper: Paper) -> Iterator[Finding]:
    """Every printed mIoU of two classes beside the one that its neighbours imply."""
    for row in paper.rows:
        if {"CSI", "mIoU", "allAcc"} <= row.values.keys():
            implied = implied_miou(row.values["CSI"], row.values["allAcc"])
            is_flagged = any(row.flag(cell) for cell in ("CSI", "mIoU", "allAcc"))
            yield Finding(row.id, "mIoU", row.values["mIoU"], round(implied, 2), is_flagged)


def weighted_mean(row: Row, sizes: dict[str, int]) -> float:
    """The mean of a row's parts by how many samples each has."""
    return sum(row.values[name] * count for name, count in sizes.items()) / sum(sizes.values())


def printed_supports(paper: Paper, claim: Claim) -> bool | None:
    """Whether the printed numbers say what the claim says; None where no numbers are printed."""
    found = list(paper.differences(claim))
    if not found:
        return None
    if claim.margin is not None:
        return all(abs(difference) < claim.margin for difference in found)
    return all(difference > 0 for difference in found)
