"""Perspective views of a panorama: what the camera family renders, across the seam."""

import numpy as np
import pytest
import torch

from sensam.data.camera import Equirectangular, Pinhole
from sensam.data.perspective import Look, cut_view
from sensam.errors import SettingsError

SIZE = (128, 256)


def smooth(rays_3HW: np.ndarray) -> torch.Tensor:  # type: ignore[type-arg]
    """A picture painted on the sphere: what any camera sees of it is known exactly."""
    x, y, z = rays_3HW
    planes = [0.5 + 0.4 * np.sin(3 * x + 2 * y), 0.5 + 0.4 * np.cos(4 * z - y), 0.5 + 0.3 * np.sin(5 * x * z)]
    return torch.from_numpy(np.stack(planes).astype(np.float32))[None]


def psnr(ours: torch.Tensor, truth: torch.Tensor) -> float:
    return float(-10 * torch.log10(((ours - truth) ** 2).mean()))


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (np.pi, 0.2), (-2.0, -0.5), (3.0, 0.9)])
def test_a_view_is_what_a_pinhole_sees(yaw: float, pitch: float) -> None:
    look = Look(yaw, pitch, 70, (48, 64))
    panorama = smooth(Equirectangular(SIZE, (0, 0, 0)).rays())
    truth = smooth(Pinhole((48, 64), (0, 0, 0), 70, yaw, pitch).rays())
    assert psnr(cut_view(panorama, look), truth) > 45


def test_labels_are_never_mixed() -> None:
    label = torch.randint(0, 7, (1, 1, *SIZE), dtype=torch.uint8) * 30
    view = cut_view(label, Look(1.0, 0.3), mode="nearest")
    assert view.dtype == torch.uint8
    assert set(view.unique().tolist()) <= set(label.unique().tolist())


def test_a_view_cannot_be_everything() -> None:
    with pytest.raises(SettingsError, match="between 0 and 150 degrees"):
        Look(fov_deg=180)
