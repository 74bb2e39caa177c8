"""The class-wise decoder against a reference with all four mask tokens, and what each of its parts does."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import SamModel

from sensam.nn.classwise import ClasswiseDecoder
from sensam.sam.anatomy import anatomy
from sensam.sam.model import Sam, transformers_config
from tests import tiny_sam

TINY = replace(tiny_sam.TINY, embedding=32)
CLASSES = 5


@pytest.fixture
def sam() -> Sam:
    torch.manual_seed(0)
    return Sam(TINY).eval()


def decoder_of(sam: Sam, classes: int = CLASSES, **choice: str) -> ClasswiseDecoder:
    torch.manual_seed(1)
    place_code = sam.shared_image_embedding.positional_embedding
    no_mask = sam.prompt_encoder.no_mask_embed.weight
    return ClasswiseDecoder(sam.mask_decoder, place_code, no_mask, classes, **choice).eval()  # type: ignore[arg-type]


def embedding(count: int = 2, rows: int = 4, columns: int = 4) -> Tensor:
    return torch.randn(count, TINY.embedding, rows, columns, generator=torch.Generator().manual_seed(2))


class Reference(nn.Module):
    """The authors' order of work, on one image: every mask token weighs every map, and the first one is taken."""

    def __init__(self, sam: Sam, decoder: ClasswiseDecoder) -> None:
        super().__init__()
        self.sam, self.decoder = sam, decoder

    def forward(self, image_1Ehw: Tensor) -> Tensor:
        theirs, sam = self.sam.mask_decoder, self.sam
        before = image_1Ehw + sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        tokens = torch.cat([theirs.iou_token.weight, theirs.mask_tokens.weight])[None, None]
        seen_tokens, seen_image = theirs.transformer(
            tokens, before, sam._image_positions(image_1Ehw), attention_similarity=None
        )
        after = seen_image.transpose(2, 3).reshape(before.shape)
        both = torch.cat([self._upscaled(after), self._upscaled(before)], 1)
        maps = self.decoder.head(both)
        channels, side = TINY.embedding // 8, maps.shape[-1]
        weights = torch.stack([mlp(seen_tokens[:, 0, 1 + n]) for n, mlp in enumerate(theirs.output_hypernetworks_mlps)])
        flat = maps.reshape(1, channels, CLASSES * side * side)
        every = (weights.transpose(0, 1) @ flat).view(1, 4, CLASSES, side, side)
        return every[:, 0]

    def _upscaled(self, image: Tensor) -> Tensor:
        theirs = self.sam.mask_decoder
        maps = theirs.activation(theirs.upscale_layer_norm(theirs.upscale_conv1(image)))
        return theirs.activation(theirs.upscale_conv2(maps))


@torch.no_grad()
@pytest.mark.parametrize("head", ["full", "lite"])
def test_it_equals_the_reference_for_any_number_of_images(sam: Sam, head: str) -> None:
    decoder = decoder_of(sam, head=head)
    reference = Reference(sam, decoder)
    for count in (1, 2, 5):
        images = embedding(count)
        expected = torch.cat([reference(image) for image in images.split(1)])
        torch.testing.assert_close(decoder(images), expected, atol=1e-5, rtol=1e-5)
    assert decoder(embedding()).shape == (2, CLASSES, 16, 16)


@torch.no_grad()
def test_channels_run_over_classes_first(sam: Sam) -> None:
    """Exchanging two classes in the last layer exchanges their logits and nothing else."""
    decoder = decoder_of(sam, head="lite")
    last = decoder.head[-1]
    order = torch.tensor([2, 1, 0, 4, 3])
    plain = decoder(embedding())
    place = (torch.arange(4)[:, None] * CLASSES + order).flatten()
    last.weight.copy_(last.weight[place])
    last.bias.copy_(last.bias[place])
    torch.testing.assert_close(decoder(embedding()), plain[:, order])


