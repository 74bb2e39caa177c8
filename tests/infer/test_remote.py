"""Scenes read over HTTP by ranges, from a server that drops, delays, refuses and cuts off."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from sensam.errors import InputError
from sensam.infer.locate import locate, title
from tests.infer.mapmaking import direct, ground, make_map, read, segmenter, sensor, write_scene


class Faulty(BaseHTTPRequestHandler):
    """Serves a folder; `server.fault` says what goes wrong, for `server.faults` requests after the first few."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        return

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, *, with_body):
        server = self.server
        path = server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        start, stop, status = 0, len(content), 200
        if self.headers.get("Range"):
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            start, stop, status = int(first), min(len(content), int(last or len(content)) + 1), 206
            server.ranges.append((start, stop))
        if with_body and server.faults > 0:
            server.faults -= 1
            if server.fault == "drop":
                self.close_connection = True
                self.connection.close()
                return
            if server.fault == "slow":
                time.sleep(0.2)
            if server.fault == "busy":
                self.send_error(503)
                return
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        if not with_body:
            return
        if server.fault == "cut" and start > 0:
            self.wfile.write(content[start : (start + stop) // 2])
            self.close_connection = True
            return
        self.wfile.write(content[start:stop])


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr("sensam.infer.scene.FIRST_PAUSE", 0.01)
    monkeypatch.setitem(__import__("sensam.infer.scene", fromlist=["x"]).GDAL_OPTIONS, "GDAL_HTTP_RETRY_DELAY", "0.01")
    service = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    service.daemon_threads = True
    service.folder, service.fault, service.faults, service.ranges = tmp_path / "served", "", 0, []
    thread = threading.Thread(target=service.serve_forever, daemon=True)
    thread.start()
    yield service
    service.shutdown()
    service.server_close()


def serve(server, name="scene.tif", **profile):
    pixels = ground(120, 160, patch=1)
    write_scene(server.folder / name, pixels, tiled=True, blockxsize=32, blockysize=32, compress="deflate", **profile)
    return pixels, f"http://127.0.0.1:{server.server_port}/{name}"


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["", "drop", "slow", "busy"])
def test_a_poor_connection_changes_nothing_but_time(server, tmp_path, fault):
    pixels, url = serve(server)
    server.fault, server.faults = fault, 3
    model = segmenter(size=64)
    (made,) = make_map(model, url, tmp_path / "out")
    assert made.name == "scene.tif"
    assert np.array_equal(read(made)[0], direct(model, pixels).argmax(0))
    assert server.faults == 0


@pytest.mark.slow
def test_only_what_is_needed_is_read(server, tmp_path):
    pixels, url = serve(server)
    box = (500_000, 4_999_840, 500_160, 5_000_000)
    (made,) = make_map(segmenter(size=16), f"/vsicurl/{url}", tmp_path / "out", box=box)
    assert np.array_equal(read(made)[0], direct(segmenter(), pixels[:, :16, :16]).argmax(0))
    length = (server.folder / "scene.tif").stat().st_size
    assert sum(stop - start for start, stop in server.ranges) < length


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_bucket_is_read_by_ranges_as_well(server, tmp_path, monkeypatch, scheme):
    """A server of one's own in place of the provider's, as for any store that speaks the same language."""
    host = f"127.0.0.1:{server.server_port}"
    ours = {
        "s3": {
            "AWS_S3_ENDPOINT": host,
            "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
            "AWS_NO_SIGN_REQUEST": "YES",
        },
        "gs": {"CPL_GS_ENDPOINT": f"http://{host}/", "GS_NO_SIGN_REQUEST": "YES"},
    }
    for name, value in ours[scheme].items():
        monkeypatch.setenv(name, value)
    pixels, _ = serve(server, f"{scheme}-bucket/scene.tif")
    model = segmenter(size=64)
    (made,) = make_map(model, f"{scheme}://{scheme}-bucket/scene.tif", tmp_path / "out")
    assert made.name == "scene.tif"
    assert np.array_equal(read(made)[0], direct(model, pixels).argmax(0))
    assert server.ranges


def test_a_server_that_cuts_files_off_is_an_error_of_one_line(server, tmp_path):
    _, url = serve(server)
    server.fault = "cut"
    with pytest.raises(InputError, match="cannot be read") as caught:
        make_map(segmenter(size=64), url, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").glob("*.tif"))


def test_a_file_that_was_cut_short_before_it_was_served(server, tmp_path):
    _, url = serve(server)
    path = server.folder / "scene.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="cannot be read"):
        make_map(segmenter(size=64), url, tmp_path / "out")


def test_an_address_with_nothing_behind_it(server, tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        make_map(segmenter(), f"http://127.0.0.1:{server.server_port}/none.tif", tmp_path / "out")


def test_addresses_become_what_gdal_reads():
    toy = sensor()
    assert locate("https://a.b/c.tif?sig=1", toy) == "/vsicurl/https://a.b/c.tif?sig=1"
    assert locate("s3://bucket/a/c.tif", toy) == "/vsis3/bucket/a/c.tif"
    assert locate("gs://bucket/c.tif", toy) == "/vsigs/bucket/c.tif"
    with pytest.raises(InputError, match="name of a scene is empty"):
        locate("", toy)
    assert title("https://a.b/c.tif?sig=1") == "c"
    assert title(str(Path("/x/y/"))) == "y"
