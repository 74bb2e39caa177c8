"""Where the two adapters stand in a block, and what each adds."""

import pytest
import torch
from torch import Tensor, nn

from sensam.nn.block_adapters import AdapterPair
from sensam.sam.anatomy import Anatomy
from sensam.sam.encoder import Block
from sensam.sam.linear import Linear

MEASURES = Anatomy("made", 16, 2, 2, (1,), window=3, patch=8, image_size=32, embedding=16)


@pytest.fixture
def block() -> Block:
    torch.manual_seed(0)
    made = Block(MEASURES, window=3)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.3 * torch.randn(weight.shape))
    return made.eval()


def tokens() -> Tensor:
    return torch.randn(2, 5, 4, 16, generator=torch.Generator().manual_seed(1))  # 5 x 4: windows that are cut


def test_zero_adapters_change_nothing_bit_for_bit(block: Block) -> None:
    assert torch.equal(AdapterPair(16, 4)(block, tokens()), block(tokens()))


def test_the_adapter_beside_the_mlp_counts_half(block: Block) -> None:
    pair, delta = AdapterPair(16, 4), torch.randn(16)
    with torch.no_grad():
        pair.mlp.up.bias.copy_(delta)
        moved = pair(block, tokens()) - block(tokens())
    torch.testing.assert_close(moved, (0.5 * delta).expand_as(moved), atol=2e-6, rtol=0)


def test_the_adapter_behind_the_attention_reads_its_answer_and_joins_it_before_the_residual(block: Block) -> None:
    pair = AdapterPair(16, 4, starts_at_zero=False)
    nn.init.zeros_(pair.mlp.up.weight)
    nn.init.zeros_(pair.mlp.up.bias)
    x = tokens()
    attended = block.attn(block.layer_norm1(x))
    x = x + attended + pair.space(attended)
    expected = x + block.mlp(block.layer_norm2(x))
    torch.testing.assert_close(pair(block, tokens()), expected)


def test_per_window_with_its_padding_is_the_same(block: Block) -> None:
    """The authors' adapter runs inside windows, padding and all; what it makes of padding is cut away."""
    pair = AdapterPair(16, 4, starts_at_zero=False)
    attended = block.attn(block.layer_norm1(tokens()))
    padded = nn.functional.pad(attended, (0, 0, 0, 2, 0, 1)).unflatten(1, (2, 3)).unflatten(3, (2, 3))
    windows = padded.permute(0, 1, 3, 2, 4, 5)
    adapted = (windows + pair.space(windows)).permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)
    torch.testing.assert_close(adapted[:, :5, :4], attended + pair.space(attended))


def test_as_pytorch_starts_layers_it_starts_elsewhere(block: Block) -> None:
    assert not torch.allclose(AdapterPair(16, 4, starts_at_zero=False)(block, tokens()), block(tokens()), atol=1e-2)


def test_the_spread_of_first_weights_is_pytorchs() -> None:
    """Uniform up to one over the root of a layer's inputs, biases as well: what the authors leave as it is."""
    pair = AdapterPair(768, 192, starts_at_zero=False, linear=Linear)
    for adapter in (pair.space, pair.mlp):
        for layer, bound in ((adapter.down, 768**-0.5), (adapter.up, 192**-0.5)):
            assert 0.99 * bound < layer.weight.abs().max() <= bound
            assert abs(layer.weight.std() / (bound / 3**0.5) - 1) < 0.01
            assert 0.9 * bound < layer.bias.abs().max() <= bound


def test_parameters_of_vit_b() -> None:
    assert sum(weight.numel() for weight in AdapterPair(768, 192).parameters()) == 2 * 295_872
