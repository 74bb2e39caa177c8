"""Windows cover the grid once; what reaches over the edge is filled, not computed."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sensam.sam.anatomy import anatomy
from sensam.sam.attention import attend_explicit
from sensam.sam.windows import SelfAttention, fill, spans

SMALL = replace(anatomy("nano"), width=16, heads=2, window=4, patch=4, image_size=32)
GRIDS = [(8, 8), (4, 4), (3, 3), (5, 9), (2, 11), (10, 4), (1, 1)]


def make(window: int = 4) -> SelfAttention:
    layer = SelfAttention(SMALL, window)
    for weight in layer.parameters():
        nn.init.normal_(weight, std=0.4)
    return layer.eval()


@given(st.integers(1, 100), st.integers(1, 20))
def test_spans_cover_a_side_in_order(length: int, window: int) -> None:
    covered = [place for span in spans(length, window) for place in range(span.start, span.stop)]
    assert covered == list(range(length))
    assert all(
        (span.stop - span.start) % window == 0 or span.stop - span.start < window for span in spans(length, window)
    )


def test_fill_adds_to_the_right_and_below() -> None:
    filled = fill(torch.ones(2, 3, 2, 3, 1), torch.zeros(3, 1, 1, 1), (4, 4))
    expected = torch.zeros(4, 4)
    expected[:2, :3] = 1
    assert torch.equal(filled[1, 2, ..., 0], expected)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_only_real_tokens_are_projected_and_asked(grid: tuple[int, int]) -> None:
    layer, tokens, queries = make(), [], []

    def attend(query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        queries.append(query.shape[0] * query.shape[2])
        assert key.shape[2] == value.shape[2] == 16  # whole windows
        return attend_explicit(query, key, value, rows, columns)

    layer.attend = attend
    for projection in (layer.qkv, layer.proj):
        projection.register_forward_hook(lambda _, args, __: tokens.append(args[0].shape[:3].numel()))
    layer(torch.randn(2, *grid, 16))
    count = 2 * grid[0] * grid[1]
    assert sum(queries) == count
    assert tokens == [count, count]


class Shifted(nn.Module):
    """An adapter in place of a projection: to a zero token it says more than a bias."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x + 0.5)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_an_adapter_is_asked_what_it_makes_of_a_zero_token(grid: tuple[int, int]) -> None:
    layer, x = make(), torch.randn(2, *grid, 16)
    layer.qkv = Shifted(layer.qkv)
    whole = nn.functional.pad(x, (0, 0, 0, -grid[1] % 4, 0, -grid[0] % 4))
    torch.testing.assert_close(layer(x), layer(whole)[:, : grid[0], : grid[1]])


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_filled_windows_are_windows_of_zero_tokens(grid: tuple[int, int]) -> None:
    layer, x = make(), torch.randn(2, *grid, 16)
    whole = nn.functional.pad(x, (0, 0, 0, -grid[1] % 4, 0, -grid[0] % 4))
    torch.testing.assert_close(layer(x), layer(whole)[:, : grid[0], : grid[1]])


def test_windows_do_not_see_each_other() -> None:
    layer, x = make(), torch.randn(1, 8, 8, 16)
    other = x.clone()
    other[:, 4:] += 1
    assert torch.equal(layer(x)[:, :4], layer(other)[:, :4])
    assert not torch.equal(make(0)(x)[:, :4], make(0)(other)[:, :4])
