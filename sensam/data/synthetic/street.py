"""A street that was never built: carriageway, pavements, houses, trees, lamps, vehicles, people, and a skyline."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sensam.data.camera import distance_to_footprint
from sensam.data.raster import Field
from sensam.data.synthetic.fields import noise_tile
from sensam.data.synthetic.scene import ClassInfo
from sensam.data.synthetic.solids import BOX, CYLINDER, ELLIPSOID, Collection, Solids

ROAD, SIDEWALK, BUILDING, POLE, VEGETATION, TERRAIN, PEDESTRIAN, VEHICLE, SKY = range(9)
CLASSES = (
    ClassInfo("road", "#804080"),
    ClassInfo("sidewalk", "#f423e8"),
    ClassInfo("building", "#464646"),
    ClassInfo("pole", "#999999"),
    ClassInfo("vegetation", "#6b8e23"),
    ClassInfo("terrain", "#98fb98"),
    ClassInfo("pedestrian", "#dc143c"),
    ClassInfo("vehicle", "#00008e"),
    ClassInfo("sky", "#4682b4"),
)


class Part(IntEnum):
    """What a solid is a part of: decides its class and how it is painted."""

    HOUSE = 0
    SKYLINE = 1
    WOOD = 2
    LEAVES = 3
    METAL = 4
    LAMP = 5
    SIGN = 6
    SKIN = 7
    CLOTH = 8
    BODY = 9
    CABIN = 10
    WHEEL = 11


CLASS_OF_PART = np.array(
    [BUILDING, BUILDING, VEGETATION, VEGETATION, POLE, POLE, POLE, PEDESTRIAN, PEDESTRIAN, VEHICLE, VEHICLE, VEHICLE],
    np.uint8,
)
TILE = 256  # pixels of the noise tile that textures are read from
REACH_M = 110.0  # how far along the street things are put

_PAINTS = ((0.55, 0.55, 0.57), (0.03, 0.03, 0.04), (0.35, 0.05, 0.04), (0.05, 0.09, 0.25), (0.70, 0.70, 0.68))
_WALLS = (
    *((0.50, 0.40, 0.30), (0.78, 0.77, 0.73), (0.32, 0.14, 0.09)),
    *((0.45, 0.43, 0.40), (0.66, 0.58, 0.40), (0.25, 0.25, 0.27)),
)


@dataclass(frozen=True, slots=True)
class Crossing:
    """A side street: where its middle crosses the street, and half its width."""

    x: float
    half_m: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The ground of a street, seen from above; the street runs along x with its middle at y = 0."""

    road_half_m: float
    sidewalk_m: float
    crossings: tuple[Crossing, ...]
    lawn: float  # 0 paved yards, 1 grass to the walls

    @property
    def lane_y(self) -> float:
        """Where the camera's car drives: the middle of the right-hand lane."""
        return -self.road_half_m / 2

    def ground_class(self, x: Field, y: Field) -> NDArray[np.uint8]:
        """Class of the ground at places of the world."""
        beside = np.abs(y) - self.road_half_m
        for crossing in self.crossings:
            across = np.abs(x - crossing.x) - crossing.half_m
            beside = np.minimum(beside, across)
        paved = beside < self.sidewalk_m
        return np.select([beside < 0, paved], [ROAD, SIDEWALK], TERRAIN).astype(np.uint8)

    def is_open(self, x: float, margin: float) -> bool:
        """Whether a side street passes within `margin` of x."""
        return any(abs(x - crossing.x) < crossing.half_m + margin for crossing in self.crossings)


@dataclass(frozen=True, slots=True)
class Street:
    """Everything a camera can look at."""

    plan: Plan
    solids: Solids
    lamps_N3: Field  # where light comes from at night
    tile: Field  # noise of mean 0 and standard deviation 1, periodic
    salt: int

    def free_place(self, rng: np.random.Generator, *, on_road: bool) -> tuple[float, float]:
        """Somewhere on the carriageway or a pavement with a step of room to everything that stands there."""
        plan = self.plan
        for _ in range(40):
            x = float(rng.uniform(-25, 25))
            y = plan.lane_y if on_road else plan.road_half_m + float(rng.uniform(0.6, plan.sidewalk_m - 0.3))
            y *= float(rng.choice([-1, 1]))
            eye = np.array([x, y, 0], np.float32)
            if distance_to_footprint(self.solids.placement, eye).min() > 0.9:
                return x, y
        return 0.0, plan.lane_y


def build_street(rng: np.random.Generator) -> Street:
    """A new street; nothing stands where the camera drives, near x = 0 in the right-hand lane."""
    crossings = [
        Crossing(float(end * rng.uniform(14, 70)), float(rng.uniform(2.8, 4.2)))
        for end in (1, -1)
        if rng.random() < 0.6
    ]
    plan = Plan(
        road_half_m=float(rng.uniform(3.2, 5.8)),
        sidewalk_m=float(rng.uniform(1.8, 4.0)),
        crossings=tuple(crossings),
        lawn=float(rng.random()),
    )
    things = Collection()
    _add_skyline(rng, things)
    for side in (-1, 1):
        _add_frontage(rng, things, plan, side)
        _add_trees(rng, things, plan, side)
        _add_parked(rng, things, plan, side)
    lamps = _add_lamps(rng, things, plan)
    _add_traffic(rng, things, plan)
    _add_people(rng, things, plan)
    tile = noise_tile(rng, TILE, slope=1.2, outer=40)
    return Street(plan, things.solids(), np.asarray(lamps, np.float32), tile, int(rng.integers(2**31)))


