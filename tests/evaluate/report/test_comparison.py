"""The report stands alone, says what the numbers say, and its tables are its CSV files."""

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from sensam.data.dataset import Dataset, open_dataset
from sensam.data.synthetic import family, write
from sensam.evaluate.outcome import Outcome
from sensam.evaluate.report.comparison import Extras, write_report
from sensam.evaluate.report.panels import choose_cases, draw_cases, kept_keys, mistakes, painted
from sensam.evaluate.report.plots import Point, draw_class_bars, draw_confusion, draw_ranking, frontier, save
from sensam.evaluate.report.tables import Number, Table
from sensam.evaluate.statistics import miou_of
from sensam.train.confusion import MIOU_MEANS
from tests.evaluate.made_up import made_up_outcome

VOID = {"meta", "img", "br", "link", "path", "use", "rect", "line", "circle"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
SCHEMES = {"dark": 0, "light": 1}


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
    drawn = made_up_outcome(truth=[(key, label.astype(np.uint8)) for key, label in labels if label is not None])
    return replace(drawn, skipped=("goodsam: needs panoramas",))


def extras_of(outcome: Outcome, dataset: Dataset) -> Extras:
    return Extras(
        panels=draw_cases(outcome, dataset, "test"),
        picks="<p>b1</p>",
        features="<p>mixing</p>",
        fairness=(("windows", "32 pixels & the same for all"),),
        commands=("sensam compare fog",),
    )


@pytest.fixture(scope="module")
def page(outcome: Outcome, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(outcome, tmp_path_factory.mktemp("report"), extras_of(outcome, dataset))


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
    assert set(stored) == {"scores", "metrics", "classes", "domains", "labels"}
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
    assert write_report(outcome, tmp_path, extras_of(outcome, dataset)).read_text() == page.read_text()


def test_the_answer_comes_first(page: Path) -> None:
    text = re.sub(r"<style>.*?</style>", "", page.read_text(), flags=re.DOTALL)
    assert text.index("is ahead with") < text.index("<section")
    assert text.index("sensam train fog --method") < text.index("<section")


def test_every_part_stands_in_its_place(page: Path) -> None:
    titles = re.findall(r"<h2>(.*?)</h2>", page.read_text())
    assert titles == [
        *("Ranking", "Scores and costs", "Cost beside quality", "With fewer labels", "Classes", "Domains", "Pictures"),
        *("Which bands inheritance looked at", "Features by domain", "What was left out", "How it was made"),
    ]
    assert "goodsam: needs panoramas" in read(page).text
    assert f"{MIOU_MEANS}." in read(page).text
    assert "sensam compare fog" in read(page).text


def test_tables_hold_what_the_cells_hold(page: Path, outcome: Outcome) -> None:
    def stored(name: str) -> dict[str, dict[str, str]]:
        rows = list(csv.DictReader(io.StringIO((page.parent / "tables" / f"{name}.csv").read_text())))
        return {next(iter(row.values())): row for row in rows}

    def iou(counts: np.ndarray) -> np.ndarray:
        return 100 * np.diagonal(counts) / (counts.sum(0) + counts.sum(1) - np.diagonal(counts))

    def recall(counts: np.ndarray) -> np.ndarray:
        return 100 * np.diagonal(counts) / counts.sum(1)

    classes, domains, labels, metrics, scores = map(stored, ("classes", "domains", "labels", "metrics", "scores"))
    for entry in outcome.entries:
        cells = {share: [outcome.evidence[entry, seed, share] for seed in (0, 1, 2)] for share in outcome.shares}
        of_classes = np.mean([iou(cell.confusion_NKK.sum(0)) for cell in cells[1.0]], axis=0)
        assert [float(row[entry]) for row in classes.values()] == pytest.approx(of_classes.tolist())
        for name, row in domains.items():
            inside = [number for number, domain in enumerate(cells[1.0][0].domains) if domain == name]
            found = np.mean([iou(cell.confusion_NKK[inside].sum(0)).mean() for cell in cells[1.0]])
            assert float(row[entry]) == pytest.approx(found)
        for share, found_cells in cells.items():
            found = np.mean([iou(cell.confusion_NKK.sum(0)).mean() for cell in found_cells])
            assert float(labels[f"{100 * share:g}"][entry]) == pytest.approx(found)
        means = [iou(cell.confusion_NKK.sum(0)).mean() for cell in cells[1.0]]
        costs = outcome.records[entry, 1, 1.0].costs  # seed 1 takes the middle of the three times
        recalls = [recall(cell.confusion_NKK.sum(0)).mean() for cell in cells[1.0]]
        assert float(metrics[entry]["mAcc, %"]) == pytest.approx(np.mean(recalls))
        row = scores[entry]
        assert float(row["mIoU, %"]) == pytest.approx(np.mean(means))
        assert float(row["\N{PLUS-MINUS SIGN} seeds"]) == pytest.approx(np.std(means, ddof=1))
        assert float(row["trained, M"]) == costs.trained / 1e6
        assert float(row["training, s"]) == costs.all_seconds
        assert float(row["memory, MB"]) == costs.peak_memory_mb


def test_a_confusion_is_drawn_in_parts_of_its_rows(tmp_path: Path) -> None:
    save(draw_confusion(np.array([[3, 1], [0, 8]]), ("sea", "fog"), "e2sam"), tmp_path / "confusion")
    numbers = re.findall(r">(\d+)</text>", (tmp_path / "confusion.svg").read_text())
    assert numbers == ["75", "25", "100"]


def test_an_entry_has_one_colour_also_among_the_best_few() -> None:
    point = Point(50, 40, 60)
    everyone = ["zeta", "alpha", "mu"]
    ranking = draw_ranking(dict.fromkeys(everyone, point), "mIoU, %")
    bars = draw_class_bars({"mu": {"fog": point}}, everyone)
    drawn = {int(line.get_ydata()[0]): line.get_color() for line in ranking.axes[0].lines if line.get_marker() == "o"}
    names = [label.get_text() for label in ranking.axes[0].get_yticklabels()]
    (bar,) = bars.axes[0].patches
    assert to_hex(bar.get_facecolor()) == drawn[names.index("mu")]
    assert len(set(drawn.values())) == 3


def test_cases_are_the_extremes_and_the_middle(outcome: Outcome) -> None:
    means: dict[str, float] = {}
    for place, key in enumerate(outcome.evidence["scratch", 0, 1.0].keys):
        scores = [miou_of(outcome.evidence[entry, 0, 1.0].confusion_NKK[place]) for entry in outcome.entries]
        means[key] = float(np.mean(scores))
    order = sorted(means, key=means.__getitem__, reverse=True)
    cases = choose_cases(outcome)
    assert [case.key for case in cases] == [order[0], order[2], order[4]]
    assert [case.title.split()[0] for case in cases] == ["best", "median", "worst"]
    assert f"mIoU {100 * means[order[0]]:.1f} on average" in cases[0].title


def test_every_case_shows_image_truth_and_for_every_entry_answer_and_errors(page: Path, outcome: Outcome) -> None:
    alts = re.findall(r'alt="(.*?)"', page.read_text())
    answers = [words for name in outcome.entries for words in (f"answer of {name}", f"where {name} is wrong")]
    expected = []
    for case in choose_cases(outcome):
        expected += [f"{case.key} in false colours", f"true classes of {case.key}", *answers]
    assert alts == expected


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


def browse(page: Path, folder: Path, scheme: str, *options: str) -> None:
    words = [str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    words += [f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}"]
    subprocess.run([*words, *options, page.as_uri()], check=True, capture_output=True, timeout=120)


def photograph(page: Path, folder: Path, scheme: str, size: tuple[int, int]) -> np.ndarray:
    """Pixels of the page in a window."""
    picture = folder / "page.png"
    browse(page, folder, scheme, f"--window-size={size[0]},{size[1]}", f"--screenshot={picture}")
    return np.asarray(Image.open(picture).convert("RGB")).astype(int)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_a_browser_draws_it(page: Path, tmp_path: Path, scheme: str) -> None:
    pixels = photograph(page, tmp_path, scheme, (1180, 4000))
    ground = pixels[5, 5].mean()
    assert ground < 60 if scheme == "dark" else ground > 240
    # Something stands in every fifth of the page, and nothing runs over its right edge.
    for part in np.array_split(np.abs(pixels - pixels[5, 5]).max(-1), 5):
        assert (part > 60).mean() > 0.005
    assert (np.abs(pixels[:, -20:] - pixels[5, 5]).max(-1) < 12).all()


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_on_paper_it_is_light_and_whole(page: Path, tmp_path: Path) -> None:
    """The rules for print applied to a window as wide as the text of an A4 sheet, for a reader who likes it dark."""
    copy = tmp_path / "paper.html"
    text = page.read_text().replace("@media print{", "@media all{body{padding:0 24px}", 1)
    copy.write_text(text.replace("overflow-x:auto", "overflow-x:visible"))  # shows what would be cut off
    pixels = photograph(copy, tmp_path, "dark", (768, 4000))
    assert pixels[5, 5].mean() > 250
    assert (pixels[:, -20:] > 240).all()  # no column of a table is lost: paper does not scroll
    browse(page, tmp_path, "dark", f"--print-to-pdf={tmp_path / 'page.pdf'}")
    sheets = len(re.findall(rb"/Type\s*/Page\b(?!s)", (tmp_path / "page.pdf").read_bytes()))
    assert 3 <= sheets <= 12
