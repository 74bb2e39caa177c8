"""Position tables at other sizes: transformers' numbers, closed forms, and identity at home."""

import pytest
import torch
from transformers.models.sam.modeling_sam import SamVisionAttention

from sensam.sam.anatomy import anatomy
from sensam.sam.model import transformers_config
from sensam.sam.positions import offsets, resample_grid


def test_at_its_own_size_the_grid_is_itself() -> None:
    grid = torch.randn(1, 5, 7, 3)
    assert resample_grid(grid, (5, 7)) is grid


def test_a_resampled_grid_follows_rows_and_columns() -> None:
    """A ramp stays a ramp between the outermost centres, and each axis keeps its own direction."""
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    grid = torch.stack([rows, columns, torch.ones(8, 8)], -1)[None]
    out = resample_grid(grid, (16, 4))[0]
    assert out.shape == (16, 4, 3)
    torch.testing.assert_close(out[1:-1, 0, 0], torch.arange(0.25, 7, 0.5))
    torch.testing.assert_close(out[0, :, 1], torch.tensor([0.5, 2.5, 4.5, 6.5]))
    assert (out[..., 2] == 1).all()


@pytest.mark.parametrize("length", [1, 2, 5, 8, 13])
def test_offsets_are_those_of_transformers(length: int) -> None:
    table = torch.randn(15, 6)  # trained for 8 tokens a side
    theirs = SamVisionAttention(transformers_config(anatomy("nano")).vision_config, 0)
    torch.testing.assert_close(offsets(table, length), theirs.get_rel_pos(length, length, table))


def test_at_its_own_size_an_offset_is_a_row_of_the_table() -> None:
    table = torch.randn(15, 6)
    out = offsets(table, 8)
    for query in range(8):
        for key in range(8):
            assert torch.equal(out[query, key], table[query - key + 7])


def test_offsets_pass_gradients_to_every_distance() -> None:
    table = torch.randn(15, 2, requires_grad=True)
    offsets(table, 8).sum().backward()
    distances = torch.arange(-7, 8).abs()
    torch.testing.assert_close(table.grad, (8.0 - distances)[:, None].expand(15, 2))