def _add_skyline(rng: np.random.Generator, things: Collection) -> None:
    """Houses and wooded hills all around, too far for most depth sensors."""
    for azimuth in np.arange(0, 2 * np.pi, 0.2) + rng.uniform(-0.06, 0.06, 32):
        distance, wide, high = rng.uniform(130, 300), rng.uniform(9, 26), rng.uniform(5, 26)
        centre = (distance * np.cos(azimuth), distance * np.sin(azimuth), high)
        if rng.random() < 0.75:
            things.add(BOX, Part.SKYLINE, centre, (10, wide, high), _wall(rng), yaw=azimuth)
    for azimuth in rng.uniform(0, 2 * np.pi, 7):
        distance, wide, high = rng.uniform(320, 600), rng.uniform(90, 220), rng.uniform(20, 70)
        centre = (distance * np.cos(azimuth), distance * np.sin(azimuth), 0)
        things.add(ELLIPSOID, Part.LEAVES, centre, (60, wide, high), (0.05, 0.09, 0.03), yaw=azimuth, ragged=0.3)


def _add_frontage(rng: np.random.Generator, things: Collection, plan: Plan, side: int) -> None:
    """Houses, with gardens between them, along one side."""
    density = rng.uniform(0.45, 1.0)
    setback = rng.uniform(0, 5)
    front = plan.road_half_m + plan.sidewalk_m + setback
    x = -REACH_M
    while x < REACH_M:
        wide = rng.uniform(9, 22)
        middle = x + wide / 2
        x += wide + (rng.uniform(1, 5) if rng.random() < 0.4 else 0)
        if plan.is_open(middle, wide / 2 + plan.sidewalk_m):
            continue
        if rng.random() < density:
            deep, high = rng.uniform(5, 8), 3.1 * rng.integers(2, 9) + 0.6
            centre = (middle, side * (front + deep), high / 2)
            things.add(BOX, Part.HOUSE, centre, (wide / 2, deep, high / 2), _wall(rng))
        else:
            for _ in range(rng.integers(2, 5)):
                place = (middle + rng.uniform(-wide, wide) / 2, side * (front + rng.uniform(2.5, 14)))
                _add_plant(rng, things, place, tree=bool(rng.random() < 0.6))


def _add_trees(rng: np.random.Generator, things: Collection, plan: Plan, side: int) -> None:
    share, spacing = rng.uniform(0, 1.0), rng.uniform(8, 15)
    for x in np.arange(-REACH_M * 0.8, REACH_M * 0.8, spacing):
        if rng.random() < share and not plan.is_open(x, 5):
            _add_plant(rng, things, (x, side * (plan.road_half_m + 0.9)), tree=True)


def _add_plant(rng: np.random.Generator, things: Collection, place: tuple[float, float], *, tree: bool) -> None:
    """A tree of a trunk and three overlapping crowns, or a bush."""
    green = np.array([0.06, 0.11, 0.025]) * rng.uniform(0.6, 1.5) + rng.uniform(0, 0.03, 3)
    colour = (float(green[0]), float(green[1]), float(green[2]))
    x, y = place
    if not tree:
        wide, high = rng.uniform(0.7, 1.8), rng.uniform(0.6, 1.4)
        things.add(ELLIPSOID, Part.LEAVES, (x, y, high * 0.7), (wide, wide * 0.8, high), colour, ragged=0.6)
        return
    stem, crown = rng.uniform(2.0, 3.4), rng.uniform(1.3, 2.8)
    things.add(CYLINDER, Part.WOOD, (x, y, stem / 2 + 0.3), (0.16, 0.16, stem / 2 + 0.4), (0.10, 0.07, 0.05))
    for lift in (0.55, 1.0, 1.5):
        away = rng.uniform(-0.4, 0.4, 2) * crown
        centre = (x + away[0], y + away[1], stem + crown * lift)
        wide = crown * rng.uniform(0.7, 1.0) * (1.25 - 0.3 * lift)
        things.add(ELLIPSOID, Part.LEAVES, centre, (wide, wide, crown * 0.75), colour, ragged=0.8)


