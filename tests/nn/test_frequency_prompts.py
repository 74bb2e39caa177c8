"""Prompts: one private layer a block, one shared layer for all, and gradients into every part."""

import torch

from sensam.nn.frequency_prompts import FrequencyPrompts
from sensam.nn.lowpass import FrequencyFilter


def made(kept: str = "low", *, starts_at_zero: bool = False, bands: int = 3) -> FrequencyPrompts:
    torch.manual_seed(0)
    return FrequencyPrompts(bands, 8, 16, 4, 3, FrequencyFilter(kept), starts_at_zero=starts_at_zero)  # type: ignore[arg-type]


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 3, 20, 32), torch.randn(2, 3, 4, 16)  # 20 rows are padded to three patches


def test_every_prompt_is_as_the_formula_has_it() -> None:
    prompts, (image, patches) = made(), pictures()
    found = list(prompts(image, patches))
    padded = torch.nn.functional.pad(prompts.filter(image), (0, 0, 0, 4))
    code = prompts.handcrafted(padded).permute(0, 2, 3, 1) + prompts.embedding(patches)
    for number, prompt in enumerate(found):
        expected = prompts.shared(torch.nn.functional.gelu(prompts.private[number](code)))
        torch.testing.assert_close(prompt, expected)
    assert len(found) == 3
    assert not torch.allclose(found[0], found[1])


def test_gradients_reach_every_part() -> None:
    prompts = made()
    sum(prompt.square().sum() for prompt in prompts(*pictures())).backward()  # type: ignore[union-attr]
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in prompts.parameters())


def test_it_starts_at_zero_and_leaves_it_with_the_first_step() -> None:
    prompts, (image, patches) = made(starts_at_zero=True), pictures()
    found = list(prompts(image, patches))
    assert not any(prompt.any() for prompt in found)
    sum((prompt - 1).square().sum() for prompt in found).backward()  # type: ignore[union-attr]
    assert prompts.shared.weight.grad is not None
    assert prompts.shared.weight.grad.any()


def test_both_frequencies_pass_through_layers_of_their_own() -> None:
    prompts = made("both")
    assert prompts.handcrafted.weight.shape == (4, 3, 8, 8)  # six channels in two groups
    assert sum(w.numel() for w in prompts.parameters()) == sum(w.numel() for w in made().parameters())


def test_parameters_of_vit_b_and_l() -> None:
    with torch.device("meta"):
        b = FrequencyPrompts(3, 16, 768, 24, 12, FrequencyFilter())
        large = FrequencyPrompts(3, 16, 1024, 32, 24, FrequencyFilter())
    assert sum(weight.numel() for weight in b.parameters()) == 63_312
    assert sum(weight.numel() for weight in large.parameters()) == 116_544


def test_the_spread_of_first_weights_is_the_authors() -> None:
    torch.manual_seed(0)
    prompts = FrequencyPrompts(3, 16, 768, 24, 2, FrequencyFilter(), starts_at_zero=False)
    assert abs(prompts.handcrafted.weight.std() / (2 / (256 * 24)) ** 0.5 - 1) < 0.02
    assert abs(prompts.shared.weight.std() / 0.02 - 1) < 0.02
    assert not prompts.handcrafted.bias.any()  # type: ignore[union-attr]
