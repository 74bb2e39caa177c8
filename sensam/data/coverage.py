"""How many tangent planes an image needs, so that they leave nothing of it out."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import ceil, degrees

from sensam.data.lens import RoundLens
from sensam.data.perspective import Look
from sensam.data.raster import Field
from sensam.data.tangent import TangentPlan, look_around
from sensam.errors import SettingsError

NARROWEST_DEG, WIDEST_DEG = 60.0, 90.0  # of a tangent plane; what ordinary cameras see, and what SAM knows
USUAL_DEG = 70.0
SPARSE = 61  # of so many pixels one is asked first, because most numbers of views already fail there


@lru_cache(maxsize=4)
def plan_tangents(
    lens: RoundLens,
    *,
    fov_deg: float = USUAL_DEG,
    columns: int | None = None,
    rows: int | None = None,
    overlap: float = 0.36,
) -> TangentPlan:
    """Views that cover everything a lens sees.

    Where their number is not given, rows are as few as possible, so that views tilt as little as possible, and
    columns at least as many as share `overlap` of their width with the next.
    """
    if not NARROWEST_DEG <= fov_deg <= WIDEST_DEG:
        raise SettingsError(
            f"Gnomonic windows span {NARROWEST_DEG:g} to {WIDEST_DEG:g} degrees, found {fov_deg:g}. Change fov_deg."
        )
    rays_3N = lens.camera.rays()[:, lens.area_HW.numpy() > 0]
    least = 1.0
    for across, down in _numbers(lens, fov_deg, columns, rows, overlap):
        looks = look_around(lens, across, down, fov_deg)
        unseen = _unseen(looks, rays_3N[:, ::SPARSE]) or _unseen(looks, rays_3N)
        if not unseen:
            return TangentPlan(lens, looks, across)
        least = min(least, unseen)
    asked = f"{columns or 'any number'} x {rows or 'any number'}"
    raise SettingsError(
        f"Gnomonic windows of {fov_deg:g} degrees, {asked} (columns x rows), leave {100 * least:.2g} % of the image "
        "unseen. Ask for more columns or rows, a larger fov_deg, or leave columns and rows out."
    )


def _numbers(
    lens: RoundLens, fov_deg: float, columns: int | None, rows: int | None, overlap: float
) -> Iterator[tuple[int, int]]:
    """Columns and rows to try, the fewest rows first."""
    tall, wide = (degrees(reach) for reach in lens.reach)
    usual = max(1, round(wide / (fov_deg * (1 - overlap))))
    most = ceil(tall / fov_deg) + 2
    for down in range(1, most + 1) if rows is None else [rows]:
        for across in range(usual, 2 * usual + 1) if columns is None else [columns]:
            yield across, down


def _unseen(looks: Sequence[Look], rays_3N: Field) -> float:
    """Share of the rays that no view covers."""
    left_3N = rays_3N
    for look in looks:
        left_3N = left_3N[:, ~look.covers(*look.camera.project(left_3N))]
    return left_3N.shape[1] / rays_3N.shape[1]
