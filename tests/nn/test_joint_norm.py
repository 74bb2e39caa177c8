"""In one process, joint batch norm is batch norm: the same numbers, gradients and running statistics."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from sensam.nn.joint_norm import JointBatchNorm, join_norms


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of one process."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("norm", "shape"), [(nn.BatchNorm2d(3), (4, 3, 5, 6)), (nn.BatchNorm1d(3, affine=False), (7, 3))]
)
def test_it_is_batch_norm(norm: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    joint = type(norm)(3, affine=norm.affine)
    join_norms(joint)
    assert isinstance(joint, JointBatchNorm)
    outcomes = []
    for part in (norm, joint):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).add(100).requires_grad_()
        y = part(x)
        y.square().mul(torch.linspace(-1, 1, y.numel()).view(shape)).sum().backward()
        outcomes.append((y, x.grad, *(p.grad for p in part.parameters()), *part.buffers()))
    for expected, found in zip(*outcomes, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_names_and_numbers_stay_and_rest_is_plain_batch_norm() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)).eval()
    before, x = {name: value.clone() for name, value in net.state_dict().items()}, torch.randn(2, 2, 4, 4)
    expected = net(x)
    join_norms(net)
    assert net.state_dict().keys() == before.keys()
    torch.testing.assert_close(net(x), expected, rtol=0, atol=0)
