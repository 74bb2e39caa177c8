"""A street through a camera: class, distance and colour of what every pixel's ray meets first."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensam.data.camera import Camera
from sensam.data.raster import Field, Mask
from sensam.data.synthetic.fields import hashed
from sensam.data.synthetic.light import Light, headlight, lamp_light, sky_radiance
from sensam.data.synthetic.solids import NOTHING, cast, local_points, normals, shaded
from sensam.data.synthetic.street import CLASS_OF_PART, ROAD, SIDEWALK, SKY, Part, Street

WINDOW_M, FLOOR_M = 2.6, 3.1
_CASTERS = np.array([Part.HOUSE, Part.WOOD, Part.LEAVES, Part.METAL, Part.CLOTH, Part.BODY, Part.CABIN])


@dataclass(frozen=True, slots=True)
class View:
    """What a camera sees of a street, before any noise."""

    rays_3HW: Field
    label_HW: NDArray[np.uint8]
    distance_HW: Field  # along the ray, infinite for the sky
    solid_HW: NDArray[np.int32]


@dataclass(slots=True)
class Coat:
    """How M points reflect and shine; painted over step by step."""

    albedo_3M: Field
    glow_3M: Field
    glass_M: Mask  # a depth sensor may look through it


@dataclass(frozen=True, slots=True)
class Surface:
    """The points where rays end."""

    points_3M: Field
    normals_3M: Field
    coat: Coat


def look(street: Street, camera: Camera) -> View:
    """Class and distance per pixel, exactly."""
    rays = camera.rays()
    hits = cast(street.solids, camera, rays, street.tile)
    eye = camera.position
    down = np.minimum(rays[2], -1e-9)
    ground = np.where(rays[2] < 0, -eye[2] / down, np.inf).astype(np.float32)
    on_ground = ground < hits.distance_HW
    solid = np.where(on_ground, NOTHING, hits.solid_HW).astype(np.int32)
    distance = np.minimum(ground, hits.distance_HW)
    label = np.full(camera.size, SKY, np.uint8)
    label[solid != NOTHING] = CLASS_OF_PART[street.solids.part_N[solid[solid != NOTHING]]]
    way = distance[on_ground]
    label[on_ground] = street.plan.ground_class(eye[0] + way * rays[0][on_ground], eye[1] + way * rays[1][on_ground])
    return View(rays, label, distance, solid)


def paint(street: Street, camera: Camera, view: View, light: Light) -> tuple[Field, Mask]:
    """Linear radiance 3 x H x W, and where glass was seen."""
    radiance = np.empty(view.rays_3HW.shape, np.float32)
    is_sky = view.label_HW == SKY
    radiance[:, is_sky] = sky_radiance(light, view.rays_3HW[:, is_sky], street.tile)
    seen = ~is_sky
    rays, distance = view.rays_3HW[:, seen], view.distance_HW[seen]
    surface = _surface(street, camera, view, light)
    direct = np.clip(light.sun_direction @ surface.normals_3M, 0, None)
    if light.sun.any():
        casters = np.flatnonzero(np.isin(street.solids.part_N, _CASTERS))
        lifted = surface.points_3M + 0.02 * surface.normals_3M
        direct[shaded(street.solids, casters, lifted, light.sun_direction, street.tile)] = 0
    incoming = light.ambient[:, None] * (0.65 + 0.35 * surface.normals_3M[2]) + light.sun[:, None] * direct
    if light.lamp.any():
        incoming += lamp_light(light, street.lamps_N3, surface.points_3M, surface.normals_3M)
        incoming += headlight(light, rays, surface.normals_3M, distance)
    colour = surface.coat.albedo_3M * incoming + surface.coat.glow_3M
    clear = np.exp(-distance / light.haze_m)
    radiance[:, seen] = colour * clear + light.horizon[:, None] * (1 - clear)
    glass = np.zeros(view.label_HW.shape, np.bool_)
    glass[seen] = surface.coat.glass_M
    return radiance, glass


def _surface(street: Street, camera: Camera, view: View, light: Light) -> Surface:
    seen = view.label_HW != SKY
    rays, distance, solid = view.rays_3HW[:, seen], view.distance_HW[seen], view.solid_HW[seen]
    points = np.asarray(camera.position, np.float32)[:, None] + distance * rays
    footprint = distance * np.float32(camera.pixel_angle)  # metres that a pixel covers
    facing = np.zeros_like(points)
    facing[2] = 1
    coat = Coat(np.zeros_like(points), np.zeros_like(points), np.zeros(len(solid), np.bool_))
    ground, stands = solid == NOTHING, solid != NOTHING
    kind = view.label_HW[seen][ground]
    coat.albedo_3M[:, ground] = _ground_albedo(street, points[:, ground], kind, footprint[ground])
    number = solid[stands].astype(np.int64)
    metres, unit = local_points(street.solids, number, points[:, stands])
    facing[:, stands] = normals(street.solids, number, unit)
    painted = _paint_solids(street, number, metres, unit, footprint[stands], light)
    coat.albedo_3M[:, stands] = painted.albedo_3M
    coat.glow_3M[:, stands] = painted.glow_3M
    coat.glass_M[stands] = painted.glass_M
    return Surface(points, facing, coat)


def _grain(street: Street, u: Field, v: Field, footprint: Field, grain_m: float) -> Field:
    """Noise on a surface at `grain_m` per pixel of the tile, fading where pixels are coarser than it."""
    side = len(street.tile)
    i, j = (u / grain_m).astype(np.int32) % side, (v / grain_m).astype(np.int32) % side
    return np.asarray(street.tile[i, j] * np.clip(1.5 - footprint / (6 * grain_m), 0.25, 1), np.float32)


def _ground_albedo(street: Street, points: Field, kind: NDArray[np.uint8], footprint: Field) -> Field:
    x, y = points[0], points[1]
    noise = _grain(street, x, y, footprint, 0.06)
    broad = _grain(street, x + 31, y, footprint, 0.5)
    asphalt = np.array([[0.105], [0.105], [0.110]]) * np.exp(0.10 * noise + 0.12 * broad)
    slab = 1 - 0.12 * ((np.mod(x, 0.8) < 0.06) | (np.mod(y, 0.8) < 0.06)) * np.clip(1.3 - footprint / 0.15, 0, 1)
    stone = np.array([[0.23], [0.22], [0.205]]) * np.exp(0.05 * noise + 0.08 * broad) * slab
    grass = np.array([[0.075], [0.115], [0.035]]) * np.exp(0.30 * noise + 0.15 * broad)
    earth = np.array([[0.16], [0.14], [0.11]]) * np.exp(0.12 * noise + 0.1 * broad)
    lawn = np.clip(0.5 + street.plan.lawn * 3 - 1.5 + 0.3 * broad, 0, 1)
    colour = np.where(kind == ROAD, asphalt, np.where(kind == SIDEWALK, stone, grass * lawn + earth * (1 - lawn)))
    line = _markings(street, x, y, footprint) * (kind == ROAD)
    colour = colour + line * (0.55 - colour)
    return np.asarray(colour, np.float32)


def _markings(street: Street, x: Field, y: Field, footprint: Field) -> Field:
    """White paint: a dashed middle, lines along the edges, stripes before a crossing; thinned by the pixel's size."""
    middle = (np.abs(y) < 0.09) & (np.mod(x, 6) < 3)
    edge = np.abs(np.abs(y) - (street.plan.road_half_m - 0.25)) < 0.07
    line = middle | edge
    for crossing in street.plan.crossings:
        away = np.abs(x - crossing.x) - crossing.half_m
        line &= away > 0.5
        line |= (away > 0.6) & (away < 3.2) & (np.mod(y, 1.0) < 0.5) & (np.abs(y) < street.plan.road_half_m - 0.3)
    return np.asarray(line * np.clip(0.25 / np.maximum(footprint, 0.05), 0.2, 1), np.float32)


