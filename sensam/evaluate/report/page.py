"""The page: one HTML file with its style, plots and pictures inside, without a script."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sensam.evaluate.report.style import STYLE

LARGEST_PICTURE = 256  # pixels on the longer side of a picture on the page


@dataclass(frozen=True, slots=True)
class Section:
    """One chapter of the page: a heading, and blocks of HTML below it."""

    anchor: str
    title: str
    blocks: tuple[str, ...]


@dataclass(slots=True)
class Page:
    """Everything on the page, from the top down."""

    title: str
    subtitle: str
    summary: str  # HTML that answers the question
    sections: list[Section] = field(default_factory=list)

    def add(self, anchor: str, title: str, *blocks: str) -> None:
        """A section, unless there is nothing to say in it."""
        kept = tuple(block for block in blocks if block)
        if kept:
            self.sections.append(Section(anchor, title, kept))

    def html(self) -> str:
        """The whole file."""
        links = "".join(f'<a href="#{part.anchor}">{escape(part.title)}</a>' for part in self.sections)
        body = "".join(
            f'<section id="{part.anchor}"><h2>{escape(part.title)}</h2>{"".join(part.blocks)}</section>'
            for part in self.sections
        )
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style></head><body><main>"
            f'<header><h1>{escape(self.title)}</h1><p class="soft">{escape(self.subtitle)}</p></header>'
            f'<div class="summary">{self.summary}</div><nav>{links}</nav>{body}'
            "</main></body></html>\n"
        )


def paragraph(text: str, *, soft: bool = False) -> str:
    """Plain text."""
    return f"<p{' class=soft' if soft else ''}>{escape(text)}</p>"


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values, side by side."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return f"<dl>{rows}</dl>" if pairs else ""


def code(text: str) -> str:
    """Something to copy into a shell."""
    return f"<pre><code>{escape(text)}</code></pre>"


def listing(lines: Sequence[str], *, plain: bool = False) -> str:
    """Lines of one weight; plain ones carry a number of their own."""
    return (
        f"<ul{' class=plain' if plain else ''}>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
        if lines
        else ""
    )


def plot(svg: str, caption: str, files: str = "") -> str:
    """A drawing with what it shows; `files` names it beside the page."""
    where = f' <span class="soft">({escape(files)})</span>' if files else ""
    return f'<figure class="plot">{svg}<figcaption>{escape(caption)}{where}</figcaption></figure>'


def side_by_side(*blocks: str) -> str:
    """Blocks that share a line where there is room."""
    kept = [block for block in blocks if block]
    return f'<div class="pair">{"".join(kept)}</div>' if kept else ""


def picture(image_HWc: NDArray[np.uint8], alt: str, *, photograph: bool = False) -> str:
    """A picture inside the page, with or without transparency; labels keep their exact colours."""
    image = Image.fromarray(image_HWc)
    scale = LARGEST_PICTURE / max(image.size)
    if scale < 1:
        method = Image.Resampling.BOX if photograph else Image.Resampling.NEAREST
        image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), method)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    size = f'width="{image.width}" height="{image.height}"'
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" {size}>'


def cell(title: str, note: str, *pictures: str) -> str:
    """Pictures one below the other, under their name."""
    caption = f"<figcaption><b>{escape(title)}</b> {escape(note)}</figcaption>"
    return f'<figure class="cell">{caption}{"".join(pictures)}</figure>'


def cells(*blocks: str) -> str:
    """Cells in a row, as many as there is room for."""
    return f'<div class="cells">{"".join(blocks)}</div>'


def legend(colours: Sequence[tuple[str, str]]) -> str:
    """Names with their colours."""
    entries = "".join(f'<span><i style="background:{colour}"></i>{escape(name)}</span>' for name, colour in colours)
    return f'<div class="legend">{entries}</div>'
