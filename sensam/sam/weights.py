"""Weights into a Sam and out of it, strictly: from the hub, a folder, Meta's .pth or the package, for any bands."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Literal

import torch
from torch import Size, Tensor

from sensam.errors import WeightsError, unknown
from sensam.files import together, write_tensors
from sensam.sam.anatomy import Anatomy, anatomy
from sensam.sam.checkpoint import Checkpoint, find_checkpoint, identify
from sensam.sam.encoder import PatchEmbed
from sensam.sam.model import Sam, transformers_config
from sensam.sam.naming import PATCH_EMBEDDING, PATCH_WEIGHT, PLACE_CODE, TIED_PLACE_CODE
from sensam.sam.recognition import anatomy_from_config, anatomy_from_shapes, describe
from sensam.sam.report import LoadReport, count_parts

Stem = Literal["random", "inflate"]
STEMS: tuple[Stem, ...] = ("random", "inflate")


def load_sam(source: str | Path, *, size: str | Anatomy | None = None, bands: int = 3, stem: Stem | None = None) -> Sam:
    """A SAM with the weights of `source`, in float32 and eval mode; `sam.loaded` reports what came from where.

    `source` is "nano" (in the package), "b", "l" or "h" (Meta's, from the hub), a hub id, a folder in transformers'
    format, or one file: Meta's .pth, or safetensors. `size` is only needed where a file cannot tell; otherwise it
    is checked. For other bands than the file's, `stem` says what becomes of the patch embedding: "random" draws it
    anew; "inflate" gives every band the sum of the file's kernels divided by the number of bands, so that an image
    whose bands are all the same grey is seen as SAM sees that grey. With the file's own bands "inflate" keeps it.
    """
    if stem is not None and stem not in STEMS:
        raise unknown("stem", stem, STEMS)
    if bands < 1:
        raise WeightsError(f"A SAM for {bands} bands was asked for; at least 1 was needed.")
    checkpoint = find_checkpoint(source)
    theirs = _anatomy_of(checkpoint, anatomy(size) if isinstance(size, str) else size)
    ours = replace(theirs, bands=bands)
    weights = _match(checkpoint, theirs)
    patches, origin = _fit_patches(weights, checkpoint.source, ours, stem)
    sam = _build(ours, weights | patches)
    sam.loaded = LoadReport(
        source=checkpoint.source,
        layout="Meta's" if checkpoint.is_meta else "transformers'",
        precision=checkpoint.precision,
        size=theirs.name,
        bands=bands,
        identity=identify(weights),
        parts=count_parts(weights | patches, dict.fromkeys(patches, origin)),
    )
    return sam


def save_sam(sam: Sam, folder: str | Path, *, half: bool = False) -> None:
    """Write transformers' format, config.json and model.safetensors: `load_sam` reads it, and so does SamModel."""
    folder, dtype = Path(folder), torch.float16 if half else torch.float32
    weights = {name: weight for name, weight in sam.state_dict().items() if name != TIED_PLACE_CODE}
    if {name: weight.shape for name, weight in weights.items()} != expected_shapes(sam.anatomy):
        raise WeightsError("This SAM has been changed (adapters, another stem). Detach what was added, then save it.")
    weights = {name: weight.to("cpu", dtype).contiguous() for name, weight in weights.items()}
    overflown = [name for name, weight in weights.items() if not weight.isfinite().all()]
    if overflown:
        raise WeightsError(f"{overflown[0]} is not finite in {dtype}. Save in full precision, or mend the training.")
    config = transformers_config(sam.anatomy).to_dict()
    config |= {"architectures": ["SamModel"], "dtype": str(dtype).removeprefix("torch.")}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with together(folder, "model.safetensors", "config.json") as unfinished:
            write_tensors(unfinished / "model.safetensors", weights)
            (unfinished / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    except OSError as error:
        raise WeightsError(f"{folder} cannot be written: {error}. Choose another folder.") from error


@cache
def expected_shapes(anatomy: Anatomy) -> Mapping[str, Size]:
    """Name and shape of every weight of a SAM, the tied matrix once."""
    with torch.device("meta"):
        weights = Sam(anatomy).state_dict()
    return {name: weight.shape for name, weight in weights.items() if name != TIED_PLACE_CODE}


def _anatomy_of(checkpoint: Checkpoint, wanted: Anatomy | None) -> Anatomy:
    """What the file holds: by its config, else by the size the user names, else by its shapes."""
    if checkpoint.config is None and wanted is not None:
        patch = checkpoint.shape(PATCH_WEIGHT)
        return replace(wanted, bands=patch[1]) if len(patch) == 4 else wanted
    if checkpoint.config is None:
        return anatomy_from_shapes(checkpoint)
    found = anatomy_from_config(checkpoint.config, f"config.json of {checkpoint.source}")
    if wanted is not None and replace(wanted, name=found.name, bands=found.bands) != found:
        raise WeightsError(
            f"{checkpoint.source} holds a SAM of size {describe(found)}; {describe(wanted)} was asked for. "
            "Leave size out, or give the source that belongs to it."
        )
    return found


def _match(checkpoint: Checkpoint, anatomy: Anatomy) -> dict[str, Tensor]:
    """The file's tensors under our names, after every name and shape was found to be right."""
    expected, tensors = expected_shapes(anatomy), checkpoint.tensors
    names = {ours: checkpoint.name_of(ours) for ours in expected}
    missing = [theirs for theirs in names.values() if theirs not in tensors]
    tied = set() if checkpoint.is_meta else {TIED_PLACE_CODE}
    extra = sorted(tensors.keys() - names.values() - tied)
    misshapen = [
        f"{theirs} {_product(tensors[theirs].shape)} instead of {_product(expected[ours])}"
        for ours, theirs in names.items()
        if theirs in tensors and tensors[theirs].shape != expected[ours]
    ]
    if missing or extra or misshapen:
        raise WeightsError(
            f"{checkpoint.source} does not fit SAM {describe(anatomy)}: {_list('missing', missing)}; "
            f"{_list('not expected', extra)}; {_list('of another shape', misshapen)}. "
            "Nothing was loaded. Fetch the file again, rename its weights, or name its size with size=."
        )
    for again in tied & tensors.keys():
        if not torch.equal(tensors[again], tensors[names[PLACE_CODE]]):
            raise WeightsError(
                f"{checkpoint.source} holds two different matrices as {names[PLACE_CODE]} and {again}; SAM has one. "
                "Remove the wrong one."
            )
    return {ours: tensors[theirs] for ours, theirs in names.items()}


def _fit_patches(
    weights: Mapping[str, Tensor], source: str, anatomy: Anatomy, stem: Stem | None
) -> tuple[dict[str, Tensor], str]:
    """The weights of the patch embedding that are not the file's, and how they came to be."""
    kernel = weights[PATCH_WEIGHT]
    theirs, bands = kernel.shape[1], anatomy.bands
    if stem == "random":
        fresh = PatchEmbed(anatomy).state_dict(prefix=PATCH_EMBEDDING)
        return fresh, "random"
    if bands == theirs:
        return {}, ""
    if stem == "inflate":
        mean = kernel.sum(1, keepdim=True) / bands
        return {PATCH_WEIGHT: mean.repeat(1, bands, 1, 1)}, f"inflated from {theirs} bands"
    raise WeightsError(
        f"The patch embedding of {source} is for {theirs} bands; {bands} were asked for. "
        f"Say what becomes of it with stem='inflate' or stem='random', or ask for bands={theirs}."
    )


def _build(anatomy: Anatomy, weights: Mapping[str, Tensor]) -> Sam:
    """A Sam around these tensors. On the meta device, so that no random weights are drawn first."""
    with torch.device("meta"):
        sam = Sam(anatomy)
    sam.load_state_dict({**weights, TIED_PLACE_CODE: weights[PLACE_CODE]}, assign=True)
    assert not any(tensor.is_meta for tensor in chain(sam.parameters(), sam.buffers()))
    return sam.eval()


def _product(shape: Size) -> str:
    return " x ".join(map(str, shape))


def _list(kind: str, names: list[str], shown: int = 3) -> str:
    """`2 missing (a, b)`, or `none missing`."""
    if not names:
        return f"none {kind}"
    more = f", and {len(names) - shown} more" if len(names) > shown else ""
    return f"{len(names)} {kind} ({', '.join(names[:shown])}{more})"