@torch.no_grad()
def test_places_are_coded_as_sam_codes_them(sam: Sam) -> None:
    decoder = decoder_of(sam)
    theirs = SamModel(transformers_config(TINY))
    theirs.load_state_dict(sam.state_dict())
    torch.testing.assert_close(decoder.places(4, 4), theirs.get_image_wide_positional_embeddings(), atol=1e-6, rtol=0)
    large = embedding(1, 64, 64)  # as many as a published SAM has
    torch.testing.assert_close(decoder.places(64, 64), sam._image_positions(large), atol=1e-6, rtol=0)
    wide = embedding(1, 3, 7)
    torch.testing.assert_close(decoder.places(3, 7), sam._image_positions(wide), atol=1e-6, rtol=0)


def test_the_skip_joins_through_the_same_weights(sam: Sam) -> None:
    decoder = decoder_of(sam)
    calls: list[Tensor] = []
    decoder.mask_decoder.upscale_conv2.register_forward_hook(lambda _, __, out: calls.append(out))
    decoder(embedding())
    assert len(calls) == 2
    inputs = decoder.head[0].in_channels
    with torch.no_grad():
        plain = decoder(embedding())
        decoder.head[0].weight[inputs // 2 :] = 0  # what the head reads of the skip
        assert not torch.allclose(decoder(embedding()), plain, atol=1e-4)
    assert decoder_of(sam, skip="none").head[0].in_channels == inputs // 2


def test_skips_of_their_own_and_none(sam: Sam) -> None:
    own = decoder_of(sam, skip="separate")
    assert own.before.upscale_conv1.weight is not own.mask_decoder.upscale_conv1.weight
    assert torch.equal(own.before.upscale_conv1.weight, sam.mask_decoder.upscale_conv1.weight)
    shapes = {skip: decoder_of(sam, skip=skip)(embedding()).shape for skip in ("shared", "separate", "none")}
    assert set(shapes.values()) == {(2, CLASSES, 16, 16)}


def test_parameters_of_published_sizes() -> None:
    def count(**choice: str) -> int:
        return sum(w.numel() for w in decoder_of(sam, classes, **choice).parameters()) - 256  # without "no mask"

    with torch.device("meta"):
        sam = Sam(anatomy("b"))
        for classes in (5, 10):
            assert count() == 4_074_916 + 100_384 * classes
        classes = 5
        assert count(skip="none") == 4_313_572


def test_the_lite_head_costs_less_than_a_fifth() -> None:
    def operations(head: str) -> int:
        with torch.device("meta"):
            decoder = decoder_of(Sam(anatomy("b")), head=head)
            with FlopCounterMode(display=False) as counter:
                decoder.head(torch.empty(1, 64, 256, 256))
        return counter.get_total_flops()

    assert abs(operations("full") / 67.9e9 - 1) < 0.01
    assert operations("lite") < 0.2 * operations("full")


def test_gradients_reach_what_is_used_and_nothing_else(sam: Sam) -> None:
    decoder = decoder_of(sam)
    decoder(embedding()).square().mean().backward()
    idle = {name for name, weight in decoder.named_parameters() if weight.grad is None}
    parts = {".".join(name.split(".")[:3]) for name in idle}
    unused = {f"mask_decoder.output_hypernetworks_mlps.{number}" for number in (1, 2, 3)}
    assert {part for part in parts if "iou_prediction_head" not in part} == unused
    assert any("iou_prediction_head" in part for part in parts)


def test_it_is_a_copy(sam: Sam) -> None:
    decoder = decoder_of(sam)
    ours = {weight.data_ptr() for weight in decoder.parameters()} | {decoder.place_code.data_ptr()}
    assert not ours & {weight.data_ptr() for weight in sam.parameters()}
    assert torch.equal(decoder.no_mask, sam.prompt_encoder.no_mask_embed.weight[0])


def test_other_widths() -> None:
    small = Sam(replace(TINY, embedding=16))
    assert decoder_of(small, 2)(torch.randn(1, 16, 2, 3)).shape == (1, 2, 8, 12)
