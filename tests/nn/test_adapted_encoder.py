"""An encoder with a tuning: SAM itself at the start, again after detaching, and another with another tuning."""

import copy

import pytest
import torch
from torch import Tensor

from sensam.errors import SettingsError
from sensam.nn.adapted_encoder import AdaptedEncoder, EncoderTuning, detach, wrap
from sensam.nn.block_adapters import AdapterPair
from sensam.nn.frequency_prompts import FrequencyPrompts
from sensam.nn.lowpass import FrequencyFilter
from sensam.sam.model import Sam
from tests.tiny_sam import TINY


def tuning(seed: int | None) -> EncoderTuning:
    """With random weights everywhere, or none (`seed` None): as at the start."""
    torch.manual_seed(seed or 0)
    zero = seed is None
    prompts = FrequencyPrompts(3, 8, 16, 8, 2, FrequencyFilter(), starts_at_zero=zero)
    return EncoderTuning([AdapterPair(16, 4, starts_at_zero=zero) for _ in range(2)], prompts)


@pytest.fixture
def sam() -> Sam:
    torch.manual_seed(5)
    made = Sam(TINY).eval()
    with torch.no_grad():
        for name, weight in made.vision_encoder.named_parameters():
            if "pos" in name or "norm" in name:
                weight.add_(0.3 * torch.randn(weight.shape))
    return made


def image(rows: int = 27, columns: int = 40) -> Tensor:
    return torch.randn(2, 3, rows, columns, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def test_at_the_start_it_is_sam_bit_for_bit(sam: Sam) -> None:
    plain = sam.encode(image())
    wrap(sam, tuning(None))
    assert torch.equal(sam.encode(image()), plain)


@torch.no_grad()
def test_detaching_gives_sam_back_bit_for_bit(sam: Sam) -> None:
    plain, state = sam.encode(image()), copy.deepcopy(sam.state_dict())
    worn = tuning(1)
    wrap(sam, worn)
    assert not torch.allclose(sam.encode(image()), plain, atol=1e-2)
    assert detach(sam) is worn
    assert torch.equal(sam.encode(image()), plain)
    assert sam.state_dict().keys() == state.keys()
    assert all(torch.equal(weight, state[name]) for name, weight in sam.state_dict().items())


@torch.no_grad()
def test_switching_in_one_process_equals_a_sam_for_each(sam: Sam) -> None:
    alone = [AdaptedEncoder(copy.deepcopy(sam.vision_encoder), tuning(seed))(image()) for seed in (1, 2)]
    first, second = tuning(1), tuning(2)
    for _ in range(2):
        for worn, expected in zip((first, second), alone, strict=True):
            wrap(sam, worn)
            assert torch.equal(sam.encode(image()), expected)
            detach(sam)


@torch.no_grad()
def test_several_at_once_around_one_encoder(sam: Sam) -> None:
    alone = [AdaptedEncoder(copy.deepcopy(sam.vision_encoder), tuning(seed))(image()) for seed in (1, 2)]
    both = [AdaptedEncoder(sam.vision_encoder, tuning(seed)) for seed in (1, 2)]
    assert all(torch.equal(encoder(image()), expected) for encoder, expected in zip(both, alone, strict=True))


def test_checkpointing_changes_neither_answer_nor_gradient_even_across_two_images(sam: Sam) -> None:
    encoder = AdaptedEncoder(sam.vision_encoder, tuning(1))
    answers = []
    for again in (False, True):
        sam.vision_encoder.checkpointing = again
        encoder.zero_grad()
        outputs = [encoder(image()), encoder(-image())]  # a second image passes before the first goes backwards
        (outputs[0].square().mean() + outputs[1].square().mean()).backward()
        answers.append([out.detach() for out in outputs] + [w.grad.clone() for w in encoder.part.parameters()])  # type: ignore[union-attr]
    for one, other in zip(*answers, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_prompts_come_before_the_block_and_see_patches_before_positions(sam: Sam) -> None:
    worn = tuning(1)
    encoder = AdaptedEncoder(sam.vision_encoder, worn)
    inner, picture = sam.vision_encoder, image(32, 32)
    patches = inner.patch_embed(picture)
    x = patches + inner.pos_embed
    assert worn.prompts is not None
    for layer, pair, prompt in zip(inner.layers, worn.adapters, worn.prompts(picture, patches), strict=True):
        x = pair(layer, x + prompt)
    torch.testing.assert_close(encoder.tokens(picture), x)


def test_adapters_alone_and_prompts_alone(sam: Sam) -> None:
    whole = tuning(1)
    parts = [EncoderTuning(whole.adapters), EncoderTuning((), whole.prompts), whole]  # type: ignore[arg-type]
    answers = [AdaptedEncoder(sam.vision_encoder, part)(image()) for part in parts]
    assert not any(torch.allclose(answers[a], answers[b], atol=1e-3) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert torch.equal(AdaptedEncoder(sam.vision_encoder, EncoderTuning())(image()), sam.encode(image()))


def test_one_tuning_at_a_time(sam: Sam) -> None:
    with pytest.raises(SettingsError, match="nothing to detach"):
        detach(sam)
    wrap(sam, tuning(1))
    with pytest.raises(SettingsError, match="wears a tuning already"):
        wrap(sam, tuning(2))
