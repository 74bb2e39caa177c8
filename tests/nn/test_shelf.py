"""A shelf keeps what it was given, whole or not at all, within its bound, whoever else writes there."""

from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from sensam.errors import InputError
from sensam.nn.shelf import Shelf


def test_what_was_put_comes_back_in_half_precision(tmp_path: Path) -> None:
    shelf, tensor = Shelf(tmp_path / "deep" / "shelf", 1), torch.randn(3, 4)
    assert shelf.get("a|b") is None
    shelf.put("a|b", tensor)
    assert torch.equal(Shelf(tmp_path / "deep" / "shelf", 1).get("a|b"), tensor.half())
    assert shelf.get("a|c") is None


def test_it_holds_no_more_than_it_may_also_when_opened_again(tmp_path: Path) -> None:
    tensor = torch.zeros(500)  # 1000 bytes
    shelf = Shelf(tmp_path, 5e-6)
    for number in range(20):
        shelf.put(str(number), tensor)
    again = Shelf(tmp_path, 5e-6)
    again.put("more", tensor)
    held = list(tmp_path.glob("*/*.npy"))
    assert len(held) in (4, 5)
    assert sum(path.stat().st_size for path in held) < 6000
    assert shelf.get("0") is not None
    assert again.get("more") is None


def fill(folder: Path, start: int) -> None:
    shelf = Shelf(folder, 1)
    for number in range(start, start + 60):
        shelf.put(str(number % 80), torch.full((1000,), float(number % 80)))


@pytest.mark.slow
def test_processes_share_it(tmp_path: Path) -> None:
    context = get_context("fork")
    workers = [context.Process(target=fill, args=(tmp_path, start)) for start in (0, 20, 40)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    shelf = Shelf(tmp_path, 1)
    for number in range(80):
        found = shelf.get(str(number))
        assert found is not None
        assert (found == number).all()
    assert not list(tmp_path.rglob("*.partial"))


def test_a_damaged_file_is_told_of(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 1)
    shelf.put("a", torch.zeros(9))
    (path,) = tmp_path.glob("*/*.npy")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="Remove"):
        shelf.get("a")


def test_a_place_where_nothing_can_be_kept_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="another folder"):
        Shelf(tmp_path / "file" / "shelf", 1)
