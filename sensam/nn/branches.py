"""From a student's tokens to what a teacher sees of three bands: a branch for each band, merged three at a time."""

import torch
from torch import Tensor, nn


class Branches(nn.Module):
    """A small projection for every band. Only those of the chosen bands are computed, and only they get a gradient."""

    def __init__(self, bands: int, width: int, out: int) -> None:
        super().__init__()
        self.of_band = nn.ModuleList(nn.Sequential(nn.Linear(width, out), nn.LayerNorm(out)) for _ in range(bands))

    def forward(self, tokens_BhwD: Tensor, triples_BN3: Tensor) -> Tensor:
        """B x N x h x w x 3E: for N triples of every image its three branches side by side, in the triple's order."""
        triples_BN3 = triples_BN3.cpu()
        rows: list[Tensor] = []
        place_BC = torch.zeros(len(triples_BN3), len(self.of_band), dtype=torch.long)
        count = 0
        for band in triples_BN3.unique().tolist():  # each branch runs once, on the images of which a triple has it
            images = (triples_BN3 == band).any(-1).any(-1).nonzero()[:, 0]
            place_BC[images, band] = torch.arange(count, count + len(images))
            count += len(images)
            whole = len(images) == len(tokens_BhwD)
            rows.append(self.of_band[band](tokens_BhwD if whole else tokens_BhwD[images.to(tokens_BhwD.device)]))
        chosen = place_BC.gather(1, triples_BN3.flatten(1)).view_as(triples_BN3).to(tokens_BhwD.device)
        columns = torch.cat(rows)[chosen]  # B x N x 3 x h x w x E
        return columns.permute(0, 1, 3, 4, 2, 5).flatten(-2)


class Merge(nn.Module):
    """Three branches to one map: a 1 x 1 convolution and a layer norm, written for channels in the last place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(3 * width, width, bias=False)
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, columns: Tensor) -> Tensor:
        return self.norm(self.mix(columns))
