"""A drive through made-up streets, by day, at dawn or dusk, and at night: a colour camera and metric depth.

Imitates: pinhole geometry from the height of a car's windscreen; sun with cast shadows, sky, haze, street lamps,
headlights and lit windows; exposure that runs out of light, so that night pictures are dark, blurred and noisy while
depth stays good; a depth sensor that measures along the optical axis, reads its longest range for the sky and
anything farther, scatters more with distance and at times gets nothing back from glass. Left out: rain, lens flare,
motion blur, reflections, light bounced between surfaces, the edges' mixed pixels.
"""

import numpy as np
from numpy.typing import NDArray

from sensam.data.camera import Pinhole
from sensam.data.raster import Field, Mask, Raster
from sensam.data.synthetic.light import DOMAINS, draw_light, record
from sensam.data.synthetic.scene import Family, Scene, Size
from sensam.data.synthetic.street import CLASSES, build_street
from sensam.data.synthetic.view import look, paint
from sensam.sensors import Band, Geometry, Sensor

LONGEST_M = 50.0
BANDS = ("red", "green", "blue", "depth")


def draw(rng: np.random.Generator, size: Size, domain: str) -> Scene:
    """One picture from a car."""
    street = build_street(rng)
    position = (0.0, street.plan.lane_y, float(rng.uniform(1.35, 1.9)))
    fov = float(rng.uniform(65, 90))
    camera = Pinhole(size, position, fov, yaw=float(rng.normal(0, 0.06)), pitch=float(rng.normal(-0.02, 0.02)))
    light = draw_light(rng, domain)
    view = look(street, camera)
    radiance, glass = paint(street, camera, view, light)
    colour = record(rng, radiance, light, wraps=False)
    along_axis = view.distance_HW * np.tensordot(camera.forward(), view.rays_3HW, axes=1)
    depth, returned = measured(rng, along_axis, glass)
    meta: dict[str, float | str] = {
        "time_of_day": domain,
        "sun_elevation_deg": round(light.sun_elevation_deg, 1),
        "fov_deg": round(fov, 1),
        "camera_height_m": round(position[2], 2),
        "haze_m": round(light.haze_m),
    }
    return Scene(rgbd(colour, depth, returned), view.label_HW, None, domain, meta)


def measured(rng: np.random.Generator, metres: Field, glass: Mask) -> tuple[Field, Mask]:
    """What a depth sensor makes of true distances: noise, a longest range, and at times silence from glass."""
    noise = rng.standard_normal(metres.shape, dtype=np.float32)
    finite = np.minimum(metres, 4 * LONGEST_M)
    depth = np.clip(finite + noise * (0.01 + 0.0008 * finite**1.5), 0.1, LONGEST_M)
    lost = glass & (rng.random(metres.shape, dtype=np.float32) < 0.2)
    return np.where(lost, 0, depth).astype(np.float32), ~lost


def rgbd(colour_3HW: Field, depth_HW: Field, returned_HW: Mask) -> Raster:
    """Colour and depth as one raster; where no depth came back only the depth is invalid."""
    valid: NDArray[np.bool_] = np.ones((4, *depth_HW.shape), np.bool_)
    valid[3] = returned_HW
    return Raster(np.concatenate([colour_3HW, depth_HW[None]]), valid, BANDS)


def rgbd_sensor(name: str, title: str, geometry: Geometry, statistics: tuple[tuple[float, float], ...]) -> Sensor:
    """A colour camera with eight bits and a depth sensor in metres; statistics are mean and deviation per band."""
    colour = [Band(name=band, unit="DN", valid_range=(0, 255)) for band in BANDS[:3]]
    depth = Band(name="depth", title="distance, at most 50 m", unit="m", valid_range=(0.1, LONGEST_M))
    sensor = Sensor(name=name, title=title, bands=(*colour, depth), rgb=("red", "green", "blue"), geometry=geometry)
    return sensor.with_statistics(*zip(*statistics, strict=True))


FAMILY = Family(
    name="drive",
    title="streets from a car by day, at dusk and at night, colour and depth",
    sensor=rgbd_sensor(
        "drive",
        "Generated driving camera with depth",
        "perspective",
        (
            (101.2, 50.3),
            (95.5, 50.2),
            (94.3, 55.2),
            (20.1, 17.9),
        ),  # of 400 scenes: scripts/scene_pictures.py --statistics
    ),
    classes=CLASSES,
    domains=DOMAINS,
    draw=draw,
    domain_shares=(0.5, 0.25, 0.25),
)
