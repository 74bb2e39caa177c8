"""Weights into a Sam and out of it: every format, nothing by halves, any bands, and a true report."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import SamModel

from sensam.errors import SensamError, SettingsError, WeightsError
from sensam.sam.checkpoint import NANO, identify
from sensam.sam.model import Sam
from sensam.sam.naming import PATCH_WEIGHT, PLACE_CODE, TIED_PLACE_CODE
from sensam.sam.weights import expected_shapes, load_sam, save_sam
from sensam.types import Prompts

Pair = Callable[..., tuple[Sam, SamModel]]
MakeSam = Callable[..., Sam]
MetaState = Callable[[Sam], dict[str, Tensor]]


def write(layout: str, twin: SamModel, folder: Path, meta: dict[str, Tensor]) -> Path:
    """The weights of `twin` in one of the published formats; what to give `load_sam`."""
    if layout in ("folder", "parts", "file"):
        twin.save_pretrained(folder, max_shard_size="50KB" if layout == "parts" else "5GB")
        assert len(list(folder.glob("model-*.safetensors"))) > 2 or layout != "parts"
        return folder / "model.safetensors" if layout == "file" else folder
    folder.mkdir()
    twin.config.save_pretrained(folder)
    name = "pytorch_model.bin" if layout == "bin" else "sam_tiny.pth"
    torch.save(twin.state_dict() if layout == "bin" else meta, folder / name)
    return folder if layout == "bin" else folder / name


@pytest.mark.parametrize("layout", ["folder", "parts", "file", "bin", "meta"])
@pytest.mark.parametrize("bands", [3, pytest.param(13, marks=pytest.mark.slow)])
def test_every_format_gives_the_same_sam(
    pair: Pair, meta_state: MetaState, tmp_path: Path, layout: str, bands: int
) -> None:
    sam, twin = pair(bands=bands)
    loaded = load_sam(write(layout, twin, tmp_path / "it", meta_state(sam)), bands=bands)
    assert replace(loaded.anatomy, name="tiny") == sam.anatomy
    assert not loaded.training
    assert loaded.prompt_encoder.shared_embedding is loaded.shared_image_embedding
    trained = dict(sam.named_parameters())
    for name, weight in loaded.named_parameters():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, trained.pop(name))
        assert weight.requires_grad == (name != PLACE_CODE)
    assert not trained
    assert loaded.loaded is not None
    assert loaded.loaded.identity == identify({name: sam.state_dict()[name] for name in expected_shapes(sam.anatomy)})
    assert loaded.loaded.random == ()


def test_a_loaded_sam_draws_what_transformers_draws(pair: Pair, tmp_path: Path) -> None:
    _, twin = pair()
    twin.save_pretrained(tmp_path)
    sam, image, point = load_sam(tmp_path), torch.randn(1, 3, 64, 64), torch.tensor([[[20.0, 30.0]]])
    with torch.no_grad():
        masks, _ = sam.decode(sam.encode(image), Prompts(point, torch.ones(1, 1)))
        theirs = twin(pixel_values=image, input_points=point[None])
    assert (masks - theirs.pred_masks[0]).abs().max() < 1e-4


def test_metas_file_needs_no_config_where_shapes_tell(make_sam: MakeSam, meta_state: MetaState, tmp_path: Path) -> None:
    sam = make_sam(embedding=256, decoder_heads=8)
    torch.save(meta_state(sam), tmp_path / "sam.pth")
    loaded = load_sam(str(tmp_path / "sam.pth"))
    assert replace(loaded.anatomy, name="tiny") == sam.anatomy
    assert torch.equal(loaded.mask_decoder.upscale_conv1.weight, sam.mask_decoder.upscale_conv1.weight)


def test_metas_file_with_the_size_named(make_sam: MakeSam, meta_state: MetaState, tmp_path: Path) -> None:
    sam = make_sam()
    torch.save(meta_state(sam), tmp_path / "sam.pth")
    with pytest.raises(WeightsError, match="give size= an Anatomy"):
        load_sam(tmp_path / "sam.pth")
    loaded = load_sam(tmp_path / "sam.pth", size=sam.anatomy)
    assert loaded.anatomy == sam.anatomy
    assert loaded.loaded is not None
    assert (loaded.loaded.layout, loaded.loaded.size) == ("Meta's", "tiny")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(make_sam: MakeSam, tmp_path: Path, dtype: torch.dtype) -> None:
    sam = make_sam()
    save_sam(sam, tmp_path)
    weights = {name: weight.to(dtype) for name, weight in load_file(tmp_path / "model.safetensors").items()}
    save_file(weights, tmp_path / "model.safetensors")
    loaded = load_sam(tmp_path)
    read = loaded.state_dict()
    for name, weight in weights.items():
        assert torch.equal(read[name], weight.float())
    assert f"{dtype}".removeprefix("torch.") in str(loaded.loaded)


def spoil(weights: Mapping[str, Tensor], how: str, name: str) -> dict[str, Tensor]:
    weights = dict(weights)
    weight = weights.pop(name)
    if how == "renamed":
        weights[f"{name}_"] = weight
    elif how == "extra":
        weights |= {name: weight, "surplus.weight": torch.ones(1)}
    elif how == "another shape":
        weights[name] = torch.cat([weight, weight])
    return weights


@pytest.mark.parametrize("layout", ["transformers", "meta"])
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("missing", ("1 missing ({name})", "none not expected", "none of another shape")),
        ("renamed", ("1 missing ({name})", "1 not expected ({name}_)")),
        ("extra", ("none missing", "1 not expected (surplus.weight)")),
        ("another shape", ("1 of another shape ({name} 64 instead of 32)",)),
    ],
)
def test_weights_that_do_not_fit(
    make_sam: MakeSam, meta_state: MetaState, tmp_path: Path, layout: str, how: str, words: tuple[str, ...]
) -> None:
    sam = make_sam()
    name = (
        "vision_encoder.layers.2.layer_norm1.bias" if layout == "transformers" else "image_encoder.blocks.2.norm1.bias"
    )
    weights = sam.state_dict() if layout == "transformers" else meta_state(sam)
    torch.save(spoil(weights, how, name), tmp_path / "w.pth")
    with pytest.raises(WeightsError) as caught:
        load_sam(tmp_path / "w.pth", size=sam.anatomy)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(tmp_path / "w.pth"))
    for word in (*words, "Nothing was loaded", "size="):
        assert word.format(name=name) in message


def test_long_lists_are_cut_and_counted(make_sam: MakeSam, tmp_path: Path) -> None:
    sam = make_sam()
    encoder_only = {f"encoder.{name}": weight for name, weight in sam.vision_encoder.state_dict().items()}
    torch.save(encoder_only, tmp_path / "w.pth")
    with pytest.raises(WeightsError) as caught:
        load_sam(tmp_path / "w.pth", size=sam.anatomy)
    missing, extra = len(expected_shapes(sam.anatomy)), len(encoder_only)
    assert f"{missing} missing (" in str(caught.value)
    assert f", and {missing - 3} more)" in str(caught.value)
    assert f"{extra} not expected (" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_another_size_than_asked_for(make_sam: MakeSam, tmp_path: Path) -> None:
    save_sam(make_sam(), tmp_path)
    with pytest.raises(WeightsError, match=r"4 blocks of width 32.*b \(12 blocks of width 768.*was asked for"):
        load_sam(tmp_path, size="b")
    with pytest.raises(SettingsError, match="no SAM size named 'x'"):
        load_sam(tmp_path, size="x")
    torch.save(make_sam().state_dict(), tmp_path / "w.pth")
    (tmp_path / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"does not fit SAM b \(12 blocks.* of another shape"):
        load_sam(tmp_path / "w.pth", size="b")


@pytest.mark.slow
@pytest.mark.parametrize("kept", [{PLACE_CODE}, {TIED_PLACE_CODE}, {PLACE_CODE, TIED_PLACE_CODE}])
def test_the_tied_matrix_under_either_name(make_sam: MakeSam, tmp_path: Path, kept: set[str]) -> None:
    sam = make_sam()
    weights = {name: w for name, w in sam.state_dict().items() if name in kept or "positional_embedding" not in name}
    torch.save(weights, tmp_path / "w.pth")
    code = load_sam(tmp_path / "w.pth", size=sam.anatomy).shared_image_embedding.positional_embedding
    assert torch.equal(code, sam.shared_image_embedding.positional_embedding)


def test_two_different_tied_matrices(make_sam: MakeSam, tmp_path: Path) -> None:
    sam = make_sam()
    torch.save({**sam.state_dict(), TIED_PLACE_CODE: torch.zeros(2, 16)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="two different matrices"):
        load_sam(tmp_path / "w.pth", size=sam.anatomy)


def test_metas_file_has_no_tied_matrix(make_sam: MakeSam, meta_state: MetaState, tmp_path: Path) -> None:
    sam = make_sam()
    torch.save({**meta_state(sam), TIED_PLACE_CODE: torch.zeros(2, 16)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=f"1 not expected .{TIED_PLACE_CODE}"):
        load_sam(tmp_path / "w.pth", size=sam.anatomy)


@pytest.mark.parametrize(("file", "asked"), [(3, 13), (3, 1), (4, 3)])
def test_other_bands_must_be_settled(make_sam: MakeSam, tmp_path: Path, file: int, asked: int) -> None:
    save_sam(make_sam(bands=file), tmp_path)
    with pytest.raises(WeightsError, match=f"for {file} bands; {asked} were asked for") as caught:
        load_sam(tmp_path, bands=asked)
    assert "stem='inflate' or stem='random'" in str(caught.value)
    assert f"bands={file}" in str(caught.value)


@pytest.mark.parametrize(("bands", "stem", "kind"), [(0, None, WeightsError), (4, "inflated", SettingsError)])
def test_bands_and_stems_that_make_no_sense(tmp_path: Path, bands: int, stem: Any, kind: type[SensamError]) -> None:
    with pytest.raises(kind):
        load_sam(tmp_path, bands=bands, stem=stem)


@pytest.mark.parametrize("bands", [1, 2, 13])
def test_an_inflated_stem_sees_grey_as_sam_does(make_sam: MakeSam, tmp_path: Path, bands: int) -> None:
    sam, grey = make_sam(), torch.randn(2, 1, 64, 64)
    save_sam(sam, tmp_path)
    loaded = load_sam(tmp_path, bands=bands, stem="inflate")
    with torch.no_grad():
        embedding = loaded.encode(grey.expand(-1, bands, -1, -1))
        assert (embedding - sam.encode(grey.expand(-1, 3, -1, -1))).abs().max() < 1e-4
        uneven = grey.repeat(1, bands, 1, 1)
        uneven[:, -1] *= 2
        assert (loaded.encode(uneven) - embedding).abs().max() > 0.1
    assert loaded.vision_encoder.patch_embed.projection.weight.shape == (32, bands, 16, 16)
    assert loaded.loaded is not None
    origins = {(part.name, part.tensors): part.origin for part in loaded.loaded.parts}
    assert origins["patch embedding", 1] in ("inflated from 3 bands", "from the file")
    assert "inflated from 3 bands" in str(loaded.loaded)
    assert loaded.loaded.headline.endswith("; patch embedding inflated from 3 bands")


def test_inflating_to_the_files_own_bands_changes_nothing(make_sam: MakeSam, tmp_path: Path) -> None:
    sam = make_sam()
    save_sam(sam, tmp_path)
    loaded = load_sam(tmp_path, stem="inflate")
    assert torch.equal(loaded.state_dict()[PATCH_WEIGHT], sam.state_dict()[PATCH_WEIGHT])
    assert "inflated" not in str(loaded.loaded)


@pytest.mark.slow
@pytest.mark.parametrize("bands", [3, 5])
def test_a_random_stem_is_drawn_anew(make_sam: MakeSam, tmp_path: Path, bands: int) -> None:
    sam = make_sam()
    save_sam(sam, tmp_path)
    base, before, drawn = load_sam(tmp_path), sam.state_dict(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        loaded = load_sam(tmp_path, bands=bands, stem="random")
        drawn.append(loaded.state_dict()[PATCH_WEIGHT])
        assert loaded.loaded is not None
        assert base.loaded is not None
        assert loaded.loaded.random == ("patch embedding",)
        assert loaded.loaded.identity == base.loaded.identity, "the base is the same whatever the stem"
        for name, weight in loaded.state_dict().items():
            assert torch.equal(weight, before[name]) != name.startswith("vision_encoder.patch_embed."), name
    assert drawn[0].shape == (32, bands, 16, 16)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("bands", [1, 3])
def test_transformers_reads_what_we_save(make_sam: MakeSam, tmp_path: Path, half: bool, bands: int) -> None:
    sam = make_sam(bands=bands)
    save_sam(sam, tmp_path / "new" / "folder", half=half)
    theirs, notes = SamModel.from_pretrained(tmp_path / "new" / "folder", dtype=torch.float32, output_loading_info=True)
    assert not any(notes.values()), notes
    weights = sam.state_dict()
    for name, weight in theirs.state_dict().items():
        assert torch.equal(weight, weights[name].half().float() if half else weights[name]), name
    ours, read = load_sam(tmp_path / "new" / "folder", bands=bands), theirs.state_dict()
    assert all(torch.equal(weight, read[name]) for name, weight in ours.state_dict().items())
    assert sorted(file.name for file in (tmp_path / "new" / "folder").iterdir()) == ["config.json", "model.safetensors"]
    config = json.loads((tmp_path / "new" / "folder" / "config.json").read_text())
    assert (config["architectures"], config["dtype"]) == (["SamModel"], "float16" if half else "float32")


def test_saving_is_all_or_nothing(make_sam: MakeSam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_sam(make_sam(seed=1), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def fill_the_disk(_weights: object, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", fill_the_disk)
    with pytest.raises(WeightsError, match="No space left on device"):
        save_sam(make_sam(seed=2), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_others_may_read_a_saved_sam_as_any_file(make_sam: MakeSam, tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_text("")
    save_sam(make_sam(), tmp_path / "sam")
    modes = {(tmp_path / name).stat().st_mode for name in ("ordinary", "sam/config.json", "sam/model.safetensors")}
    assert len(modes) == 1


def test_saving_where_a_file_is(make_sam: MakeSam, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(WeightsError, match="taken cannot be written"):
        save_sam(make_sam(), tmp_path / "taken")


def test_a_changed_sam_is_not_saved_as_sam(make_sam: MakeSam, tmp_path: Path) -> None:
    sam = make_sam()
    sam.vision_encoder.layers[0].adapter = torch.nn.Linear(2, 2)
    with pytest.raises(WeightsError, match="has been changed"):
        save_sam(sam, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "half"), [(1e6, True), (float("nan"), False)])
def test_numbers_that_do_not_fit(make_sam: MakeSam, tmp_path: Path, number: float, half: bool) -> None:
    sam = make_sam()
    with torch.no_grad():
        sam.vision_encoder.pos_embed[0, 0, 0, 0] = number
    with pytest.raises(WeightsError, match=r"vision_encoder\.pos_embed is not finite in torch\.float"):
        save_sam(sam, tmp_path, half=half)


def test_the_report_counts_everything_once(make_sam: MakeSam, tmp_path: Path) -> None:
    sam = make_sam()
    save_sam(sam, tmp_path)
    report = load_sam(tmp_path, bands=5, stem="inflate").loaded
    assert report is not None
    assert [part.name for part in report.parts] == [
        *("patch embedding", "patch embedding", "image encoder", "neck", "prompt encoder", "mask decoder")
    ]
    assert sum(part.tensors for part in report.parts) == len(expected_shapes(sam.anatomy))
    whole = sum(weight.numel() for weight in sam.parameters()) + 2 * 32 * 16 * 16
    assert sum(part.parameters for part in report.parts) == whole
    lines = str(report).splitlines()
    assert lines[0].startswith(f"SAM custom for 5 bands from {tmp_path} (transformers' names, float32, sha256 ")
    assert "random" not in str(report)
    assert len(lines) == 7


@pytest.mark.skipif(not NANO.is_file(), reason="the built-in teacher has not been trained yet")
def test_nano_comes_with_the_package() -> None:
    sam = load_sam("nano", size="nano")
    assert sam.anatomy.name == "nano"
    assert sam.loaded is not None
    assert (sam.loaded.source, sam.loaded.precision, sam.loaded.random) == ("nano", "float16", ())
    assert NANO.stat().st_size <= 6_000_000
