"""What a loaded SAM is made of: which weights came from the file, and which are random."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

# Every weight belongs to the first part whose prefix its name has.
_PREFIXES = {
    "vision_encoder.patch_embed.": "patch embedding",
    "vision_encoder.neck.": "neck",
    "vision_encoder.": "image encoder",
    "shared_image_embedding.": "prompt encoder",
    "prompt_encoder.": "prompt encoder",
    "mask_decoder.": "mask decoder",
}
FROM_FILE = "from the file"
_ORDER = ("patch embedding", "image encoder", "neck", "prompt encoder", "mask decoder")


@dataclass(frozen=True, slots=True)
class Part:
    """Weights of one part of SAM that came to be in the same way."""

    name: str
    origin: str
    tensors: int
    parameters: int


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Where the weights of a SAM came from. Commands print its `headline`; its `str` counts tensors as well."""

    source: str
    layout: str  # whose names the file uses: transformers' or Meta's
    precision: str  # in the file; in memory it is float32
    size: str
    bands: int
    identity: str  # sha256 of the weights in the file, the same for every format that holds the same numbers
    parts: tuple[Part, ...]

    @property
    def random(self) -> tuple[str, ...]:
        """Names of the parts that hold random weights."""
        return tuple(part.name for part in self.parts if part.origin == "random")

    @property
    def headline(self) -> str:
        """All of it in one line: only parts that are not from the file are named."""
        bands = "1 band" if self.bands == 1 else f"{self.bands} bands"
        made = [f"; {part.name} {part.origin}" for part in self.parts if part.origin != FROM_FILE]
        return (
            f"SAM {self.size} for {bands} from {self.source} "
            f"({self.layout} names, {self.precision}, sha256 {self.identity[:12]}){''.join(made)}"
        )

    def __str__(self) -> str:
        lines = [self.headline]
        for part in self.parts:
            lines.append(
                f"  {part.name:<16} {part.tensors:>4} tensors {part.parameters / 1e6:>9.3f} M parameters  {part.origin}"
            )
        return "\n".join(lines)


def part_of(name: str) -> str:
    """Which part of SAM a weight belongs to."""
    return next(part for prefix, part in _PREFIXES.items() if name.startswith(prefix))


def count_parts(weights: Mapping[str, Tensor], made: Mapping[str, str]) -> tuple[Part, ...]:
    """Tensors and parameters by part and origin. `made` says how weights came to be that are not from the file."""
    rows: dict[tuple[str, str], list[int]] = {}
    for name, tensor in weights.items():
        rows.setdefault((part_of(name), made.get(name, FROM_FILE)), []).append(tensor.numel())
    parts = [Part(name, origin, len(counts), sum(counts)) for (name, origin), counts in rows.items()]
    return tuple(sorted(parts, key=lambda part: (_ORDER.index(part.name), part.origin)))
