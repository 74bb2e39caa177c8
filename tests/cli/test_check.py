"""`sensam check`, `stats` and `scenes` as a user runs them: output, exit codes, one line for a mistake."""

from pathlib import Path

import pytest

from sensam.cli.app import main


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    monkeypatch.setattr("sys.argv", ["sensam", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


@pytest.fixture
def scenes(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scenes"
    code, out, _ = run(capsys, monkeypatch, "scenes", "sar", folder, "--count", "train=3,val=2", "--size", "48x64")
    assert code == 0
    assert f"wrote {folder / 'dataset.yaml'}" in out
    return folder


@pytest.mark.slow
def test_scenes_stats_check(scenes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run(capsys, monkeypatch, "stats", scenes)
    assert code == 0
    assert "amplitude" in out
    assert "statistics:" in (scenes / "dataset.yaml").read_text()
    sheet = scenes.parent / "sheet.png"
    code, out, _ = run(capsys, monkeypatch, "check", scenes, "--contact", sheet)
    assert code == 0
    assert "train       3          3  48 x 64" in out
    assert "vegetation" in out
    assert "0 errors" in out or "nothing is wrong" in out
    assert sheet.is_file()


def test_an_error_gives_exit_code_1_with_file_and_remedy(
    scenes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = sorted(scenes.glob("masks/train/*.png"))[1]
    gone.unlink()
    code, out, _ = run(capsys, monkeypatch, "check", scenes)
    assert code == 1
    assert "1 image has no mask" in out
    assert gone.stem in out
    assert "Add files that match" in out


def test_dry_statistics_write_nothing(
    scenes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (scenes / "dataset.yaml").read_text()
    assert run(capsys, monkeypatch, "stats", scenes, "--dry", "--split", "val")[0] == 0
    before = (scenes / "dataset.yaml").read_text()
    code, _, err = run(capsys, monkeypatch, "stats", scenes, "--split", "test")
    assert code == 2
    assert "add --dry" in err
    assert (scenes / "dataset.yaml").read_text() == before
    assert (scenes / "dataset.yaml").read_text() == before


def test_a_plain_folder_is_understood_and_written_down(
    scenes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (scenes / "dataset.yaml").unlink()
    code, out, _ = run(capsys, monkeypatch, "check", scenes, "--write")
    assert code == 0
    assert "wrote" in out
    assert "images/{split}/*.tif" in (scenes / "dataset.yaml").read_text()
    code, _, err = run(capsys, monkeypatch, "check", scenes, "--write")
    assert code == 2
    assert err.startswith("error: ")
    assert "exists" in err


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("check", "/nowhere"), "does not exist"),
        (("stats", "/nowhere"), "does not exist"),
        (("evaluate", "nowhere", "nothing", "--out", "dataset.yaml"), "written as .json or .csv"),
        (("scenes", "seafogg", "x"), "Did you mean 'seafog'"),
        (("scenes", "sar", "x", "--count", "many"), "train=64,val=16"),
        (("scenes", "sar", "x", "--count", "train=0"), "train=64,val=16"),
        (("scenes", "sar", "x", "--count", "train=²"), "train=64,val=16"),
        (("scenes", "sar", "x", "--count", "../evil=1"), "names a split '../evil'"),
        (("scenes", "sar", "x", "--count", "=3"), "names a split ''"),
        (("scenes", "sar", "x", "--count", "train=1,3"), "names the split train twice"),
        (("scenes", "sar", "x", "--size", "3x3x3"), "256x512"),
        (("scenes", "sar", "x", "--size", "²"), "256x512"),
        (("scenes", "sar", "x", "--dtype", "float64"), "float32"),
    ],
)
def test_a_mistake_is_one_line(
    words: tuple[str, ...],
    answer: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, monkeypatch, *words)
    assert code == 2
    assert answer in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_scenes_are_the_same_for_the_same_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in {"a": 5, "b": 5, "c": 6}.items():
        words = ("scenes", "modality", tmp_path / name, "--count", "2", "--size", "32", "--seed", seed)
        assert run(capsys, monkeypatch, *words)[0] == 0
    masks = {n: [p.read_bytes() for p in sorted((tmp_path / n).glob("masks/*/*.png"))] for n in "abc"}
    assert len(masks["a"]) == 2
    assert masks["a"] == masks["b"] != masks["c"]
