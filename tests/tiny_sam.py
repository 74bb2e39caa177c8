"""The smallest SAM that has every part of one, for tests of what is built around it."""

from sensam.sam.anatomy import Anatomy

TINY = Anatomy("tiny", 16, 2, 2, (1,), window=3, patch=8, image_size=32, embedding=16, decoder_heads=2, decoder_mlp=24)
