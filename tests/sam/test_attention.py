"""Every path to attention gives the numbers and the gradients of its definition."""

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from sensam.errors import SettingsError
from sensam.sam.attention import PATHS, attend_auto, attend_chunked, attend_explicit, attention_path, chunked
from sensam.sam.attention.folded import fold

# images, heads, queries (None: one for each key), rows, columns, width of a head
SHAPES = {
    "square": (2, 3, None, 4, 4, 8),
    "wide": (1, 2, None, 3, 11, 8),
    "tall": (1, 2, None, 9, 2, 16),
    "one row": (2, 2, None, 1, 7, 8),
    "one key": (1, 1, None, 1, 1, 4),
    "window": (3, 2, None, 14, 14, 64),
    "cut window": (3, 2, 14 * 5, 14, 14, 64),
    "odd width": (1, 2, None, 5, 3, 10),
    "narrow head": (1, 2, None, 16, 16, 8),
}
TRAINABLE = [path for path in PATHS if path not in ("explicit", "flex")]
EXACT = [*TRAINABLE, pytest.param("flex", marks=pytest.mark.slow)]  # which loads torch's compiler
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]

shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
devices = pytest.mark.parametrize("device", DEVICES)


def inputs(
    shape: tuple[int, int, int | None, int, int, int], dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> list[Tensor]:
    images, heads, queries, h, w, d = shape
    keys = h * w
    sizes = [(queries or keys, d), (keys, d), (keys, d), (queries or keys, h), (queries or keys, w)]
    return [torch.randn(images, heads, *size).to(device, dtype) for size in sizes]


@pytest.fixture(params=[2**20, 300, 7], ids=["ample", "scarce", "hardly any"])
def scratch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Scores that fit into memory: all of them, some queries', fewer than one query's."""
    monkeypatch.setitem(chunked.SCRATCH, "cpu", request.param)
    return int(request.param)


@devices
@shapes
@pytest.mark.parametrize("path", EXACT)
def test_paths_agree(path: str, shape: tuple[int, ...], device: str) -> None:
    given = inputs(shape, device=device)
    with torch.no_grad():
        assert (PATHS[path](*given) - attend_explicit(*given)).abs().max() < 1e-5


def gradients(path: str, given: list[Tensor], direction: Tensor) -> tuple[Tensor, ...]:
    leaves = [tensor.clone().requires_grad_() for tensor in given]
    return torch.autograd.grad(PATHS[path](*leaves), leaves, direction)


@devices
@shapes
@pytest.mark.parametrize("path", TRAINABLE)
def test_gradients_agree(path: str, shape: tuple[int, ...], device: str) -> None:
    given = inputs(shape, device=device)
    direction = torch.randn_like(given[0])
    for ours, reference in zip(gradients(path, given, direction), gradients("explicit", given, direction), strict=True):
        assert (ours - reference).abs().max() < 1e-5 * max(1, reference.abs().max())


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="flex has a backward on a GPU only")
@pytest.mark.parametrize("shape", ["window", "cut window"])
def test_gradients_of_flex_agree_on_a_gpu(shape: str) -> None:
    given = inputs(SHAPES[shape], device="cuda")
    direction = torch.randn_like(given[0])
    for ours, exact in zip(gradients("flex", given, direction), gradients("explicit", given, direction), strict=True):
        assert (ours - exact).norm() < 1e-3 * exact.norm()


@shapes
@pytest.mark.parametrize("path", [*EXACT, "explicit"])
def test_half_precision_is_near(path: str, shape: tuple[int, ...]) -> None:
    given = inputs(shape, torch.bfloat16)
    with torch.no_grad():
        out = PATHS[path](*given)
        exact = attend_explicit(*(tensor.float() for tensor in given))
    assert out.dtype == torch.bfloat16
    assert (out - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize("path", TRAINABLE)
def test_half_precision_gradients_are_near(path: str) -> None:
    given = inputs(SHAPES["window"], torch.bfloat16)
    direction = torch.randn_like(given[0])
    exact = gradients("explicit", [tensor.float() for tensor in given], direction.float())
    for ours, reference in zip(gradients(path, given, direction), exact, strict=True):
        assert (ours - reference).norm() < 0.03 * reference.norm()


@pytest.mark.slow
@shapes
@pytest.mark.usefixtures("scratch")
def test_chunked_agrees_however_little_fits(shape: tuple[int, ...]) -> None:
    given = inputs(shape)
    direction = torch.randn_like(given[0])
    assert (attend_chunked(*given) - attend_explicit(*given)).abs().max() < 1e-5
    ours, reference = (gradients(path, given, direction) for path in ("chunked", "explicit"))
    for mine, other in zip(ours, reference, strict=True):
        assert (mine - other).abs().max() < 1e-5 * max(1, other.abs().max())


def test_chunked_never_holds_more_than_its_scratch(scratch: int) -> None:
    query, key, *_ = (tensor.flatten(0, 1) for tensor in inputs((2, 3, None, 5, 4, 8)))
    places = torch.zeros(6, 20, dtype=torch.int64)
    for heads, block, buffer in chunked._blocks(query, key):
        places[heads, block] += 1
        scores = len(places[heads]) * len(places[0, block]) * 20
        assert scores <= buffer.numel() <= max(scratch, 20)
    assert (places == 1).all()


def kept(path: str, given: list[Tensor]) -> int:
    """Numbers that autograd keeps for the backward pass."""
    leaves = [tensor.clone().requires_grad_() for tensor in given]
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        out = PATHS[path](*leaves)
        del out
    return sum(sizes.values())


def test_chunked_keeps_no_scores_for_the_backward() -> None:
    small, large = ((1, 1, None, side, side, 8) for side in (8, 16))
    scores = (8**4, 16**4)
    assert all(kept("explicit", inputs(shape)) > count for shape, count in zip((small, large), scores, strict=True))
    # Four times the tokens: inputs and output, of which the rows and columns are twice as wide.
    assert kept("chunked", inputs(large)) < 8 * kept("chunked", inputs(small)) < scores[1]


def test_chunked_gradients_against_differences() -> None:
    given = [tensor.double().requires_grad_() for tensor in inputs((1, 2, None, 2, 3, 4))]
    assert torch.autograd.gradcheck(attend_chunked, given)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # PyTorch's own check asks
@pytest.mark.slow
def test_chunked_is_a_proper_operator() -> None:
    given = [tensor[0].requires_grad_() for tensor in inputs((1, 2, None, 2, 3, 4))]
    torch.library.opcheck(chunked._attend, given)


def test_folding_makes_the_bias_part_of_the_dot_product() -> None:
    query, key, _, rows, columns = inputs((1, 1, None, 2, 3, 4))
    long_query, long_key = fold(query, key, rows, columns)
    for t in range(6):
        for s in range(6):
            score = query[0, 0, t] @ key[0, 0, s] / 2 + rows[0, 0, t, s // 3] + columns[0, 0, t, s % 3]
            torch.testing.assert_close(long_query[0, 0, t] @ long_key[0, 0, s], score)


def test_auto_folds_narrow_biases_and_chunks_wide_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    from sensam.sam import attention

    for path in ("folded", "chunked"):
        monkeypatch.setattr(attention, f"attend_{path}", lambda *_, path=path: path)
    assert attend_auto(*inputs(SHAPES["window"])) == "folded"
    assert attend_auto(*inputs(SHAPES["narrow head"])) == "chunked"


def test_a_misspelt_path_is_named() -> None:
    with pytest.raises(SettingsError, match=r"no attention path named 'chunkd'. Did you mean 'chunked'"):
        attention_path("chunkd")


def test_flex_says_that_it_cannot_train_on_a_cpu() -> None:
    given = [tensor.requires_grad_() for tensor in inputs(SHAPES["square"])]
    with pytest.raises(SettingsError, match="'flex' cannot train on a CPU"):
        PATHS["flex"](*given)