def _paint_solids(
    street: Street, number: NDArray[np.int64], metres: Field, unit: Field, footprint: Field, light: Light
) -> Coat:
    """The coat of points on solids, given in their solid's frame in metres and scaled to -1..1."""
    part = street.solids.part_N[number]
    albedo = street.solids.colour_N3[number].T.copy()
    noise = _grain(street, metres[0] + metres[1] + 7 * number, metres[2], footprint, 0.05)
    leaf = part == Part.LEAVES
    albedo[:, leaf] *= np.exp(0.55 * noise[leaf]) * (0.75 + 0.25 * unit[2, leaf])
    rough = (part == Part.HOUSE) | (part == Part.SKYLINE) | (part == Part.WOOD)
    albedo[:, rough] *= np.exp(0.07 * noise[rough])
    pane = (part == Part.CABIN) & (np.abs(unit[2]) < 0.85)
    albedo[:, pane] = 0.03
    coat = Coat(albedo, np.zeros_like(albedo), pane)
    walls = np.flatnonzero((part == Part.HOUSE) | (part == Part.SKYLINE))
    height = metres[2] + street.solids.placement.half_N3[number, 2]
    along = np.where(np.abs(unit[0]) > np.abs(unit[1]), metres[1], metres[0])
    upright = walls[np.abs(unit[2, walls]) < 0.999]
    _add_windows(coat, upright, (along[upright], height[upright], number[upright]), footprint[upright], street, light)
    _add_vehicle_lights(coat, np.flatnonzero(part == Part.BODY), metres, unit, light)
    coat.glow_3M[:, part == Part.LAMP] = light.lamp[:, None] * 0.8
    return coat


