"""Pieces cover every token once, in their place, and never part what belongs together."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sensam.sam import piecewise
from sensam.sam.piecewise import by_rows


@given(st.integers(1, 4), st.integers(1, 30), st.integers(1, 30), st.integers(1, 7), st.integers(1, 200))
def test_pieces_make_the_whole(images: int, h: int, w: int, together: int, limit: int) -> None:
    x = torch.arange(images * h * w).view(images, h, w, 1)
    seen = []

    def negate(piece: Tensor) -> Tensor:
        seen.append(piece)
        return torch.cat([-piece, piece], -1)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(piecewise, "TOKENS_AT_ONCE", limit)
        out = by_rows(negate, x, together)
    assert torch.equal(out, torch.cat([-x, x], -1))
    assert sum(piece.numel() for piece in seen) == x.numel()
    for piece in seen:
        assert piece.numel() <= max(limit, together * w)
        assert (piece[0, 0, 0, 0] // w) % h % together == 0  # a piece begins where a group of rows does


def test_one_piece_where_gradients_are_needed() -> None:
    sizes = []
    x = torch.zeros(1, 64, 64, 1)
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            by_rows(lambda piece: sizes.append(len(piece[0])) or piece, x)
    assert sizes == [64, 16, 16, 16, 16]
