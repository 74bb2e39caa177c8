"""Parts beside and inside layers: nothing at first where promised, folded and unwrapped without a trace."""

import pytest
import torch
from torch import nn

from sensam.nn.lora import LowRankLinear, fold_low_rank, tune_query_and_value, tune_whole
from sensam.nn.parallel import SCALE, BesideNetwork, make_adapter
from sensam.nn.prefix import Prefix
from sensam.nn.prompts import Prompt, WithMoreTokens, uniform_tokens
from sensam.nn.wrapping import unwrap, wrapped_in


def enliven(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)


def test_low_rank_parts_are_query_and_value_alone_and_fold_away() -> None:
    torch.manual_seed(0)
    fused = nn.Linear(6, 18).double()
    weight, bias = fused.weight.detach().clone(), fused.bias.detach().clone()
    model = nn.Sequential(tune_query_and_value(fused, 2).double(), tune_whole(nn.Linear(18, 4).double(), 3).double())
    x = torch.randn(5, 6, dtype=torch.float64)
    assert torch.equal(model[0](x), fused(x))  # exactly nothing at first
    enliven(model[0].part)
    enliven(model[1].part)
    query, value = (model[0].part.get_submodule(name) for name in ("query", "value"))
    expected = nn.functional.linear(x, weight, bias)
    expected[:, :6] += x @ query.down.T @ query.up.T
    expected[:, 12:] += x @ value.down.T @ value.up.T
    assert torch.allclose(model[0](x), expected)
    tuned = model(x)
    folded = fold_low_rank(model)
    assert not wrapped_in(folded)
    assert torch.allclose(folded(x), tuned, atol=1e-12)
    assert torch.equal(fused.weight[6:12], weight[6:12])  # the key's share


def test_the_first_matrix_is_kaiming_uniform_and_the_second_zero() -> None:
    torch.manual_seed(0)
    part = LowRankLinear(nn.Linear(400, 10), 50, {"all": 0}).part.get_submodule("all")
    assert part.down.abs().max() <= 400**-0.5  # a = sqrt 5: uniform in +- 1 / sqrt(inputs)
    assert part.down.std().item() == pytest.approx(400**-0.5 / 3**0.5, rel=0.05)
    assert not part.up.any()


def test_an_adapter_is_a_tenth_beside_and_nothing_at_first() -> None:
    network = nn.Linear(6, 6)
    beside = BesideNetwork(network, make_adapter(6, 3))
    x = torch.randn(4, 6)
    assert torch.equal(beside(x), network(x))
    assert not beside.part.down.bias.any()
    enliven(beside.part)
    inner = nn.functional.relu(beside.part.down(x))
    assert SCALE == 0.1
    assert torch.allclose(beside(x), network(x) + 0.1 * beside.part.up(inner))


def test_prompts_start_uniform_within_their_bound() -> None:
    torch.manual_seed(0)
    tokens = uniform_tokens(400, 768, 3 * 16)
    assert tokens.abs().max().item() == pytest.approx(0.0857, abs=1e-4)
    assert tokens.mean().abs() < 1e-3


def test_a_prompt_goes_through_the_projection_and_a_prefix_does_not() -> None:
    torch.manual_seed(0)
    qkv = nn.Linear(8, 24)
    prompt, prefix = Prompt(5, 8, 48).eval(), Prefix(5, 8, 48)
    key, value = prompt.projected(qkv, 2)
    through = qkv(prompt.tokens)
    assert torch.allclose(key, through[:, 8:16].view(5, 2, 4).transpose(0, 1))
    assert torch.allclose(value, through[:, 16:].view(5, 2, 4).transpose(0, 1))
    key, value = prefix.projected(qkv, 2)
    assert torch.equal(key, prefix.keys.view(5, 2, 4).transpose(0, 1))
    assert torch.equal(value, prefix.values.view(5, 2, 4).transpose(0, 1))


def test_dropout_draws_twice_in_the_decoder_and_not_at_all_in_inference() -> None:
    torch.manual_seed(0)
    prompt = Prompt(400, 8, 48)
    key, value = prompt.unprojected()
    assert not torch.equal(key, value)
    assert (key == 0).float().mean().item() == pytest.approx(0.1, abs=0.03)
    key, value = prompt.eval().unprojected()
    assert torch.equal(key, value)


class _Concatenated(nn.Module):
    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return query, key, value


def test_tokens_join_the_inputs_of_a_decoders_attention() -> None:
    prefix = Prefix(3, 8, 48)
    wrapped = WithMoreTokens(_Concatenated(), prefix)
    query, key = torch.randn(2, 5, 4, 8), torch.randn(2, 5, 6, 8)
    same, keys, values = wrapped(query=query, key=key, value=key + 1)
    assert torch.equal(same, query)
    assert torch.equal(keys[..., :6, :], key)
    assert torch.equal(keys[1, 4, 6:], prefix.keys)
    assert torch.equal(values[0, 2, 6:], prefix.values)


def test_unwrapping_returns_the_very_modules_even_from_two_wrappers() -> None:
    inner = nn.Linear(4, 4)
    twice = tune_whole(inner, 1)
    model = nn.ModuleDict({"a": nn.Sequential(BesideNetwork(twice, make_adapter(4, 2)))})
    assert set(wrapped_in(model)) == {"a.0", "a.0.host"}
    assert unwrap(model)["a"][0] is inner