def _add_windows(
    coat: Coat,
    at: NDArray[np.int64],
    wall: tuple[Field, Field, NDArray[np.int64]],
    footprint: Field,
    street: Street,
    light: Light,
) -> None:
    """Panes in a grid on points `at` of walls (metres along, metres up, which house); some with a light on."""
    along, height, house = wall
    column, floor = np.floor(along / WINDOW_M), np.floor(height / FLOOR_M)
    across, up = along / WINDOW_M - column, height / FLOOR_M - floor
    window = (np.abs(across - 0.5) < 0.24) & (up > 0.32) & (up < 0.82)
    sharp = np.clip(1.6 - footprint / 0.8, 0.15, 1)  # far away, walls and panes run together
    coat.albedo_3M[:, at] += window * sharp * (np.array([[0.04], [0.05], [0.06]]) - coat.albedo_3M[:, at])
    cell = (column.astype(np.int64), floor.astype(np.int64), house)
    lit = window & (hashed(*cell, salt=street.salt) < light.lit_windows)
    warm = np.array([[1.0], [0.72], [0.38]]) * (0.02 + 0.06 * hashed(*cell, salt=street.salt + 1))
    coat.glow_3M[:, at] += lit * sharp * warm
    coat.glass_M[at] = window & (sharp > 0.9)


def _add_vehicle_lights(coat: Coat, body: NDArray[np.int64], metres: Field, unit: Field, light: Light) -> None:
    """White in front, red behind: painted by day, shining when the camera's own headlights are on."""
    x, y = unit[:2, body]
    lens = (np.abs(y) > 0.62) & (np.abs(y) < 0.92) & (np.abs(metres[2, body]) < 0.13) & (np.abs(x) > 0.98)
    for end, colour, strength in ((x > 0, (0.9, 0.9, 0.8), 3.0), (x < 0, (0.7, 0.02, 0.02), 0.35)):
        here = body[lens & end]
        coat.albedo_3M[:, here] = np.array(colour, np.float32)[:, None] * 0.5
        coat.glow_3M[:, here] = np.array(colour, np.float32)[:, None] * np.float32(strength * light.headlight)
