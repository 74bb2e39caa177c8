"""What everything that looks at an image through several views asks of them, whatever shape the views have."""

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from sensam.data.lens import Lens

FLOOR = 0.02  # of a view's weight at its frame, so that no pixel is without any


class Overlap(Protocol):
    """What two neighbouring views both see."""

    @property
    def first(self) -> int: ...
    @property
    def second(self) -> int: ...
    @property
    def area(self) -> Tensor: ...  # what each shared place counts
    def sides(self, views_BVChw: Tensor) -> tuple[Tensor, Tensor]:
        """What the first and the second say of the shared places: B x C x the places, in the same order."""
        ...


class ViewPlan(Protocol):
    """V views of one shape that together see all that an image shows."""

    @property
    def lens(self) -> Lens: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def key(self) -> tuple[object, ...]: ...  # what decides which pixels a view shows
    @property
    def areas_Vhw(self) -> Tensor: ...  # what each pixel of a view counts; 0 where it shows nothing
    def __len__(self) -> int: ...
    def cut(self, image_BCHW: Tensor) -> Tensor:
        """The views of images or probabilities, B x V x C x h x w."""
        ...

    def cut_valid(self, valid_BHW: Tensor) -> Tensor:
        """Which pixels of the views show valid ones of the image, B x V x h x w."""
        ...

    def cut_level(self, level_BDhw: Tensor, stride: int) -> Tensor:
        """Features of the whole image in the cells of a network that looks at each view: B x V x D x rows x columns.

        Cell i of a level looks at pixel i * stride, in the image as in a view.
        """
        ...

    def merge(self, views_BVChw: Tensor) -> Tensor:
        """The mean of all views at every pixel, B x C x H x W, each counting most in its middle.

        For probabilities: votes of classes or logits of different views would not agree where they overlap.
        """
        ...

    def overlaps(self) -> Iterator[Overlap]:
        """Every pair of neighbours that share pixels: to the right (around the seam as well) and below."""
        ...
