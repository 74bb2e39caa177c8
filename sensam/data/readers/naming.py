"""Names and wavelengths of bands, from what a file says: GDAL's IMAGERY domain, ENVI headers, descriptions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NM_PER_UNIT = {"nm": 1.0, "nanometers": 1.0, "nanometer": 1.0, "nanometres": 1.0, "nanometre": 1.0}
NM_PER_UNIT |= dict.fromkeys(("um", "µm", "μm", "micrometers", "micrometer", "micrometres", "microns"), 1000.0)
NUMBER = r"[0-9]+(?:\.[0-9]+)?"
UNIT = "|".join(sorted(NM_PER_UNIT, key=len, reverse=True))
WAVELENGTH = re.compile(rf"[\s,;(]*(?:central wavelength\s*)?({NUMBER})\s*({UNIT})\b\)?\s*$", re.IGNORECASE)
OPTICAL_NM = (100.0, 100_000.0)  # a length without a unit: from here it can only be nm, below only um


@dataclass(frozen=True, slots=True)
class BandFacts:
    """What a file says of one band; empty or None where it says nothing."""

    name: str = ""
    wavelength_nm: float | None = None


def to_nanometres(value: str | float, unit: str = "") -> float | None:
    """A wavelength in nm. Without a known unit, one that only makes sense in nm or in um is taken as that."""
    try:
        number = float(value)
    except ValueError:
        return None
    unit = unit.strip().lower()
    if unit and unit != "unknown" and unit not in NM_PER_UNIT:
        return None  # an index, a wavenumber, a frequency
    factor = NM_PER_UNIT.get(unit) or (1.0 if number >= OPTICAL_NM[0] else 1000.0)
    length = number * factor
    return round(length, 6) if OPTICAL_NM[0] <= length <= OPTICAL_NM[1] else None


def parse_description(text: str) -> BandFacts:
    """`red (665 Nanometers)` is a name and a wavelength; either may be missing."""
    found = WAVELENGTH.search(text)
    if not found:
        return BandFacts(text.strip())
    return BandFacts(text[: found.start()].strip(), to_nanometres(found[1], found[2]))


def gdal_facts(description: str | None, tags: Mapping[str, str], imagery: Mapping[str, str]) -> BandFacts:
    """Facts of one band of a GDAL dataset, the most exact source of its wavelength first."""
    facts = parse_description(description or "")
    own = {key.lower(): value for key, value in tags.items()}
    stated = own.get("wavelength")
    if stated is not None:  # GDAL writes ENVI's wavelength after the name, or instead of one
        name = facts.name.removesuffix(f"({stated})").strip()
        facts = BandFacts("" if name == stated.strip() else name, facts.wavelength_nm)
    sources: list[tuple[Any, str]] = [
        (stated, own.get("wavelength_units", "")),
        (own.get("central_wavelength_um"), "um"),
        (own.get("central_wavelength_nm"), "nm"),
        (imagery.get("CENTRAL_WAVELENGTH_UM"), "um"),
    ]
    lengths = [to_nanometres(value, unit) for value, unit in sources if value is not None]
    known = [length for length in (*lengths, facts.wavelength_nm) if length is not None]
    return BandFacts(facts.name, known[0] if known else None)
