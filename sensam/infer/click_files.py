"""Objects found in a scene as a file: GeoPackage, GeoJSON or FlatGeobuf polygons, or a GeoTIFF of their numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataSourceError
from pyogrio.raw import write
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.features import shapes
from rasterio.transform import Affine
from rasterio.warp import transform_geom
from rasterio.windows import Window as GdalWindow

from sensam.data.raster import RasterInfo, shifted
from sensam.errors import InputError, SettingsError
from sensam.files import whole
from sensam.infer.scene_clicks import Found

VECTORS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".json": "GeoJSON", ".fgb": "FlatGeobuf"}
RASTERS = (".tif", ".tiff")
GEOJSON_CRS = "EPSG:4326"  # what the format prescribes
MOST_IN_8_BITS = 255


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse a name that says no format, and a file that is there already, before anything is computed."""
    if path.suffix.lower() not in (*VECTORS, *RASTERS):
        known = ", ".join((*VECTORS, *RASTERS))
        raise SettingsError(f"{path} does not say in which format. Give a name that ends in {known}.")
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir():
        raise InputError(f"{nearest} is a file, and a folder is needed for {path}. Choose another place with -o.")
    if path.is_dir():
        raise InputError(f"{path} is a folder, and a file is to be written. Choose another place with -o.")
    if path.exists() and not overwrite:
        raise InputError(
            f"{path} exists, and all of it would be replaced, every layer. "
            "Choose another place with -o, or add --overwrite."
        )


def write_objects(path: Path, objects: Sequence[Found], info: RasterInfo) -> None:
    """The file, whole or not at all, and its folder; what was there before is replaced."""
    check_output(path, overwrite=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as unfinished:
            if path.suffix.lower() in RASTERS:
                _write_raster(unfinished, objects, info)
            else:
                _write_polygons(unfinished, objects, info, VECTORS[path.suffix.lower()])
    except (RasterioError, DataSourceError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} cannot be written ({reason}). Is there room on the disk?") from error


def _write_raster(path: Path, objects: Sequence[Found], info: RasterInfo) -> None:
    """The number of the object in every pixel, from 1; of two in one pixel the smaller is on top."""
    profile = {
        "driver": "GTiff",
        "count": 1,
        "height": info.height,
        "width": info.width,
        "dtype": "uint8" if len(objects) <= MOST_IN_8_BITS else "uint16",
        "nodata": 0,
        "compress": "deflate",
        "tiled": True,
        "sparse_ok": True,
        "crs": info.crs,
        "transform": info.transform,
    }
    order = sorted(range(len(objects)), key=lambda place: -int(objects[place].mask_HW.sum()))
    with catch_warnings():
        simplefilter("ignore", NotGeoreferencedWarning)
        given = {name: value for name, value in profile.items() if value is not None}
        with rasterio.open(path, "w+", **given) as file:
            for place in order:
                row, column, rows, columns = objects[place].window
                window = GdalWindow(column, row, columns, rows)
                numbers_HW = file.read(1, window=window)
                numbers_HW[objects[place].mask_HW] = place + 1
                file.write(numbers_HW, 1, window=window)


def _write_polygons(path: Path, objects: Sequence[Found], info: RasterInfo, driver: str) -> None:
    crs = info.crs.to_wkt() if info.crs is not None else None
    geometry = [_outline(found, info) for found in objects]
    if driver == "GeoJSON" and info.crs is not None:
        geometry = [shapely.geometry.shape(transform_geom(info.crs, GEOJSON_CRS, shape)) for shape in geometry]
        crs = GEOJSON_CRS
    fields = {
        "object": np.arange(1, len(objects) + 1, dtype=np.int32),
        "asked": np.array([found.text for found in objects], dtype=object),
        "score": np.array([found.score for found in objects], np.float64),
        "pixels": np.array([int(found.mask_HW.sum()) for found in objects], np.int64),
    }
    with catch_warnings():
        simplefilter("ignore", UserWarning)  # a scene without a place on Earth has polygons without one
        write(
            path,
            geometry=np.array(shapely.to_wkb(geometry), dtype=object),
            field_data=list(fields.values()),
            fields=list(fields),
            layer="objects" if driver == "GPKG" else None,
            driver=driver,
            geometry_type="MultiPolygon",
            promote_to_multi=True,
            crs=crs,
        )


def _outline(found: Found, info: RasterInfo) -> Any:
    """The edge of a mask's pixels, on the map or in pixels."""
    place = shifted(info.transform or Affine.identity(), found.window)
    mask_HW: NDArray[np.uint8] = found.mask_HW.astype(np.uint8)
    pieces = [shapely.geometry.shape(piece) for piece, _ in shapes(mask_HW, mask=found.mask_HW, transform=place)]
    polygons = [part for piece in pieces for part in getattr(piece, "geoms", [piece])]
    return shapely.MultiPolygon(polygons)
