"""A link instead of a file: fetched from a server of our own, private addresses refused, the address told in every face."""
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import pytest
from click.testing import CliRunner
from aivd_nb.cli import main
from aivd_nb.synth import generated_frames, write_clip

pytest.importorskip("yt_dlp")


def aivd(*args):
    return CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    clip = write_clip(tmp_path_factory.mktemp("site")/"clip.mp4", list(generated_frames(48, (320, 240))), fps=24)
    class Site(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/clip.mp4" else 404)
            self.send_header("Content-Type", "video/mp4")
            self.end_headers()
            if self.path == "/clip.mp4" and self.command == "GET":
                self.wfile.write(clip.read_bytes())
        do_HEAD = do_GET
        def log_message(self, *_):
            pass
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield clip, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_predict_a_link_beside_a_file(site, monkeypatch):
    clip, at = site
    monkeypatch.setenv("AIVD_LINK_PRIVATE", "1")
    r = aivd("predict", f"{at}/clip.mp4", clip, f"{at}/none.mp4", "--json", "--no-cache")
    link, file, none = [json.loads(line) for line in r.stdout.splitlines()]
    assert r.exit_code == 1 and (link["file"], link["timeline"]) == (f"{at}/clip.mp4", file["timeline"]) and none["code"] == "unreachable" and "404" in none["problem"]
    assert link["origin"]["link"]["address"] == f"{at}/clip.mp4" and link["origin"]["link"]["fetched"].endswith("UTC") and "link" not in file["origin"]
    assert f"fetched from {at}/clip.mp4 at 20" in aivd("predict", f"{at}/clip.mp4", "--no-cache").output


def test_private_addresses_are_refused(site, monkeypatch):
    monkeypatch.delenv("AIVD_LINK_PRIVATE", raising=False)
    r = aivd("predict", f"{site[1]}/clip.mp4", "--no-cache")
    assert r.exit_code == 1 and "leads to a private address (127.0.0.1)" in r.stderr


def test_nothing_is_left(site, monkeypatch, tmp_path):
    monkeypatch.setenv("AIVD_LINK_PRIVATE", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert aivd("predict", f"{site[1]}/clip.mp4", "--no-cache").exit_code == 0
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    assert os.environ["TMPDIR"] == str(tmp_path)


def test_widget_takes_a_link(site, monkeypatch):
    from aivd_nb.widget import DetectorWidget
    monkeypatch.setenv("AIVD_LINK_PRIVATE", "1")
    w = DetectorWidget(background=False)
    w.path.value = f"{site[1]}/clip.mp4"
    w.go.click()
    assert w.results[0].file == f"{site[1]}/clip.mp4" and w.results[0].origin["link"]["address"] == w.results[0].file
    assert any("Where it comes from" in getattr(c, "value", "") for c in w.shown.children)


@pytest.fixture
def serving(tmp_path):
    from test_serve import Serving
    started = []
    def start(**config):
        started.append(Serving(tmp_path/"data", **config))
        return started[-1]
    yield start
    for s in started:
        s.close()


def send_link(serving, body):
    return serving.ask("POST", "/api/v1/links", body if isinstance(body, bytes) else json.dumps(body), {"Content-Type": "application/json"})


def test_a_server_fetches_from_named_hosts_only(site, serving, monkeypatch):
    monkeypatch.setenv("AIVD_LINK_PRIVATE", "1")
    s = serving(link_hosts="127.0.0.1, example.org")
    status, headers, job = send_link(s, {"url": f"{site[1]}/clip.mp4"})
    assert status == 202 and headers["Location"] == job["links"]["self"] and job["file"] == f"{site[1]}/clip.mp4"
    assert s.finished(job["id"])["state"] == "done"
    for url, code in ((f"{site[1]}/none.mp4", "unreachable"), ("https://example.com/clip.mp4", "links"), ("ftp://127.0.0.1/x", "links"), ("http://u:p@127.0.0.1/", "links")):
        status, _, said = send_link(s, {"url": url})
        assert said["code"] == code and status in (403, 422), said
    assert [send_link(s, body)[2]["code"] for body in ({}, {"url": 3}, b"[", b"x"*70_000)] == ["bad_request"]*3 + ["too_large"]
    assert s.leftovers() == []


def test_a_server_fetches_nothing_unless_told(site, serving, monkeypatch):
    monkeypatch.setenv("AIVD_LINK_PRIVATE", "1")
    assert send_link(serving(), {"url": f"{site[1]}/clip.mp4"})[2]["code"] == "links"


def test_a_server_refuses_private_addresses_of_named_hosts(site, serving, monkeypatch):
    monkeypatch.delenv("AIVD_LINK_PRIVATE", raising=False)
    said = send_link(serving(link_hosts="127.0.0.1"), {"url": f"{site[1]}/clip.mp4"})[2]
    assert said["code"] == "unreachable" and "private address" in said["detail"]
