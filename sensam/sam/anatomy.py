"""The measures of a SAM: how wide, how deep, where attention is global. Sizes nano, b, l, h."""

from dataclasses import dataclass

from sensam.errors import unknown


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Everything that decides the shapes of a SAM's weights."""

    name: str
    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]  # these attend over the whole image, the others inside windows
    window: int = 14  # tokens on a side
    patch: int = 16  # pixels on a side
    image_size: int = 1024  # the square the position tables were trained for
    bands: int = 3
    embedding: int = 256  # width of the image embedding and of the mask decoder
    decoder_heads: int = 8
    decoder_mlp: int = 2048
    mask_channels: int = 16  # hidden channels where a mask prompt is embedded

    @property
    def grid(self) -> int:
        """Tokens on a side at the trained size."""
        return self.image_size // self.patch


SIZES = {
    "nano": Anatomy(
        "nano",
        160,
        6,
        5,
        (2, 5),
        window=8,
        patch=8,
        image_size=240,
        embedding=128,
        decoder_heads=4,
        decoder_mlp=512,
    ),
    "b": Anatomy("b", 768, 12, 12, (2, 5, 8, 11)),
    "l": Anatomy("l", 1024, 24, 16, (5, 11, 17, 23)),
    "h": Anatomy("h", 1280, 32, 16, (7, 15, 23, 31)),
}


def anatomy(size: str) -> Anatomy:
    """The anatomy of one of the built-in sizes."""
    if size not in SIZES:
        raise unknown("SAM size", size, SIZES)
    return SIZES[size]
