"""Nothing leaves the machine: every command runs in a network namespace whose only resolver writes down what it is asked, and leaves no file where it has none to leave."""
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
import pytest

# Runs inside the namespace: brings up loopback, answers every DNS question with "no such name", writes the names down, then runs the command.
RECORDER = textwrap.dedent('''
    import json, os, socket, subprocess, sys, threading
    out, resolv, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "--bind", resolv, "/etc/resolv.conf"], check=True)
    names, s = [], socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 53))
    def name(q):
        parts, at = [], 12
        while q[at]:
            parts.append(q[at + 1:at + 1 + q[at]].decode("ascii", "replace"))
            at += 1 + q[at]
        return ".".join(parts)
    def answer():
        while True:
            q, who = s.recvfrom(4096)
            names.append(name(q))
            s.sendto(q[:2] + bytes([0x81, 0x83]) + q[4:6] + bytes(6) + q[12:], who)
    threading.Thread(target=answer, daemon=True).start()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    json.dump({"names": names, "rc": done.returncode, "out": done.stdout[-4000:], "err": done.stderr[-4000:]}, open(out, "w"))
''')


def _can():
    tools = all(shutil.which(t) for t in ("unshare", "mount", "ip"))
    return tools and subprocess.run(["unshare", "-rnm", "true"], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(sys.platform != "linux" or not _can(), reason="this system makes no network namespaces for its users")


class Place:
    "An empty home, an empty temporary folder, a cache folder of our own, and the commands that ran there"
    def __init__(self, folder):
        self.folder = folder
        for name in ("home", "tmp", "cache", "work"):
            (folder/name).mkdir()
        (folder/"resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")

    def run(self, *command, **more):
        f = self.folder
        keep = {k: os.environ[k] for k in ("PATH", "AIVD_SHARED", "LD_LIBRARY_PATH") if k in os.environ}
        env = keep | {"HOME": str(f/"home"), "TMPDIR": str(f/"tmp"), "AIVD_CACHE": str(f/"cache"), "PYTHONDONTWRITEBYTECODE": "1"}
        env |= {"PYTHONPATH": str(Path(__file__).parents[1]), "MPLCONFIGDIR": str(f/"cache"), "TF_CPP_MIN_LOG_LEVEL": "3"} | more
        done = subprocess.run(["unshare", "-rnm", sys.executable, "-c", RECORDER, f/"said.json", f/"resolv.conf", *map(str, command)], env=env, cwd=f/"work", capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr
        return json.loads((f/"said.json").read_text())

    def left(self):
        "Files outside our own cache folder, but for what was asked for in the folder `work`"
        return sorted(str(p.relative_to(self.folder)) for n in ("home", "tmp") for p in (self.folder/n).rglob("*") if p.is_file())


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    from aivd_nb.synth import generated_frames, write_clip
    path = tmp_path_factory.mktemp("clip")/"clip.mp4"
    write_clip(path, list(generated_frames(48, (320, 240))), fps=24)
    return path


def aivd(*args):
    return (sys.executable, "-c", "from aivd_nb.cli import main; main()", *args)


def quiet(place, said):
    assert said["rc"] == 0, said["err"]
    assert said["names"] == [] and place.left() == []


def test_the_recorder_hears(place):
    said = place.run(sys.executable, "-c", "import socket\ntry: socket.getaddrinfo('who.example', 80)\nexcept OSError: pass")
    assert "who.example" in said["names"]


def test_onnx_runtime_alone_is_not_quiet(place):
    "What this guards against: without our package, the library leaves a device id; if this fails one day, the library has become quiet by itself"
    import onnxruntime
    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 29):
        pytest.skip("older than the telemetry")
    place.run(sys.executable, "-c", "import onnxruntime")
    assert any("deviceid" in p for p in place.left())


def test_predict(place, clip):
    said = place.run(*aivd("predict", clip))
    quiet(place, said)
    assert "probability of AI" in said["out"]


def test_probe_explain_provenance(place, clip):
    for command in (["probe", clip], ["explain", clip, "--no-places"], ["provenance", clip], ["frames", clip]):
        quiet(place, place.run(*aivd(*command)))


def test_scan(place, clip):
    quiet(place, place.run(*aivd("hash", clip, "--out", "hashes.csv")))
    quiet(place, place.run(*aivd("scan", clip, "--out", "found", "--known", "hashes.csv", "--report")))


def test_scan_on_ray_asks_nobody(place, clip):
    "Ray keeps its own session folder, so only look-ups are compared; it asks by a name that exists inside Google's cloud alone whether it has TPUs, and nobody else"
    pytest.importorskip("ray")
    said = place.run(*aivd("scan", clip, "--out", "found", "--engine", "ray", "--workers", "1"), TMPDIR="/tmp")
    assert said["rc"] == 0, said["err"]
    assert {n for n in said["names"] if "." in n} <= {"metadata.google.internal"}


SERVE = """
import json, sys, threading, time, urllib.request
from aivd_nb.app import create_app, make_server
from aivd_nb.app_config import AppConfig
app = create_app(config=AppConfig(port=0, data=sys.argv[2]))
server = make_server(app)
threading.Thread(target=server.run, daemon=True).start()
at = f"http://127.0.0.1:{server.effective_port}"
body = b'--b\\r\\nContent-Disposition: form-data; name="file"; filename="c.mp4"\\r\\n\\r\\n' + open(sys.argv[1], "rb").read() + b"\\r\\n--b--\\r\\n"
job = json.load(urllib.request.urlopen(urllib.request.Request(at + "/api/v1/jobs", body, {"Content-Type": "multipart/form-data; boundary=b"})))
while job["state"] in ("queued", "running"):
    time.sleep(.2)
    job = json.load(urllib.request.urlopen(at + job["links"]["self"]))
app.extensions["aivd"].close()
assert job["state"] == "done", job
"""


def test_serve(place, clip):
    quiet(place, place.run(sys.executable, "-c", SERVE, clip, place.folder/"work"/"data"))


WIDGET = """
import sys
from aivd_nb.widget import DetectorWidget
w = DetectorWidget(background=False)
w.path.value = sys.argv[1]
w.go.click()
assert w.results and w.results[0].label, w.results
"""


def test_widget(place, clip):
    quiet(place, place.run(sys.executable, "-c", WIDGET, clip))


def test_train(place):
    from aivd_nb.detector import default_bundle
    from aivd_nb.synth import make_dataset
    data = place.folder/"work"/"data"
    make_dataset(data, 6)
    quiet(place, place.run(*aivd("labels", data)))
    said = place.run(*aivd("train", data/"labels.csv", "--out", "bundle", "--backbone", default_bundle(), "--windows", "1", "--set", "epochs=1", "--length", "4"))
    quiet(place, said)
