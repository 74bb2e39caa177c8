"""Images come before the encoder as SAM's own processor brings them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensam.data.resample import resample_nearest
from sensam.errors import InputError
from sensam.sam.framing import Fit, Frame, embed
from sensam.sam.model import Sam

try:  # older releases call the processor on torchvision so; their plain name is Pillow's, which rounds differently
    from transformers.models.sam.image_processing_sam_fast import SamImageProcessorFast as SamImageProcessor
except ImportError:
    from transformers import SamImageProcessor


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (64, 64), (31, 17), (120, 200), (5, 300)])
def test_photographs_are_those_of_transformers(size: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    theirs = SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})(
        photo, return_tensors="pt"
    )
    frame = Fit().frame(size, 64)
    ours = frame.fill(torch.from_numpy(photo).permute(2, 0, 1))
    torch.testing.assert_close(ours, theirs["pixel_values"], atol=1e-5, rtol=0)
    assert frame.scaled == tuple(theirs["reshaped_input_sizes"][0].tolist())


def test_normalised_bands_are_scaled_and_padded_with_the_mean() -> None:
    frame = Fit().frame((32, 16), 64)
    filled = frame.fill(torch.ones(7, 32, 16))
    assert filled.shape == (1, 7, 64, 64)
    assert filled[..., :32].eq(1).all()
    assert filled[..., 32:].eq(0).all()


def test_clicks_follow_the_scale_of_each_side() -> None:
    frame = Fit().frame((50, 90), 64)
    assert frame.scaled == (36, 64)
    placed = frame.place(torch.tensor([[45.0, 25.0], [0.0, 0.0]]))
    torch.testing.assert_close(placed, torch.tensor([[32.0, 18.0], [0.0, 0.0]]))


@settings(max_examples=80, deadline=None)
@given(st.tuples(st.integers(2, 300), st.integers(2, 300)), st.sampled_from([Fit(), Fit(longest_side=100)]), st.data())
def test_a_click_and_the_label_under_it_go_the_same_way(size: tuple[int, int], fit: Fit, data: st.DataObject) -> None:
    """Within a pixel, of whichever grid is the coarser, with the sides kept in proportion and with them stretched."""
    kept = fit.frame(size, 64)
    stretched = Frame(size, (64, 64), (64, 64))
    y, x = (data.draw(st.integers(0, side - 1)) for side in size)
    for frame in (kept, stretched):
        scale = np.array([there / here for there, here in zip(frame.scaled, size, strict=True)])
        placed = frame.place(torch.tensor([x, y], dtype=torch.float32)).flip(-1).numpy()
        assert abs(placed / scale - [y, x]).max() < 1e-3  # back where it was
        rows, columns = np.mgrid[: size[0], : size[1]]
        label_2hw = resample_nearest(np.stack([rows, columns]), *frame.scaled)
        down, right = np.minimum(placed, np.array(frame.scaled) - 1).astype(int)
        away = abs(label_2hw[:, down, right] - [y, x])
        assert (away <= np.maximum(1, 1 / scale)).all()


@pytest.mark.parametrize("fit", [Fit(), Fit(longest_side=40), Fit(square=False), Fit(resize=False)])
def test_masks_come_back_at_the_size_of_the_image(make_sam: Callable[..., Sam], fit: Fit) -> None:
    sam = make_sam()
    embedded = embed(sam, torch.zeros(3, 30, 50), fit)
    h, w = embedded.embedding_1Ehw.shape[-2:]
    ramp = torch.arange(4.0 * w).expand(1, 1, 4 * h, -1)
    native = embedded.frame.restore(sam, ramp)
    assert native.shape == (1, 1, 30, 50)
    assert (native.diff(dim=-1) >= 0).all()
    assert native.diff(dim=-2).abs().max() < 1e-4


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(InputError, match="empty: 0 x 5"):
        Fit().frame((0, 5), 64)


@pytest.mark.parametrize(
    ("image", "bands", "message"),
    [
        (torch.zeros(4, 8, 8), 3, r"takes 3 bands x rows x columns, found an image of shape \(4, 8, 8\)"),
        (torch.zeros(1, 3, 8, 8), 3, r"shape \(1, 3, 8, 8\)"),
        (torch.zeros(5, 8, 8, dtype=torch.uint8), 5, "uint8, found 5 bands"),
        (torch.full((3, 8, 8), torch.nan), 3, "NaN or infinite"),
    ],
)
def test_images_that_do_not_suit(make_sam: Callable[..., Sam], image: torch.Tensor, bands: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        embed(make_sam(bands=bands), image, Fit())
