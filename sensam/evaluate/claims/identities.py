"""Claims that follow from how a method is built: computed exactly instead of measured in training."""

from collections.abc import Callable, Mapping

import torch

from sensam.evaluate.claims.ledger import Claim
from sensam.evaluate.claims.verdict import Verdict, decide

TRIPLES = 10_000  # drawn one by one, as training draws them
STUDENT_MILLIONS = 3.7


def settle_identity(claim: Claim) -> Verdict:
    """The verdict on a claim of kind `identity`."""
    assert claim.identity is not None
    return CHECKS[claim.identity](claim)


def _mmd_is_blind(claim: Claim) -> Verdict:
    """Give every student another image's teacher: MMD over the batch must not notice, MSE must."""
    from sensam.nn.mmd import mmd_of_maps

    maps_BF = torch.randn(8, 4096, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    swapped_BF = maps_BF.roll(1, 0)
    mmd, mse = float(mmd_of_maps(swapped_BF, maps_BF)), float((swapped_BF - maps_BF).square().mean())
    why = (
        f"8 students that each match another image's teacher exactly: batch MMD {abs(mmd):.3f}, MSE {mse:.2f} "
        "(unrelated maps have 2)"
    )
    return decide(claim, holds=abs(mmd) < 1e-3 < mse, why=why)


def _every_band_is_picked(claim: Claim) -> Verdict:
    """Shares of many triples of sixteen bands against 1/16, by four standard errors of independent draws."""
    from sensam.nn.selector import draw_triples

    bands = 16
    generator = torch.Generator().manual_seed(0)
    triples = torch.cat([draw_triples(generator, bands, 1) for _ in range(TRIPLES)])
    share_C = torch.bincount(triples.flatten(), minlength=bands) / triples.numel()
    farthest = float((share_C - 1 / bands).abs().max())
    reach = 4 * (1 / bands * (1 - 1 / bands) / triples.numel()) ** 0.5
    why = f"{TRIPLES} triples of {bands} bands: shares within {farthest:.5f} of 1/{bands}, luck reaches {reach:.5f}"
    return decide(claim, holds=farthest < reach, why=why)


def _student_is_small(claim: Claim) -> Verdict:
    from sensam.nn.segformer import build_segformer

    with torch.device("meta"):
        student = build_segformer("b0", bands=3, classes=19)
    millions = sum(parameter.numel() for parameter in student.parameters()) / 1e6
    why = f"the smallest student with 19 classes has {millions:.2f} million parameters"
    return decide(claim, holds=round(millions, 1) == STUDENT_MILLIONS, why=why)


CHECKS: Mapping[str, Callable[[Claim], Verdict]] = {
    "mmd-blind": _mmd_is_blind,
    "selection-share": _every_band_is_picked,
    "student-size": _student_is_small,
}
