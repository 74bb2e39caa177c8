"""Sam: our image encoder with transformers' prompt encoder and mask decoder, for images of any size."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SamConfig, SamMaskDecoderConfig, SamPromptEncoderConfig, SamVisionConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPositionalEmbedding, SamPromptEncoder

from sensam.errors import InputError
from sensam.sam.anatomy import Anatomy, anatomy
from sensam.sam.encoder import ImageEncoder
from sensam.sam.report import LoadReport
from sensam.types import Prompts

_LOGITS_A_TOKEN = 4  # the decoder's logits, and mask prompts, along each side of a token


def transformers_config(a: Anatomy) -> SamConfig:
    """The same anatomy in transformers' words."""
    return SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=a.width,
            output_channels=a.embedding,
            num_hidden_layers=a.depth,
            num_attention_heads=a.heads,
            num_channels=a.bands,
            image_size=a.image_size,
            patch_size=a.patch,
            window_size=a.window,
            global_attn_indexes=list(a.global_blocks),
            num_pos_feats=a.embedding // 2,
            mlp_dim=4 * a.width,
        ),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=a.embedding,
            image_size=a.image_size,
            patch_size=a.patch,
            mask_input_channels=a.mask_channels,
        ),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=a.embedding,
            mlp_dim=a.decoder_mlp,
            num_attention_heads=a.decoder_heads,
            iou_head_hidden_dim=a.embedding,
        ),
        attn_implementation="sdpa",
    )


