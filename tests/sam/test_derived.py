"""What is made from a weight is made once, and never outlives the weight it was made from."""

import copy
import io

import pytest
import torch
from torch import Tensor, nn

from sensam.sam.derived import SIZES_KEPT, Derived


class Doubler(nn.Module):
    """Counts how often it had to make something."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.made = 0
        self.doubled = Derived(self.double)

    def double(self, weight: Tensor, power: int = 1) -> Tensor:
        self.made += 1
        return weight * 2**power

    def forward(self, power: int = 1) -> Tensor:
        return self.doubled(self.weight, power)


@pytest.fixture
def doubler() -> Doubler:
    module = Doubler().eval()
    with torch.no_grad():
        module()
    return module


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_made_once_while_gradients_are_off(off: type[torch.no_grad]) -> None:
    module = Doubler()
    with off():
        assert module() is module()
    assert module.made == 1


def test_made_every_time_with_gradients(doubler: Doubler) -> None:
    doubler().sum().backward()
    doubler()
    assert doubler.made == 3
    assert torch.equal(doubler.weight.grad, torch.full((3,), 2.0))


def step(module: Doubler) -> None:
    torch.optim.SGD(module.parameters(), lr=1.0).step()


def replace(module: Doubler) -> None:
    module.load_state_dict({"weight": torch.zeros(3)}, assign=True)


CHANGES = {
    "in place": lambda module: module.weight.zero_(),
    "data replaced": lambda module: setattr(module.weight, "data", torch.zeros(3)),
    "loaded": lambda module: module.load_state_dict({"weight": torch.zeros(3)}),
    "assigned": replace,
    "through .data, then eval": lambda module: (module.weight.data.zero_(), module.eval()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_made_again_when_the_weight_changes(doubler: Doubler, change: object) -> None:
    with torch.no_grad():
        change(doubler)
        assert torch.equal(doubler(), torch.zeros(3))


def test_made_again_after_an_optimiser_step(doubler: Doubler) -> None:
    doubler.weight.grad = torch.ones(3)
    step(doubler)
    with torch.no_grad():
        assert torch.equal(doubler(), torch.zeros(3))


def test_follows_the_precision_of_its_weight(doubler: Doubler) -> None:
    with torch.no_grad():
        assert doubler.to(torch.bfloat16)().dtype == torch.bfloat16
        assert doubler.float()().dtype == torch.float32


def test_keeps_a_few_sizes(doubler: Doubler) -> None:
    with torch.no_grad():
        for power in range(1, SIZES_KEPT + 1):
            doubler(power)
        assert doubler.made == SIZES_KEPT
        doubler(SIZES_KEPT + 1)  # the oldest makes room
        assert doubler.made == SIZES_KEPT + 1
        doubler(2)
        assert doubler.made == SIZES_KEPT + 1
        doubler(1)
        assert doubler.made == SIZES_KEPT + 2


def test_copies_and_files_carry_none_of_it(doubler: Doubler) -> None:
    twin = copy.deepcopy(doubler)
    with torch.no_grad():
        twin.weight.zero_()
        assert torch.equal(twin.doubled(twin.weight, 1), torch.zeros(3))
        assert torch.equal(doubler(), torch.full((3,), 2.0))
    assert list(doubler.state_dict()) == ["weight"]
    file = io.BytesIO()
    torch.save(doubler.doubled, file)
    assert doubler.doubled._kept == {}


def test_a_weight_made_in_inference_mode_is_never_trusted() -> None:
    """Such a tensor does not count its changes."""
    with torch.inference_mode():
        module = Doubler()
        module()
        module.weight.zero_()
        assert torch.equal(module(), torch.zeros(3))
