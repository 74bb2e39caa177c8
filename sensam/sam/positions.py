"""SAM's position tables at any size: the learned grid added to tokens, and offsets between rows and columns."""

import torch
import torch.nn.functional as F
from torch import Tensor


def resample_grid(grid_1hwD: Tensor, size: tuple[int, int]) -> Tensor:
    """The learned grid for another number of rows and columns of tokens; itself at its own size."""
    if grid_1hwD.shape[1:3] == size:
        return grid_1hwD
    channels_first = grid_1hwD.permute(0, 3, 1, 2)
    return F.interpolate(channels_first, size=size, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)


def offsets(table_LD: Tensor, length: int) -> Tensor:
    """`length x length x D`: the vector for every pair of a query's and a key's place on one axis.

    The table holds one vector per distance from -(n-1) to n-1; another n is reached by linear resampling.
    """
    distances = 2 * length - 1
    if table_LD.shape[0] != distances:
        table_LD = F.interpolate(table_LD.t()[None], size=distances, mode="linear")[0].t()
    place = torch.arange(length, device=table_LD.device)
    return table_LD[place[:, None] - place[None, :] + length - 1]