class Sam(nn.Module):
    """Segment Anything: `encode` an image once, `decode` prompts on it often."""

    def __init__(self, anatomy: Anatomy) -> None:
        super().__init__()
        self.anatomy = anatomy
        self.loaded: LoadReport | None = None  # where the weights came from; None while they are all random
        config = transformers_config(anatomy)
        self.vision_encoder = ImageEncoder(anatomy)
        self.shared_image_embedding = _random_code(config.vision_config)
        self.prompt_encoder = SamPromptEncoder(config)
        self.prompt_encoder.shared_embedding = self.shared_image_embedding  # one matrix, as in SAM
        self.mask_decoder = SamMaskDecoder(config.mask_decoder_config)

    def encode(self, image_BCHW: Tensor) -> Tensor:
        """The image embedding B x E x h x w of normalised pixels."""
        embedding: Tensor = self.vision_encoder(image_BCHW)
        return embedding

    def decode(self, embedding_BEhw: Tensor, prompts: Prompts, *, multimask: bool = True) -> tuple[Tensor, Tensor]:
        """Mask logits N x M x 4h x 4w and predicted IoU N x M; M is 3, or 1 without `multimask`.

        With a batch of B images the N prompts belong to them in order, N / B each. As in transformers, a padding
        point (label -10) is a token of zeros that attention still sees: pad only prompts of unequal length.
        """
        if len(prompts) % len(embedding_BEhw):
            raise InputError(f"{len(prompts)} prompts cannot be shared evenly by {len(embedding_BEhw)} images.")
        if prompts.masks_N1HW is not None:  # transformers takes one mask an image: give every prompt its own image
            embedding_BEhw = embedding_BEhw.repeat_interleave(len(prompts) // len(embedding_BEhw), 0)
        return self.answer(embedding_BEhw, *self.embed(embedding_BEhw, prompts), multimask=multimask)

    def answer(
        self, embedding_BEhw: Tensor, sparse_BNPE: Tensor | None, dense_BEhw: Tensor, *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """`decode` for prompts that are embedded already, which may be of several kinds side by side."""
        with torch.autocast(embedding_BEhw.device.type, enabled=False):
            positions_BEhw = self._image_positions(embedding_BEhw)
        logits_BNMhw, quality_BNM = self.mask_decoder(
            image_embeddings=embedding_BEhw,
            image_positional_embeddings=positions_BEhw,
            sparse_prompt_embeddings=sparse_BNPE,
            dense_prompt_embeddings=dense_BEhw,
            multimask_output=multimask,
        )
        return logits_BNMhw.flatten(0, 1), quality_BNM.flatten(0, 1)

    def embed(self, embedding_BEhw: Tensor, prompts: Prompts) -> tuple[Tensor | None, Tensor]:
        """Prompts as transformers' sparse (B x N x P x E) and dense (B x E x h x w) embeddings."""
        # In bf16 a code of a place is wrong by whole pixels, and autocast would compute it so.
        with torch.autocast(embedding_BEhw.device.type, enabled=False):
            return self._embed(embedding_BEhw, prompts)

    def enlarge(self, logits_NMhw: Tensor, size: tuple[int, int]) -> Tensor:
        """Low-resolution logits at the pixels of the encoded image of this size, padding cropped away."""
        rows, columns = (side // _LOGITS_A_TOKEN * self.anatomy.patch for side in logits_NMhw.shape[-2:])
        return F.interpolate(logits_NMhw, size=(rows, columns), mode="bilinear")[..., : size[0], : size[1]]

    def _embed(self, embedding_BEhw: Tensor, prompts: Prompts) -> tuple[Tensor | None, Tensor]:
        B, E, h, w = embedding_BEhw.shape
        square, patch = self.anatomy.image_size, self.anatomy.patch
        # The prompt encoder divides by its square size; scaling first lets it serve any rectangle.
        stretch = torch.tensor([square / (w * patch), square / (h * patch)], device=embedding_BEhw.device)
        nothing: Tensor = self.prompt_encoder.no_mask_embed.weight
        points = boxes = labels = masks = None
        if prompts.points_NP2 is not None and prompts.labels_NP is not None:
            points = ((prompts.points_NP2 + 0.5) * stretch - 0.5).unflatten(0, (B, -1))
            labels = prompts.labels_NP.unflatten(0, (B, -1))
        if prompts.boxes_N4 is not None:
            boxes = ((prompts.boxes_N4 + 0.5) * stretch.repeat(2) - 0.5).unflatten(0, (B, -1))
        if prompts.masks_N1HW is not None:
            masks = prompts.masks_N1HW.to(nothing.dtype)
            _check_masks(masks, (_LOGITS_A_TOKEN * h, _LOGITS_A_TOKEN * w))
        sparse, dense = self.prompt_encoder(points, labels, boxes, masks)
        if masks is None:  # the prompt encoder lays its "no mask" vector out for its own square only
            dense = nothing.reshape(1, E, 1, 1).expand(B, -1, h, w)
        return sparse, dense

    def _image_positions(self, embedding_BEhw: Tensor) -> Tensor:
        """SAM's random Fourier code of every token's place, 1 x E x h x w for each image."""
        B, _, h, w = embedding_BEhw.shape
        device = embedding_BEhw.device
        y, x = ((torch.arange(n, device=device) + 0.5) / n for n in (h, w))
        places = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
        code: Tensor = self.shared_image_embedding(places)
        return code.permute(2, 0, 1).expand(B, -1, -1, -1)


def _random_code(config: SamVisionConfig) -> SamPositionalEmbedding:
    """The matrix that codes places by random waves, as SAM draws it: once, never trained, of unit variance.

    transformers draws it hundreds of times as large; neighbouring pixels would then share nothing.
    """
    code = SamPositionalEmbedding(config)
    nn.init.normal_(code.positional_embedding)
    code.requires_grad_(False)
    return code


def _check_masks(masks_N1HW: Tensor, needed: tuple[int, int]) -> None:
    found = tuple(masks_N1HW.shape[1:])
    if found != (1, *needed):
        raise InputError(
            f"Mask prompts have shape N x {' x '.join(map(str, found))}; this image needs N x 1 x {needed[0]} x "
            f"{needed[1]}. Give the low-resolution logits that decoding it returned."
        )


def build_sam(size: str = "b", *, bands: int = 3) -> Sam:
    """A SAM of a built-in size with random weights."""
    return Sam(replace(anatomy(size), bands=bands))