def _add_lamps(rng: np.random.Generator, things: Collection, plan: Plan) -> list[tuple[float, float, float]]:
    """Street lamps on alternate sides, and a few signs; returns where the lamps shine from."""
    high, spacing = rng.uniform(5.5, 8), rng.uniform(20, 30)
    lamps = []
    for number, x in enumerate(np.arange(-REACH_M * 0.8, REACH_M * 0.8, spacing) + rng.uniform(0, spacing)):
        side = 1 if number % 2 else -1
        y = side * (plan.road_half_m + 0.4)
        things.add(CYLINDER, Part.METAL, (x, y, high / 2), (0.10, 0.10, high / 2), (0.22, 0.23, 0.24))
        things.add(BOX, Part.METAL, (x, y - side * 0.8, high), (0.06, 0.8, 0.05), (0.22, 0.23, 0.24))
        things.add(BOX, Part.LAMP, (x, y - side * 1.7, high - 0.03), (0.18, 0.40, 0.08), (0.5, 0.5, 0.5))
        lamps.append((x, y - side * 1.7, high - 0.25))
    for x in rng.uniform(-60, 60, rng.integers(3, 8)):
        y = float(rng.choice([-1, 1])) * (plan.road_half_m + 0.35)
        things.add(CYLINDER, Part.METAL, (x, y, 1.3), (0.05, 0.05, 1.3), (0.35, 0.35, 0.36))
        colour = ((0.5, 0.03, 0.03), (0.03, 0.1, 0.5), (0.7, 0.7, 0.7))[rng.integers(3)]
        things.add(BOX, Part.SIGN, (x, y, 2.4), (0.03, 0.33, 0.33), colour)
    return lamps


def _add_parked(rng: np.random.Generator, things: Collection, plan: Plan, side: int) -> None:
    share = rng.uniform(0, 0.8)
    y = side * (plan.road_half_m - 0.95)
    if abs(y - plan.lane_y) < 1.9:  # too narrow to park on the camera's side
        return
    x = -70.0
    while x < 90:
        if rng.random() < share and not plan.is_open(x, 4):
            _add_vehicle(rng, things, (x, y), yaw=np.pi * (side > 0), parked=True)
        x += rng.uniform(5.8, 8.5)


def _add_traffic(rng: np.random.Generator, things: Collection, plan: Plan) -> None:
    for lane in (-1, 1):
        x = rng.uniform(9, 25)
        y = lane * plan.road_half_m / 2
        while x < 100:
            if rng.random() < 0.55:
                _add_vehicle(rng, things, (x, y), yaw=np.pi * (lane > 0), parked=False)
            x += rng.uniform(11, 35)
        if rng.random() < 0.6:
            _add_vehicle(rng, things, (-rng.uniform(9, 40), y), yaw=np.pi * (lane > 0), parked=False)


def _add_vehicle(
    rng: np.random.Generator, things: Collection, place: tuple[float, float], *, yaw: float, parked: bool
) -> None:
    """A car, or one time in six a van or a lorry; its front points along `yaw`."""
    paint = _PAINTS[rng.integers(len(_PAINTS))]
    x, y = place
    van = rng.random() < 0.17 and not parked
    long, wide = (rng.uniform(2.6, 4.2), 1.05) if van else (rng.uniform(1.9, 2.3), 0.88)
    cos = np.cos(yaw)
    if van:
        top = rng.uniform(2.1, 3.2)
        things.add(BOX, Part.BODY, (x, y, 0.35 + top / 2), (long, wide, top / 2), paint, yaw=yaw)
    else:
        things.add(BOX, Part.BODY, (x, y, 0.62), (long, wide, 0.32), paint, yaw=yaw)
        things.add(BOX, Part.CABIN, (x - 0.25 * cos, y, 1.2), (long * 0.55, wide * 0.85, 0.28), paint, yaw=yaw)
    for axle in (-0.62, 0.62):
        things.add(BOX, Part.WHEEL, (x + axle * long * cos, y, 0.30), (0.30, wide * 0.97, 0.30), (0.02, 0.02, 0.02))


def _add_people(rng: np.random.Generator, things: Collection, plan: Plan) -> None:
    for _ in range(rng.integers(5, 15)):
        x = float(rng.uniform(-35, 45))
        y = float(rng.choice([-1, 1])) * (plan.road_half_m + rng.uniform(0.4, plan.sidewalk_m - 0.2))
        if rng.random() < 0.15:
            x, y = float(rng.uniform(8, 35)), float(rng.uniform(-1, 1)) * plan.road_half_m
        tall = rng.uniform(0.92, 1.08)
        coat, trousers = (tuple(rng.uniform(0.02, 0.35) * rng.uniform(0.5, 1.5, 3)) for _ in range(2))
        things.add(ELLIPSOID, Part.CLOTH, (x, y, 0.45 * tall), (0.17, 0.15, 0.50 * tall), trousers)
        things.add(ELLIPSOID, Part.CLOTH, (x, y, 1.15 * tall), (0.19, 0.25, 0.38 * tall), coat)
        things.add(ELLIPSOID, Part.SKIN, (x, y, 1.63 * tall), (0.11, 0.10, 0.14), (0.35, 0.22, 0.15))


def _wall(rng: np.random.Generator) -> tuple[float, float, float]:
    base = np.array(_WALLS[rng.integers(len(_WALLS))]) * rng.uniform(0.7, 1.25)
    return float(base[0]), float(base[1]), float(base[2])
