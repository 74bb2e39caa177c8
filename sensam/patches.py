"""Patches into tokens by a matrix product, because the convolution that says the same is not to be trusted."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def project_patches(projection: nn.Conv2d, image_BCHW: Tensor) -> Tensor:
    """What a convolution whose kernel is as wide as its stride makes of an image, as B x h x w x D.

    In bfloat16 on processors with AMX, oneDNN 3.13 is wrong for such kernels over 4, 6, 8 and more channels, without a
    word and by as much as the values themselves. A network learns under it, and is useless in any other precision. The
    matrix product is the quicker way besides.
    """
    side = projection.kernel_size[0]
    batch, bands, h, w = (*image_BCHW.shape[:2], *(size // side for size in image_BCHW.shape[2:]))
    image_BChpwq = image_BCHW[..., : h * side, : w * side].reshape(batch, bands, h, side, w, side)
    patches_BhwF = image_BChpwq.permute(0, 2, 4, 1, 3, 5).flatten(3)
    weight_DF, groups = projection.weight.flatten(1), projection.groups
    if groups == 1:
        return F.linear(patches_BhwF, weight_DF, projection.bias)
    parts = zip(patches_BhwF.chunk(groups, -1), weight_DF.chunk(groups), strict=True)
    tokens_BhwD = torch.cat([F.linear(patch, weight) for patch, weight in parts], -1)
    return tokens_BhwD if projection.bias is None else tokens_BhwD + projection.bias.to(tokens_BhwD.dtype)
