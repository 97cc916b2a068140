"""What a stranger gets: the wheel, built from the sdist, installed away from the checkout, with no network, no weights and no collection."""
import json, os, subprocess, sys, venv
from pathlib import Path

import pytest
from conftest import BIN, ROOT, run

NO_NETWORK = '''
import socket
def _refuse(*args, **kwargs): raise OSError("this test allows no network")
_connect = socket.socket.connect
socket.socket.connect = lambda self, address: _connect(self, address) if self.family == getattr(socket, "AF_UNIX", None) else _refuse()
socket.socket.connect_ex = socket.getaddrinfo = _refuse
'''


@pytest.fixture(scope="module")
def dist(copy):
    "`python -m build` makes the sdist, then the wheel out of it: what MANIFEST.in forgets is missing here too"
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", copy/"dist", ".", cwd=copy)
    return copy/"dist"


@pytest.fixture(scope="module")
def home(dist, tmp_path_factory):
    "A virtual environment with the wheel; a .pth line lends it this one's dependencies, but not its editable install (nested .pth are not read)"
    home = tmp_path_factory.mktemp("stranger")
    venv.create(home/"venv", with_pip=False)
    python = home/"venv"/BIN.name/Path(sys.executable).name
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).stdout.strip())
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", next(dist.glob("*.whl")), cwd=home)
    (site/"no_network.py").write_text(NO_NETWORK) # not sitecustomize.py: Debian's Python brings one that comes first
    (site/"lent.pth").write_text("\n".join(["import no_network", *(p for p in sys.path if p.endswith("site-packages"))]) + "\n")
    return home


def stranger(home, *cmd, timeout=300):
    "Run in the stranger's environment; its standard output"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AIVD_", "PYTHON", "KERAS_"))}
    scripts = home/"venv"/BIN.name
    env |= {"HOME": str(home), "XDG_CACHE_HOME": str(home/"cache"), "VIRTUAL_ENV": str(home/"venv"), "PATH": f"{scripts}{os.pathsep}{env['PATH']}"}
    done = subprocess.run([str(scripts/cmd[0]), *map(str, cmd[1:])], cwd=home, env=env, timeout=timeout, capture_output=True, text=True)
    assert done.returncode == 0, f"{cmd}: exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
    return done.stdout


def test_network_is_really_off(home):
    with pytest.raises(AssertionError, match="this test allows no network"):
        stranger(home, "python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')")


def test_every_module_imports(home):
    code = "import pkgutil, aivd_nb; print(aivd_nb.__file__); [print(__import__(m.name) and m.name) for m in pkgutil.walk_packages(aivd_nb.__path__, 'aivd_nb.')]"
    where, *names = stranger(home, "python", "-c", code).split()
    assert Path(where).is_relative_to(home), "the checkout was imported, not the wheel"
    assert {f"aivd_nb.{p.stem}" for p in (ROOT/"aivd_nb").glob("*.py")} - {"aivd_nb.__init__"} <= set(names)


def test_help(home):
    assert "predict" in stranger(home, "aivd", "--help")


def test_predicts_with_the_default_bundle(home):
    make = "from aivd_nb.synth import *; write_clip('clip.mp4', camera_frames(60))"
    stranger(home, "python", "-c", make)
    (line,) = stranger(home, "aivd", "predict", "clip.mp4", "--json").splitlines()
    found = json.loads(line)
    assert {"file", "label", "probability", "confidence", "timeline", "bundle", "warnings", "timings_ms"} <= set(found)
    assert Path(found["file"]).name == "clip.mp4" and found["label"] in ("Real", "AI-Generated", "Inconclusive")
    assert 0 <= found["probability"] <= 1 and 0 <= found["confidence"] <= 1
    assert found["timeline"] and all({"start_s", "end_s", "probability"} <= set(t) for t in found["timeline"])
