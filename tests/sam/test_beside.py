"""Keys without a place beside the grid: every path agrees with scores written out, in windows and over the whole."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sensam.sam.attention import PATHS
from sensam.sam.attention.beside import attend_beside
from sensam.sam.model import Sam
from sensam.sam.positions import offsets
from sensam.sam.windows import SelfAttention


def written_out(attention: SelfAttention, x_hwD: Tensor, more: tuple[Tensor, Tensor]) -> Tensor:
    """One whole window by loops over its tokens; further keys get no bias."""
    h, w, _ = x_hwD.shape
    query, key, value = attention.qkv(x_hwD).view(h * w, 3, attention.heads, -1).permute(1, 2, 0, 3)
    rows, columns = offsets(attention.rel_pos_h, h), offsets(attention.rel_pos_w, w)
    heads = []
    for head in range(attention.heads):
        found = []
        for place in range(h * w):
            one = query[head, place]
            bias = (rows[place // w] @ one)[:, None] + (columns[place % w] @ one)[None]
            grid = key[head] @ one * one.numel() ** -0.5 + bias.flatten()
            scores = torch.cat([grid, more[0][head] @ one * one.numel() ** -0.5])
            found.append(scores.softmax(0) @ torch.cat([value[head], more[1][head]]))
        heads.append(torch.stack(found))
    return attention.proj(torch.cat(heads, -1)).view(h, w, -1)


@pytest.mark.parametrize("path", ["explicit", "auto"])
@pytest.mark.parametrize("block", [0, 1], ids=["window", "whole"])
def test_every_path_is_the_definition(make_sam: Callable[..., Sam], path: str, block: int) -> None:
    sam = make_sam().double()
    sam.vision_encoder.use_attention(path)
    attention = sam.vision_encoder.layers[block].attn
    side = attention.window or 4
    x = torch.randn(1, side, side, 32, dtype=torch.float64)
    more = torch.randn(2, 5, 16, dtype=torch.float64), torch.randn(2, 5, 16, dtype=torch.float64)
    assert torch.allclose(attention(x, more)[0], written_out(attention, x[0], more), atol=1e-10)


def test_windows_cut_by_the_edge_see_the_same_keys_on_every_path(make_sam: Callable[..., Sam]) -> None:
    attention = make_sam().vision_encoder.layers[0].attn
    x, more = torch.randn(2, 7, 5, 32), (torch.randn(2, 6, 16), torch.randn(2, 6, 16))
    found = []
    for path in ("explicit", "auto"):
        attention.attend = PATHS[path]
        found.append(attention(x, more))
    assert torch.allclose(*found, atol=1e-5)
    assert not torch.allclose(found[0], attention(x), atol=1e-2)


def test_many_keys_on_a_wide_grid_match_the_scores_in_memory() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 24 * 24, 16) for _ in range(3))
    rows, columns = torch.randn(1, 2, 24 * 24, 24), torch.randn(1, 2, 24 * 24, 24)
    more = torch.randn(2, 40, 16), torch.randn(2, 40, 16)
    explicit, fused = (
        attend_beside(PATHS[path], more, query, key, value, rows, columns) for path in ("explicit", "auto")
    )
    assert torch.allclose(explicit, fused, atol=1e-4)
