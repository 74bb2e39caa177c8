"""`sensam sensors` as a person runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sensam.cli.app import app
from sensam.sensors import load_sensor, preset_names

GUIDE = Path(__file__).parents[2] / "docs/sensors.md"


def test_the_list_has_every_preset():
    result = CliRunner().invoke(app, ["sensors"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    for name in preset_names():
        (line,) = (line for line in lines if line.split(maxsplit=1)[:1] == [name])
        assert line.split()[1:3] == [str(len(load_sensor(name).bands)), load_sensor(name).geometry]
        assert line.rstrip().endswith(load_sensor(name).title)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("landsat8", ["SR_B4 red 655 nm reflectance x 0.0000275 - 0.2 0 red", "10.895 um K x 0.00341802 + 149 0"]),
        ("sentinel1-db", ["VV vertical sent and received 55.47 mm dB -100 to 100 red, blue", "colours are false"]),
        ("rgb", ["red DN uint8 123.675 ± 58.395 red"]),
        ("hyperspectral-5", ["band_4", "sensam stats DATASET"]),
    ],
)
def test_one_is_shown_with_its_facts(name, rows):
    result = CliRunner().invoke(app, ["sensors", name])
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    for row in rows:
        assert row in text


def test_a_sensor_of_ones_own(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\nbands: [{name: a, title: first, mean: 2, std: 3}]\nsource: me")
    result = CliRunner().invoke(app, ["sensors", str(tmp_path / "mine.yaml")])
    assert "2 ± 3" in result.stdout
    assert "sensam stats" not in result.stdout


@pytest.mark.slow
def test_a_misspelt_name_is_one_line_and_exit_code_2():
    command = [sys.executable, "-m", "sensam.cli.app", "sensors", "sentinl2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == "error: There is no sensor named 'sentinl2'. Did you mean 'sentinel2-l2a'?\n"
    assert result.stdout == ""


def test_what_the_guide_shows_is_what_is_printed():
    blocks = re.findall(r"```console\n\$ sensam (sensors.*)\n([^`]*)```", GUIDE.read_text(encoding="utf-8"))
    assert [command for command, _ in blocks] == ["sensors", "sensors landsat8"]
    for command, expected in blocks:
        printed = CliRunner().invoke(app, command.split()).stdout
        assert [line.rstrip() for line in printed.strip().splitlines()] == expected.strip().splitlines()


def test_sensor_files_in_the_guide_load(tmp_path):
    blocks = re.findall(r"```yaml\n([^`]*)```", GUIDE.read_text(encoding="utf-8"))
    for block in blocks:
        (tmp_path / "mine.yaml").write_text(block)
        assert load_sensor(tmp_path / "mine.yaml").bands
    assert len(blocks) == 2
