"""Six ways of tuning a SAM, placed in its encoder and its mask decoder exactly as SimMAT places them."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

from torch import nn

from sensam.errors import SettingsError
from sensam.nn.lora import tune_query_and_value, tune_whole
from sensam.nn.parallel import BesideBlock, BesideNetwork, make_adapter
from sensam.nn.prefix import Prefix
from sensam.nn.prompts import More, Prompt, WithMoreKeys, WithMoreTokens
from sensam.nn.wrapping import wrapped_in
from sensam.sam.model import Sam

Strategy = Literal["full", "probe", "adapter", "lora", "prompt", "prefix"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

# Rank, width, prompts, prefixes: 307 200 weights in each block of ViT-B, whichever it is.
AMOUNTS: dict[Strategy, int] = {"lora": 100, "adapter": 200, "prompt": 400, "prefix": 200}
MORE: dict[Strategy, Callable[[int, int, int], More]] = {"prompt": Prompt, "prefix": Prefix}


def tune(sam: Sam, strategy: Strategy, amount: int | None = None, *, legacy: bool = False) -> None:
    """Wrap the modules that the strategy changes; full and probe change none. `nn.wrapping.unwrap` goes back."""
    if strategy not in AMOUNTS:
        if amount is not None:
            raise SettingsError(f"amount={amount} does nothing with strategy {strategy}, which adds no module.")
        return
    count = amount or AMOUNTS[strategy]
    if strategy == "lora":
        _tune_low_rank(sam, count)
    elif strategy == "adapter":
        _tune_beside(sam, count)
    else:
        # A patch has 3 * patch^2 numbers; the authors divide by 3 * patch, and so draw larger tokens.
        fan = 3 * sam.anatomy.patch ** (1 if legacy else 2)
        _tune_more(sam, lambda width: MORE[strategy](count, width, fan))


def rates(sam: Sam, strategy: Strategy, prefix: str) -> dict[str, float]:
    """Patterns over the names of what learns, by module: never by a word that a name contains."""
    encoder = f"{prefix}vision_encoder."
    if strategy == "full":
        return {f"{encoder}*": 1.0, f"{prefix}mask_decoder.*": 1.0}
    if strategy == "probe":
        return {f"{encoder}patch_embed.*": 1.0, f"{encoder}pos_embed": 1.0}
    parts = {name: module.part for name, module in wrapped_in(sam).items()}
    return {f"{prefix}{name}.part.*": 1.0 for name, part in parts.items() if any(True for _ in part.parameters())}


def _tune_low_rank(sam: Sam, rank: int) -> None:
    for block in sam.vision_encoder.layers:
        attention: Any = block.get_submodule("attn")
        attention.qkv = tune_query_and_value(attention.qkv, rank)
    for owner, name in _decoder_attentions(sam):
        attention = getattr(owner, name)
        attention.q_proj, attention.v_proj = tune_whole(attention.q_proj, rank), tune_whole(attention.v_proj, rank)


def _tune_beside(sam: Sam, width: int) -> None:
    blocks = sam.vision_encoder.layers
    for place, block in enumerate(blocks):
        blocks[place] = BesideBlock(block, make_adapter(sam.anatomy.width, width))
    for layer in sam.mask_decoder.transformer.layers:
        layer.mlp = BesideNetwork(layer.mlp, make_adapter(sam.anatomy.embedding, width))


def _tune_more(sam: Sam, make: Callable[[int], More]) -> None:
    for block in sam.vision_encoder.layers:
        block.attn = WithMoreKeys(block.get_submodule("attn"), make(sam.anatomy.width))
    for owner, name in _decoder_attentions(sam):
        setattr(owner, name, WithMoreTokens(getattr(owner, name), make(sam.anatomy.embedding)))


def _decoder_attentions(sam: Sam) -> Iterator[tuple[nn.Module, str]]:
    """Three in each of the two layers, and the last one from tokens to the image."""
    transformer = sam.mask_decoder.transformer
    for layer in transformer.layers:
        for name in ("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token"):
            yield layer, name
    yield transformer, "final_attn_token_to_image"
