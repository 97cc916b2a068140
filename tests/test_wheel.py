"""What a stranger gets: the wheel, built from the sdist, installed away from the checkout, with no network, no weights and no collection."""
import json, os, re, shutil, subprocess, sys, tarfile, venv, zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from conftest import BIN, ROOT, repo_files, run

BARE = """
import sys, socket
def _refuse(*args, **kwargs): raise OSError("this test allows no network")
_connect = socket.socket.connect
socket.socket.connect = lambda self, address: _connect(self, address) if self.family == getattr(socket, "AF_UNIX", None) else _refuse()
socket.socket.connect_ex = socket.getaddrinfo = _refuse

class Absent: # what the package does not ask for is as good as not installed
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in {FORBIDDEN}: raise ModuleNotFoundError(f"No module named {name!r}: not required without extras", name=name)
sys.meta_path.insert(0, Absent)
"""


def required(*names):
    "Distributions that an installation without extras brings, by name; those that are installed here"
    found, todo = set(), [Requirement(n) for n in names]
    while todo:
        r = todo.pop()
        key = (canonicalize_name(r.name), *sorted(r.extras))
        if key in found: continue
        try: needs = [Requirement(n) for n in requires(r.name) or ()]
        except PackageNotFoundError: continue
        found.add(key)
        todo += [n for n in needs if n.marker is None or any(n.marker.evaluate({"extra": e}) for e in ("", *r.extras))]
    return {k[0] for k in found}


def not_required():
    "Modules that are installed here for tests or extras alone"
    asked = re.search(r"(?m)^requirements = (.*)$", (ROOT/"settings.ini").read_text(encoding="utf-8"))[1].split()
    ours = required(*asked) | {"aivd-nb", "pip"}
    return sorted(m for m, ds in packages_distributions().items() if m.isidentifier() and not {canonicalize_name(d) for d in ds} & ours)


@pytest.fixture(scope="module")
def dist(copy):
    "`python -m build` makes the sdist, then the wheel out of it: what MANIFEST.in forgets is missing here too"
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", copy/"dist", ".", cwd=copy)
    return copy/"dist"


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def home(request, dist, tmp_path_factory):
    "A virtual environment with the wheel, or with the sdist; a .pth line lends it this one's dependencies, but not its editable install (nested .pth are not read)"
    home = tmp_path_factory.mktemp("stranger")
    venv.create(home/"venv", with_pip=False)
    python = home/"venv"/BIN.name/Path(sys.executable).name
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).stdout.strip())
    lent = [p for p in sys.path if p.endswith("site-packages")]
    (site/"lent.pth").write_text("\n".join(lent) + "\n")
    what = next(dist.glob("*.whl" if request.param == "wheel" else "*.tar.gz"))
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed", what, cwd=home)
    (site/"bare.py").write_text(BARE.replace("{FORBIDDEN}", repr(set(not_required())))) # not sitecustomize.py: Debian's Python brings one that comes first
    (site/"lent.pth").write_text("\n".join([*lent, "import bare"]) + "\n")
    return home


# Where the kernel lets us, there is no network device either, for whatever does not ask Python's sockets
ALONE = ["unshare", "-rn"] if shutil.which("unshare") and subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0 else []


def stranger(home, *cmd, timeout=300):
    "Run in the stranger's environment; its standard output"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AIVD_", "PYTHON", "KERAS_"))}
    scripts = home/"venv"/BIN.name
    env |= {"HOME": str(home), "XDG_CACHE_HOME": str(home/"cache"), "VIRTUAL_ENV": str(home/"venv"), "PATH": f"{scripts}{os.pathsep}{env['PATH']}"}
    done = subprocess.run([*ALONE, str(scripts/cmd[0]), *map(str, cmd[1:])], cwd=home, env=env, timeout=timeout, capture_output=True, text=True)
    assert done.returncode == 0, f"{cmd}: exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
    return done.stdout


def test_network_is_really_off(home):
    with pytest.raises(AssertionError, match="this test allows no network"):
        stranger(home, "python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')")


def test_extras_are_really_absent(home):
    assert {"nbdev", "pytest"} <= set(not_required()) and not {"numpy", "cv2", "flask", "onnxruntime", "click"} & set(not_required())
    with pytest.raises(AssertionError, match="not required without extras"): stranger(home, "python", "-c", "import nbdev")


def test_archives_hold_the_package_and_nothing_else(dist):
    "The wheel has every file of the package that git keeps; neither archive has a file that is not in the checkout, or another content"
    mine = {p.as_posix() for p in repo_files()}
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as z: wheel = {n: z.read(n) for n in z.namelist() if ".dist-info/" not in n}
    with tarfile.open(next(dist.glob("*.tar.gz"))) as t: sdist = {m.name.split("/", 1)[1]: t.extractfile(m).read() for m in t.getmembers() if m.isfile()}
    assert {p for p in mine if p.startswith("aivd_nb/")} == set(wheel)
    sdist = {n: c for n, c in sdist.items() if n not in ("PKG-INFO", "setup.cfg") and ".egg-info/" not in n}
    assert set(sdist) <= mine and set(wheel) <= set(sdist)
    assert [n for d in (wheel, sdist) for n, c in d.items() if c != (dist.parent/n).read_bytes()] == []


def test_every_module_imports(home):
    code = "import pkgutil, aivd_nb; print(aivd_nb.__file__); [print(__import__(m.name) and m.name) for m in pkgutil.walk_packages(aivd_nb.__path__, 'aivd_nb.')]"
    where, *names = stranger(home, "python", "-c", code).split()
    assert Path(where).is_relative_to(home), "the checkout was imported, not the wheel"
    assert {f"aivd_nb.{p.stem}" for p in (ROOT/"aivd_nb").glob("*.py")} - {"aivd_nb.__init__"} <= set(names)


def test_help(home):
    assert "predict" in stranger(home, "aivd", "--help")


def test_predicts_with_the_default_bundle(home):
    make = "from aivd_nb.synth import *; write_clip('clip.mp4', generated_frames(60))"
    stranger(home, "python", "-c", make)
    (line,) = stranger(home, "aivd", "predict", "clip.mp4", "--json").splitlines()
    shutil.copy(ROOT/"nbs/samples/animated_photograph.mp4", home)
    assert "probability of AI" in stranger(home, "aivd", "predict", "animated_photograph.mp4", "--report", "kept.html")
    assert "SHA-256" in (home/"kept.html").read_text(encoding="utf-8")
    found = json.loads(line)
    assert {"file", "label", "probability", "confidence", "timeline", "bundle", "warnings", "timings_ms"} <= set(found)
    assert Path(found["file"]).name == "clip.mp4" and found["label"] in ("Real", "AI-Generated", "Inconclusive")
    assert 0 <= found["probability"] <= 1 and (found["confidence"] is None) == (found["label"] == "Inconclusive")
    assert found["timeline"] and all({"start_s", "end_s", "probability"} <= set(t) for t in found["timeline"])
