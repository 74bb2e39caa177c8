"""The report stands alone, says what the numbers say, and its tables are its CSV files."""

import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sensam.data.dataset import Dataset, open_dataset
from sensam.data.synthetic import family, write
from sensam.evaluate.outcome import Outcome
from sensam.evaluate.report.comparison import Extras, write_report
from sensam.evaluate.report.panels import choose_cases, draw_cases, kept_keys, mistakes, painted
from sensam.evaluate.report.plots import frontier
from sensam.evaluate.report.tables import Number, Table
from tests.evaluate.made_up import made_up_outcome

VOID = {"meta", "img", "br", "link", "path", "use", "rect", "line", "circle"}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Reader(HTMLParser):
    """Reads a page as strictly as it can: every tag that opens closes, and no name is given twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.targets: list[str] = []
        self.sources: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.names.append(str(values["id"]))
        for attribute in ("src", "href", "xlink:href"):
            if values.get(attribute):
                (self.targets if str(values[attribute]).startswith("#") else self.sources).append(
                    str(values[attribute])
                )
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {"td", "th"}:
            self.tables[-1][-1][-1] += data
        self.text.append(data)


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text())
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "fog"
    write(family("seafog"), folder, seed=0, counts={"test": 5}, size=(40, 48))
    return open_dataset(folder)


@pytest.fixture(scope="module")
def outcome(dataset: Dataset) -> Outcome:
    labels = [(item.key, dataset.read_label(item)) for item in dataset.items("test")]
    return made_up_outcome(truth=[(key, label.astype(np.uint8)) for key, label in labels if label is not None])


@pytest.fixture(scope="module")
def page(outcome: Outcome, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    extras = Extras(
        panels=draw_cases(outcome, dataset, "test"),
        fairness=(("windows", "32 pixels & the same for all"),),
        commands=("sensam compare fog",),
    )
    return write_report(outcome, tmp_path_factory.mktemp("report"), extras)


def test_the_page_is_valid_and_needs_nothing_else(page: Path) -> None:
    reader = read(page)
    assert len(set(reader.names)) == len(reader.names)
    assert {target.removeprefix("#") for target in reader.targets} <= set(reader.names)
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)
    assert "<script" not in page.read_text()
    assert "url(http" not in page.read_text()
    assert "windows" in reader.text
    assert "32 pixels & the same for all" in reader.text


def test_every_table_is_its_csv(page: Path) -> None:
    tables = read(page).tables
    stored = {path.stem: list(csv.reader(io.StringIO(path.read_text()))) for path in (page.parent / "tables").iterdir()}
    assert set(stored) == {"scores", "classes", "domains", "labels"}
    for rows in stored.values():
        shown = next(table for table in tables if table[0] == rows[0])
        for shown_row, stored_row in zip(shown[1:], rows[1:], strict=True):
            for seen, kept in zip(shown_row, stored_row, strict=True):
                assert _agree(seen, kept), (seen, kept)


def _agree(seen: str, kept: str) -> bool:
    if kept == "":
        return seen == "\N{EN DASH}"
    try:
        value, digits = float(kept), len(seen.partition(".")[2])
    except ValueError:
        return seen == kept
    return abs(float(seen) - value) <= 0.5 * 10**-digits + 1e-12


def test_every_drawing_is_beside_the_page_in_two_forms(page: Path) -> None:
    stems = {path.stem for path in (page.parent / "plots").iterdir()}
    assert {"ranking", "seconds", "parameters", "labels", "classes", "confusion-e2sam"} <= stems
    for stem in stems:
        with Image.open(page.parent / "plots" / f"{stem}.png") as picture:
            assert min(picture.size) > 100
        assert (page.parent / "plots" / f"{stem}.svg").read_text().startswith("<?xml")
    assert not list(page.parent.rglob("*.part*"))


@pytest.mark.slow
def test_the_page_is_the_same_every_time(page: Path, outcome: Outcome, dataset: Dataset, tmp_path: Path) -> None:
    extras = Extras(
        panels=draw_cases(outcome, dataset, "test"),
        fairness=(("windows", "32 pixels & the same for all"),),
        commands=("sensam compare fog",),
    )
    assert write_report(outcome, tmp_path, extras).read_text() == page.read_text()


def test_the_answer_comes_first(page: Path) -> None:
    text = re.sub(r"<style>.*?</style>", "", page.read_text(), flags=re.DOTALL)
    assert text.index("is ahead with") < text.index("<section")
    assert text.index("sensam train fog --method") < text.index("<section")


def test_cases_are_the_extremes_and_the_middle(outcome: Outcome) -> None:
    cases = choose_cases(outcome)
    scores = [float(re.findall(r"mIoU ([\d.]+)", case.title)[0]) for case in cases]
    assert scores == sorted(scores, reverse=True)
    assert [case.title.split()[0] for case in cases] == ["best", "median", "worst"]


def test_which_answers_are_kept_is_settled_by_their_number() -> None:
    assert kept_keys(["a", "b"]) == ("a", "b")
    many = [f"{number:03d}" for number in range(500)]
    kept = kept_keys(many)
    assert len(kept) == 48
    assert (kept[0], kept[-1]) == ("000", "499")


def test_mistakes_and_colours() -> None:
    truth, answer = np.array([[0, 1, 255]], np.uint8), np.array([[0, 0, 1]], np.uint8)
    found = mistakes(truth, answer, 255)
    assert found[0, 0, 3] < found[0, 1, 3] == 255
    assert found[0, 2, 3] < 255
    assert painted(truth, ((1, 2, 3), (4, 5, 6)), 255)[0, :2].tolist() == [[1, 2, 3, 255], [4, 5, 6, 255]]


def test_what_nothing_beats_in_both() -> None:
    assert frontier({"a": (1, 10), "b": (2, 9), "c": (3, 12), "d": (1, 8)}) == ["a", "c"]


def test_what_was_not_measured_is_empty_in_the_csv_and_a_dash_on_the_page() -> None:
    table = Table("t", ("name", "value"), (("a<b", Number(float("nan"))), ("c", None), ("d", Number(1.23456))))
    assert table.csv() == "name,value\na<b,\nc,\nd,1.23456\n"
    assert "a&lt;b" in table.html()
    assert table.html().count("\N{EN DASH}") == 2
    assert "1.2<" in table.html()


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_a_browser_draws_it(page: Path, tmp_path: Path, scheme: int) -> None:
    picture = tmp_path / "page.png"
    words = [str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    words += [f"--user-data-dir={tmp_path / 'profile'}", f"--blink-settings=preferredColorScheme={scheme}"]
    words += ["--window-size=1180,4000", f"--screenshot={picture}", page.as_uri()]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    ground = pixels[5, 5].mean()
    assert ground < 60 if scheme == 0 else ground > 240
    # Something stands in every fifth of the page, and nothing runs over its right edge.
    for part in np.array_split(np.abs(pixels - pixels[5, 5]).max(-1), 5):
        assert (part > 60).mean() > 0.005
    assert (np.abs(pixels[:, -20:] - pixels[5, 5]).max(-1) < 12).all()
