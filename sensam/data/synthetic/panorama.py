"""Whole turns of the head in made-up streets, half of one at a time, and ordinary pictures of such streets.

Imitates: the equirectangular image of a 360 degree camera on a pavement or on a car, exact at every pixel and
continuous across its seam, and the labelled pinhole pictures from cars that a segmenter would have been trained on:
same classes, same light, same depth sensor (here along the ray), another geometry. And an equidistant fisheye that
sees the half of the world before it in a circle. Left out: stitching errors, the car and the tripod below.
"""

import numpy as np

from sensam.data.camera import Equirectangular, Fisheye, Pinhole
from sensam.data.synthetic.drive import measured, rgbd, rgbd_sensor
from sensam.data.synthetic.light import DAY, DUSK, NIGHT, draw_light, record
from sensam.data.synthetic.scene import IGNORE, Family, Scene, Size
from sensam.data.synthetic.street import CLASSES, Street, build_street
from sensam.data.synthetic.view import look, paint

PANORAMA, PERSPECTIVE, FISHEYE = "panorama", "perspective", "fisheye"
FISHEYE_DEG = 180.0


def draw(rng: np.random.Generator, size: Size, domain: str, *, fov_deg: float | None = None) -> Scene:
    """A panorama, a fisheye, or a pinhole picture with `fov_deg` across (drawn from 60 to 100 if not given)."""
    street = build_street(rng)
    light = draw_light(rng, str(rng.choice([DAY, DUSK, NIGHT], p=[0.5, 0.3, 0.2])))
    drawn_fov = float(rng.uniform(60, 100))
    camera = _camera(rng, size, domain, street, fov_deg if fov_deg is not None else drawn_fov)
    view = look(street, camera)
    radiance, glass = paint(street, camera, view, light)
    colour = record(rng, radiance, light, wraps=camera.wraps)
    depth, returned = measured(rng, view.distance_HW, glass)
    meta: dict[str, float | str] = {
        "geometry": FAMILY.sensor_of(domain).geometry,
        "fov_deg": 360.0 if isinstance(camera, Equirectangular) else round(camera.fov_deg, 1),
        "sun_elevation_deg": round(light.sun_elevation_deg, 1),
        "camera_height_m": round(camera.position[2], 2),
    }
    raster, label = rgbd(colour, depth, returned), view.label_HW
    if isinstance(camera, Fisheye):
        seen = camera.circle()
        raster = raster.with_pixels(raster.pixels_CHW * seen, raster.valid_CHW & seen, is_decoded=raster.is_decoded)
        label = np.where(seen, label, np.uint8(IGNORE))
    return Scene(raster, label, None, domain, meta)


def _camera(
    rng: np.random.Generator, size: Size, domain: str, street: Street, fov_deg: float
) -> Equirectangular | Fisheye | Pinhole:
    turn = float(rng.uniform(-np.pi, np.pi))
    if domain == PANORAMA:
        x, y = street.free_place(rng, on_road=bool(rng.random() < 0.35))
        return Equirectangular(size, (x, y, float(rng.uniform(1.5, 2.4))), yaw=0.15 * turn)
    if domain == FISHEYE:
        x, y = street.free_place(rng, on_road=bool(rng.random() < 0.35))
        return Fisheye(size, (x, y, float(rng.uniform(1.5, 2.4))), FISHEYE_DEG, yaw=turn)
    position = (0.0, street.plan.lane_y, float(rng.uniform(1.35, 1.9)))
    heading = 0.06 * turn + (0.0 if rng.random() < 0.7 else np.pi)
    return Pinhole(size, position, fov_deg, yaw=heading, pitch=float(rng.normal(-0.02, 0.03)))


FAMILY = Family(
    name="panorama",
    title="whole turns of the head in streets, fisheyes, and labelled pinhole pictures of such streets",
    sensor=rgbd_sensor(
        "panorama",
        "Generated 360 degree camera with depth",
        "equirectangular",
        (
            (112.3, 53.0),
            (110.5, 55.6),
            (114.1, 63.1),
            (21.0, 19.7),
        ),  # of 400 scenes: scripts/scene_pictures.py --statistics
    ),
    classes=CLASSES,
    domains=(PANORAMA, PERSPECTIVE, FISHEYE),
    draw=draw,
    domain_shares=(1.0, 0.0, 0.0),
    domain_sensors={
        PERSPECTIVE: {"geometry": "perspective"},
        FISHEYE: {"geometry": "fisheye", "fov_deg": FISHEYE_DEG},
    },
)
