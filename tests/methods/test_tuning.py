"""Six strategies in encoder and decoder: what is added where, what it is at first, and the way back."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from sensam.errors import SettingsError
from sensam.methods.tuning import AMOUNTS, STRATEGIES, Strategy, rates, tune
from sensam.nn.lora import fold_low_rank
from sensam.nn.surgery import choose
from sensam.nn.wrapping import unwrap, wrapped_in
from sensam.sam.anatomy import anatomy
from sensam.sam.model import Sam
from sensam.types import Prompts
from tests.sam.conftest import TINY, fill

ADDING = tuple(AMOUNTS)


@pytest.fixture
def sam() -> Sam:
    sam = Sam(TINY)
    fill(sam, 0)
    return sam.eval()


@pytest.fixture(scope="module")
def vit_b() -> Sam:
    with torch.device("meta"):
        return Sam(anatomy("b"))


def answer(sam: Sam, image: Tensor) -> Tensor:
    prompts = Prompts(torch.tensor([[[9.0, 20.0]], [[40.0, 7.0]]]), torch.ones(2, 1, dtype=torch.int64))
    return sam.decode(sam.encode(image), prompts, multimask=False)[0]


def enliven(sam: Sam) -> None:
    with torch.no_grad():
        for wrapped in wrapped_in(sam).values():
            for parameter in wrapped.part.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)


@pytest.mark.parametrize(
    ("strategy", "encoder", "decoder"),
    [
        ("full", 89_670_912, 4_058_340),
        ("probe", 3_736_320, 0),
        ("adapter", 3_698_016, 205_712),
        ("lora", 3_686_400, 588_800),
        ("prompt", 3_686_400, 716_800),
        ("prefix", 3_686_400, 716_800),
    ],
)
def test_trained_parameters_of_vit_b(vit_b: Sam, strategy: Strategy, encoder: int, decoder: int) -> None:
    with torch.device("meta"):
        sam = deepcopy(vit_b)
        tune(sam, strategy)
    sizes = {name: parameter.numel() for name, parameter in sam.named_parameters()}
    chosen = choose(sizes, rates(sam, strategy, ""))
    by_part = {part: sum(sizes[n] for n in chosen if n.startswith(part)) for part in ("vision_encoder", "mask_decoder")}
    assert by_part == {"vision_encoder": encoder, "mask_decoder": decoder}
    assert len(chosen) == sum(name.startswith(tuple(by_part)) for name in chosen)


def test_what_is_wrapped_and_nothing_else(sam: Sam) -> None:
    def places(strategy: Strategy) -> set[str]:
        tuned = deepcopy(sam)
        tune(tuned, strategy, 2 if strategy in AMOUNTS else None)
        return set(wrapped_in(tuned))

    decoder = "mask_decoder.transformer."
    attentions = {f"{decoder}final_attn_token_to_image"} | {
        f"{decoder}layers.{layer}.{name}"
        for layer in (0, 1)
        for name in ("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token")
    }
    blocks = {f"vision_encoder.layers.{block}" for block in range(4)}
    projections = {f"{attention}.{part}" for attention in attentions for part in ("q_proj", "v_proj")}
    assert places("full") == places("probe") == set()
    assert places("adapter") == blocks | {f"{decoder}layers.{layer}.mlp" for layer in (0, 1)}
    assert places("lora") == {f"{block}.attn.qkv" for block in blocks} | projections
    assert places("prompt") == places("prefix") == {f"{block}.attn" for block in blocks} | attentions


@pytest.mark.parametrize("strategy", ADDING)
def test_at_first_identity_or_not_and_back_to_plain_sam_bit_for_bit(sam: Sam, strategy: Strategy) -> None:
    torch.manual_seed(1)
    image = torch.randn(1, 3, 64, 64)
    plain, weights = answer(sam, image), {name: value.clone() for name, value in sam.state_dict().items()}
    tuned = deepcopy(sam)
    tune(tuned, strategy, 4)
    tuned.eval()
    change = (answer(tuned, image) - plain).abs().max().item()
    assert (change == 0) == (strategy in ("lora", "adapter"))
    enliven(tuned)
    assert (answer(tuned, image) - plain).abs().max() > 1e-3
    back = unwrap(tuned)
    assert torch.equal(answer(back, image), plain)
    assert list(back.state_dict()) == list(weights)
    assert all(torch.equal(value, weights[name]) for name, value in back.state_dict().items())


@pytest.mark.parametrize("strategy", ADDING)
def test_every_base_weight_keeps_its_place_under_the_wrappers(sam: Sam, strategy: Strategy) -> None:
    tuned = deepcopy(sam)
    tune(tuned, strategy, 2)
    base = {name.replace(".host.", ".") for name in tuned.state_dict() if ".part." not in name}
    assert base == set(sam.state_dict())


def test_folded_lora_answers_the_same_and_is_plain_sam_again(sam: Sam) -> None:
    torch.manual_seed(1)
    image = torch.randn(2, 3, 64, 48)
    tune(sam, "lora", 4)
    enliven(sam)
    tuned, names = answer(sam, image), set(Sam(TINY).state_dict())
    folded = fold_low_rank(deepcopy(sam)).eval()
    assert torch.allclose(answer(folded, image), tuned, atol=1e-5)
    assert set(folded.state_dict()) == names
    assert torch.equal(answer(sam, image), tuned)  # the copy was folded, not this


def test_an_encoder_block_with_an_adapter_is_its_formula(sam: Sam) -> None:
    tuned = deepcopy(sam)
    tune(tuned, "adapter", 4)
    enliven(tuned)
    x, block = torch.randn(1, 4, 4, 32), sam.vision_encoder.layers[0]
    middle = x + block.attn(block.layer_norm1(x))
    adapter = tuned.vision_encoder.layers[0].part
    expected = middle + block.mlp(block.layer_norm2(middle)) + 0.1 * adapter(middle)  # not of the normalised stream
    assert torch.allclose(tuned.vision_encoder.layers[0](x), expected, atol=1e-6)


@pytest.mark.parametrize("strategy", ["prompt", "prefix"])
def test_keys_of_prompts_are_computed_once_a_block(sam: Sam, strategy: Strategy) -> None:
    tune(sam, strategy, 3)
    sam.eval()
    calls: list[str] = []
    for name, wrapped in wrapped_in(sam).items():
        if name.startswith("vision_encoder"):
            plain = wrapped.part.projected
            wrapped.part.projected = lambda *a, n=name, f=plain: (calls.append(n), f(*a))[1]  # type: ignore[method-assign]
    sam.encode(torch.randn(2, 3, 64, 64))  # blocks 0 and 2 have four windows an image
    assert calls == [f"vision_encoder.layers.{block}.attn" for block in range(4)]


def test_prompts_of_the_paper_are_drawn_wider(sam: Sam) -> None:
    def widest(*, legacy: bool) -> float:
        tuned = deepcopy(sam)
        tune(tuned, "prompt", 50, legacy=legacy)
        return tuned.vision_encoder.layers[0].attn.part.tokens.abs().max().item()

    patch, width = sam.anatomy.patch, sam.anatomy.width
    assert widest(legacy=True) == pytest.approx((6 / (3 * patch + width)) ** 0.5, rel=0.01)
    assert widest(legacy=False) == pytest.approx((6 / (3 * patch**2 + width)) ** 0.5, rel=0.01)


def test_what_learns_is_chosen_by_module_and_not_by_a_word_in_its_name(sam: Sam) -> None:
    sam.add_module("prompt_lora_patch_embed", nn.Linear(2, 2))
    for strategy in STRATEGIES:
        tuned = deepcopy(sam)
        tune(tuned, strategy, 2 if strategy in AMOUNTS else None)
        chosen = choose((name for name, _ in tuned.named_parameters()), rates(tuned, strategy, ""))
        assert not any(name.startswith(("prompt_encoder", "prompt_lora", "shared")) for name in chosen)


def test_an_amount_for_a_strategy_that_adds_nothing(sam: Sam) -> None:
    with pytest.raises(SettingsError, match="amount=7 does nothing with strategy probe"):
        tune(sam, "probe", 7)


@pytest.mark.parametrize("strategy", ADDING)
def test_one_image_alone_or_among_others(sam: Sam, strategy: Strategy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensam.sam.piecewise.TOKENS_AT_ONCE", 8)  # in inference a few rows at a time
    torch.manual_seed(2)
    tune(sam, strategy, 3)
    enliven(sam)
    sam.eval()
    images = torch.randn(3, 3, 64, 48)
    with torch.no_grad():
        together = sam.encode(images)
        alone = torch.cat([sam.encode(image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-4)
    assert torch.allclose(together, sam.encode(images).detach(), atol=1e-4)  # with gradients: in one piece
