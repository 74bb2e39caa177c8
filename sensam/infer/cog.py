"""Raw planes to a Cloud Optimized GeoTIFF with overviews, colours, class names and a style for QGIS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError
from rasterio.transform import Affine

from sensam.data.layout import Colour
from sensam.errors import InputError
from sensam.infer.products import Product
from sensam.infer.scene import GDAL_OPTIONS
from sensam.infer.workplace import BYTE_ORDER, Workplace

GDAL_TYPES = {"uint8": "Byte", "uint16": "UInt16"}
CREATION = {"COMPRESS": "DEFLATE", "BLOCKSIZE": "512", "BIGTIFF": "IF_SAFER", "NUM_THREADS": "2"}


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a map lies, and what its classes are."""

    crs: Any
    transform: Affine | None
    classes: tuple[str, ...]
    colours: tuple[Colour, ...]


def write_cog(workplace: Workplace, product: Product, ground: Ground, tags: Mapping[str, str]) -> Path:
    """The finished file, still in the workplace; class names lie beside it in an .aux.xml, as GDAL keeps them."""
    virtual = workplace.folder / f"{product.name}.vrt"
    virtual.write_text(_virtual(workplace, product, ground, tags), encoding="utf-8")
    made = workplace.folder / f"{product.name}.tif"
    resampling = "MODE" if product.name == "classes" else "AVERAGE"
    try:
        with rasterio.Env(**GDAL_OPTIONS):
            rasterio.shutil.copy(
                virtual, made, driver="COG", PREDICTOR="YES", OVERVIEW_RESAMPLING=resampling, **CREATION
            )
    except RasterioError as error:
        raise InputError(
            f"{made} cannot be written ({str(error).splitlines()[0]}). Is there room on the disk?"
        ) from error
    write_style(made.with_suffix(".qml"), product, ground)
    return made


def _virtual(workplace: Workplace, product: Product, ground: Ground, tags: Mapping[str, str]) -> str:
    """A VRT over the raw planes."""
    height, width = workplace.size
    parts = [f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">']
    if ground.crs is not None:
        parts.append(f"<SRS>{escape(ground.crs.to_wkt())}</SRS>")
    if ground.transform is not None:
        parts.append(f"<GeoTransform>{', '.join(repr(float(n)) for n in ground.transform.to_gdal())}</GeoTransform>")
    lines = "".join(f"<MDI key={quoteattr(key)}>{escape(value)}</MDI>" for key, value in tags.items())
    parts.append(f"<Metadata>{lines}</Metadata>")
    item = 1 if product.dtype == "uint8" else 2
    for number, name in enumerate(product.planes):
        parts += [
            f'<VRTRasterBand dataType="{GDAL_TYPES[product.dtype]}" band="{number + 1}" subClass="VRTRawRasterBand">',
            f"<Description>{escape(name)}</Description><NoDataValue>{product.nodata}</NoDataValue>",
            *(_palette(ground, product) if product.name == "classes" else [f"<Scale>{product.scale!r}</Scale>"]),
            f'<SourceFilename relativeToVRT="1">{product.name}.raw</SourceFilename><ByteOrder>{BYTE_ORDER}</ByteOrder>',
            f"<ImageOffset>{number * height * width * item}</ImageOffset>",
            f"<PixelOffset>{item}</PixelOffset><LineOffset>{width * item}</LineOffset></VRTRasterBand>",
        ]
    return "\n".join([*parts, "</VRTDataset>"])


def _palette(ground: Ground, product: Product) -> Sequence[str]:
    names = "".join(f"<Category>{escape(name)}</Category>" for name in ground.classes)
    categories = f"<CategoryNames>{names}</CategoryNames>"
    if product.dtype != "uint8":
        return [categories]  # a TIFF's palette has 256 or 65536 entries; more classes than 255 have no colours
    colours = [f'<Entry c1="{r}" c2="{g}" c3="{b}" c4="255"/>' for r, g, b in ground.colours]
    unused = ['<Entry c1="0" c2="0" c3="0" c4="0"/>'] * (256 - len(colours))
    table = f"<ColorInterp>Palette</ColorInterp><ColorTable>{''.join(colours + unused)}</ColorTable>"
    return [table, categories]


def write_style(path: Path, product: Product, ground: Ground) -> None:
    """How QGIS shows the file: classes by name and colour, everything else from dark to light."""
    if product.name == "classes":
        entries = "".join(
            f'<paletteEntry value="{number}" label={quoteattr(name)} color="#{r:02x}{g:02x}{b:02x}" alpha="255"/>'
            for number, (name, (r, g, b)) in enumerate(zip(ground.classes, ground.colours, strict=True))
        )
        renderer = (
            f'<rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">'
            f"<colorPalette>{entries}</colorPalette></rasterrenderer>"
        )
    else:
        renderer = (
            '<rasterrenderer type="singlebandgray" grayBand="1" gradient="BlackToWhite" opacity="1" alphaBand="-1">'
            "<contrastEnhancement><minValue>0</minValue><maxValue>1</maxValue>"
            "<algorithm>StretchToMinimumMaximum</algorithm></contrastEnhancement></rasterrenderer>"
        )
    head = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    path.write_text(f'{head}<qgis version="3.28"><pipe>{renderer}</pipe></qgis>\n', encoding="utf-8")
