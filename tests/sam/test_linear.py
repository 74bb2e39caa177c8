"""The detour through a convolution is the same product, forward and backward, for any number of rows."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sensam.sam import linear
from sensam.sam.linear import Linear, multiply

SHAPES = [(64, 24), (2, 7, 9, 24), (5, 16, 24), (97, 24), (3, 24), (1, 1, 1, 24)]


@pytest.fixture(params=[True, False], ids=["convolution", "as it comes"])
def detour(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param:  # also where the processor would not be asked to
        monkeypatch.setattr(linear, "AVX512", True)
    return bool(request.param)


@pytest.mark.usefixtures("detour")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("with_bias", [True, False])
def test_multiply_is_linear(shape: tuple[int, ...], with_bias: bool) -> None:
    x, weight = torch.randn(shape, requires_grad=True), torch.randn(10, 24, requires_grad=True)
    bias = torch.randn(10, requires_grad=True) if with_bias else None
    inputs = [x, weight] if bias is None else [x, weight, bias]
    ours, theirs = multiply(x, weight, bias), F.linear(x, weight, bias)
    assert ours.is_contiguous()
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn_like(ours)
    for mine, reference in zip(
        torch.autograd.grad(ours, inputs, direction), torch.autograd.grad(theirs, inputs, direction), strict=True
    ):
        torch.testing.assert_close(mine, reference, atol=1e-5, rtol=1e-5)


def test_rows_divide_into_enough_images_or_none() -> None:
    for rows in range(1, 3000):
        images = linear._images(torch.empty(rows, 1))
        assert images == 0 or (16 <= images <= 64 and rows % images == 0 and rows >= linear.FEWEST_ROWS)
    assert linear._images(torch.empty(1024, 768)) == 16
    assert linear._images(torch.empty(1021, 768)) == 0  # a prime


def test_double_precision_is_left_alone() -> None:
    x, weight = torch.randn(64, 8).double(), torch.randn(4, 8).double()
    assert torch.equal(multiply(x, weight), F.linear(x, weight))


def autocast(layer: Linear, x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        out: Tensor = layer(x)
    return out


def test_autocast_converts_the_weight_once_in_inference() -> None:
    layer, x = Linear(24, 10), torch.randn(64, 24)
    trained = autocast(layer, x)
    assert trained.dtype == torch.bfloat16
    with torch.inference_mode():
        assert torch.equal(autocast(layer, x), trained)
        converted = layer.converted(layer.weight, torch.bfloat16)
        autocast(layer, x)
        assert layer.converted(layer.weight, torch.bfloat16) is converted
    layer.load_state_dict({"weight": torch.zeros(10, 24), "bias": torch.ones(10)})
    with torch.inference_mode():
        assert (autocast(layer, x) == 1).all()


def test_a_linear_layer_has_the_names_of_a_linear_layer() -> None:
    assert list(Linear(3, 2).state_dict()) == ["weight", "bias"]
