"""The server answers at the address that it prints, and below a path prefix behind a real proxy."""
import os
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import pytest
from aivd_nb.app import create_app, make_server
from aivd_nb.app_config import AppConfig
from aivd_nb.synth import generated_frames, write_clip
from test_serve import ask, form


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip")/"clip.mp4", list(generated_frames(48, (320, 240))), fps=24).read_bytes()


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6_answers_at_the_address_that_it_prints(tmp_path):
    command = [sys.executable, "-c", "from aivd_nb.cli import main; main()", "serve", "--host", "::1", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"AIVD_SERVE_DATA": str(tmp_path/"data")}) as server:
        try:
            said = next(line for line in server.stderr if "Serving on" in line)
            host, port = re.search(r"http://\[(.+)\]:(\d+)", said).groups()
            assert ask((host, int(port)), "GET", "/api/v1/health")[0] == 200
            assert ask((host, int(port)), "GET", "/api/v1/health", headers={"Host": "evil.example"})[0] == 400
        finally:
            server.terminate()


class Below:
    "A server below /clips, behind nginx where there is a proxy"
    def __init__(self, folder, proxied, **config):
        self.app = create_app("efficientnet_lite0", AppConfig(data=str(folder/"data"), port=0, workers=1, rate="", **config), open(folder/"log", "w"))
        self.server = make_server(self.app)
        threading.Thread(target=self.server.run, daemon=True).start()
        self.own, self.nginx = ("127.0.0.1", int(self.server.effective_port)), None
        self.at = self._start(folder, proxied) if proxied is not None else self.own

    def _start(self, folder, passed):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        (folder/"nginx.conf").write_text(NGINX % {"d": folder, "port": port, "to": self.own[1], "passed": passed})
        self.nginx = subprocess.Popen([NGINX_PROGRAM, "-p", folder, "-c", folder/"nginx.conf", "-e", folder/"error.log"])
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return "127.0.0.1", port
            except OSError:
                time.sleep(0.05)
        raise TimeoutError((folder/"error.log").read_text())

    def close(self):
        if self.nginx:
            self.nginx.terminate()
            self.nginx.wait()
        self.server.close()
        self.app.extensions["aivd"].close()


NGINX_PROGRAM = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
NGINX = """daemon off; pid %(d)s/nginx.pid; worker_processes 1; events { worker_connections 64; }
http { access_log off; client_body_temp_path %(d)s/body; proxy_temp_path %(d)s/proxy; fastcgi_temp_path %(d)s/f; uwsgi_temp_path %(d)s/u; scgi_temp_path %(d)s/s;
  client_max_body_size 100m; client_body_buffer_size 16m;
  server { listen 127.0.0.1:%(port)d;
    location /clips/ { proxy_pass http://127.0.0.1:%(to)d%(passed)s; proxy_http_version 1.1; proxy_buffering off; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Prefix /clips; } } }
"""

WAYS = {"header, prefix taken off": ("/", {"proxy": "127.0.0.1"}), "header, prefix left on": ("", {"proxy": "127.0.0.1"}), "setting, prefix taken off": ("/", {"prefix": "/clips"}),
    "setting, no proxy": (None, {"prefix": "/clips"})}


@pytest.mark.parametrize("way", WAYS)
def test_below_a_prefix(tmp_path, clip, way):
    passed, config = WAYS[way]
    if passed is not None and not NGINX_PROGRAM:
        pytest.skip("nginx is not installed")
    s = Below(tmp_path, passed, **config)
    try:
        page = ask(s.at, "GET", "/clips/")[2].decode()
        links = re.findall(r'(?:href|src)="(/[^"]*)"', page)
        assert links and all(link.startswith("/clips/") for link in links), links
        assert all(ask(s.at, "GET", link)[0] == 200 for link in links)
        assert ask(s.at, "GET", "/clips/api/v1/openapi.json")[2]["servers"] == [{"url": "/clips/api/v1"}]
        status, headers, job = ask(s.at, "POST", "/clips/api/v1/jobs", form(clip), {"Content-Type": "multipart/form-data; boundary=XX"})
        assert (status, headers["Location"]) == (202, job["links"]["self"]) and headers["Location"].startswith("/clips/api/v1/jobs/")
        stream = ask(s.at, "GET", job["links"]["events"])[2].decode()
        last = json.loads(stream.strip().split("data: ")[-1])
        assert last["state"] == "done" and last["links"]["self"] == job["links"]["self"]
        assert ask(s.at, "GET", last["frames"][0]["href"])[0] == 200
        assert ask(s.at, "DELETE", job["links"]["self"])[0] == 204
    finally:
        s.close()


def test_a_strangers_prefix_is_not_believed(tmp_path):
    s = Below(tmp_path, None, proxy="127.0.0.2")
    try:
        page = ask(s.at, "GET", "/", headers={"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Prefix": "/evil"})[2].decode()
        assert "/evil" not in page
    finally:
        s.close()
