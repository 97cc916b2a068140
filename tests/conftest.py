"""What the tests share: the checkout, a copy of it that may be written to, and the programs of this virtual environment."""
import os, shutil, subprocess, sys
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent # not resolved: the virtual environment's folder, not the interpreter's

# Whole programs, servers, browsers, environments: what test_quick.py sees at once is looked at here from all sides
SLOW = "attacks browser cases fast jupyter light noise origin predict quiet reach readme scan seen serve site style trouble wheel whole".split()


# Files whose cases share no server, environment or folder, so that each may go to whichever process is free; a file's cases stay together otherwise
SPREAD = "notebooks attacks fast".split()


def named(path): return Path(path).stem.removeprefix("test_")


def pytest_collection_modifyitems(items):
    for item in items:
        if named(item.path) in SLOW: item.add_marker(pytest.mark.slow)


# pytest-xdist 3.8 has marks for this, which pytest 9.2 leaves without effect: fixtures of a file were set up in both processes
class Together(LoadScopeScheduling):
    def _split_scope(self, nodeid):
        file = nodeid.split("::")[0]
        return nodeid if named(file) in SPREAD else file


def pytest_xdist_make_scheduler(config, log): return Together(config, log)


# For two cores. Among the slow tests are some that wait more than they work; the quick half doesn't make up for a third process's imports
def pytest_xdist_auto_num_workers(config): return 2 if config.option.markexpr == "not slow" else 3


def repo_files() -> list[Path]:
    "Files of the checkout that git keeps or would keep, relative to it"
    out = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(p) for p in sorted(set(out.split("\0"))) if p and os.path.lexists(ROOT/p)]


def copy_repo(to:Path) -> Path:
    "The checkout's files in another folder, links as links"
    for p in repo_files():
        (to/p).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT/p, to/p, follow_symlinks=False)
    return to


def run(*cmd, cwd, timeout=600, env=None, check=True):
    "Run a program of this environment; what it said is shown where it fails"
    env = {**(os.environ if env is None else env)}
    env["PATH"] = f"{BIN}{os.pathsep}{env.get('PATH', '')}"
    done = subprocess.run([str(c) for c in cmd], cwd=cwd, env=env, timeout=timeout, capture_output=True, text=True)
    if check: assert done.returncode == 0, f"{' '.join(map(str, cmd))}: exit {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done


@pytest.fixture(scope="module")
def copy(tmp_path_factory): return copy_repo(tmp_path_factory.mktemp("copy")/"aivd-nb")
