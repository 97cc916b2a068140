"""A scan loses nothing: killed, interrupted, with workers and machines lost on the way. `load_scan.py` has the same on a thousand clips, by hand."""
import json, os, random, re, signal, subprocess, sys, threading, time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import BIN
from load_scan import killed, library, lose_a_node, rows, same, two_nodes
from scan_stub import stub

from aivd_nb import cli
from aivd_nb import scan as scans
from aivd_nb.core import ConfigError, ScratchFolder, shared_data
from aivd_nb.detector import Detector
from aivd_nb.scan import scan
from aivd_nb.synth import make_dataset

SHARED = shared_data()
TESTS = Path(__file__).parent
STUB_SCAN = """import sys; sys.path[:0] = [{tests!r}]
from scan_stub import stub
from aivd_nb.scan import scan
print(scan([{lib!r}], {out!r}, loader=stub({seconds}), bundle="stub", workers=2, timeout_s=3, progress=False))"""


def made_up(folder, n, special=()):
    "n files of which every seventh repeats another and every twentieth is damaged, and some that kill or hang whoever reads them"
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n): (folder/f"{i:05d}.mp4").write_bytes(b"BAD %d" % i if i % 20 == 3 else b"clip %d" % (i - 1 if i % 7 == 1 else i))
    for s in special: (folder/f"{s.lower()}.mp4").write_bytes(s.encode())
    return sorted(folder.glob("*.mp4"))


def command(lib, out, seconds): return [sys.executable, "-c", STUB_SCAN.format(tests=str(TESTS), lib=str(lib), out=str(out), seconds=seconds)]


def descendants(pid):
    "Processes below one, now"
    parents = {int(p.name): int(re.sub(r".*\) . ", "", (p/"stat").read_text()).split()[0]) for p in Path("/proc").iterdir() if p.name.isdigit() and (p/"stat").exists()}
    found = [pid]
    for p in found: found += [c for c, above in parents.items() if above == p]
    return found[1:]


def alive(pids): return [p for p in pids if Path(f"/proc/{p}").exists() and " Z " not in Path(f"/proc/{p}/stat").read_text()]


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end: time.sleep(.05)
    return condition()


def test_killed_ten_times(tmp_path):
    "SIGKILL at random moments: the table is readable after each, never has a video twice, never loses a row, and in the end is that of an undisturbed run"
    files = made_up(tmp_path/"lib", 500, ("CRASH", "HANG"))
    whole = scan([tmp_path/"lib"], tmp_path/"whole", loader=stub(), bundle="stub", workers=2, timeout_s=3)
    assert whole.errors == {"damaged": 25, "crash": 1, "timeout": 1}
    rng, standing = random.Random(0), []
    for _ in range(10): standing.append(killed(command(tmp_path/"lib", tmp_path/"out", .02), tmp_path/"out", (1.2, 3.5), rng))
    assert None not in standing and standing == sorted(standing), standing
    end = subprocess.run(command(tmp_path/"lib", tmp_path/"out", 0), capture_output=True, text=True)
    assert end.returncode == 0, end.stderr
    same(rows(tmp_path/"whole"), rows(tmp_path/"out"), files)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped(tmp_path, how):
    "Ctrl-C and SIGTERM write what there is, leave no copies behind and end with 130; whatever ends the driver ends its workers, in the middle of a video"
    lib = tmp_path/"lib"
    lib.mkdir()
    for c in make_dataset(tmp_path/"clips", 10, frames=30, size=(200, 200)).rglob("*.mp4"):
        for i in range(8): (lib/f"{c.stem}_{i}.mp4").write_bytes(c.read_bytes() + bytes(i)) # so that none is another's copy
    scanning = [BIN/"aivd", "scan", lib, "--out", tmp_path/"out", "--bundle", "efficientnet_lite0", "--workers", "2"]
    (tmp_path/"tmp").mkdir()
    child = subprocess.Popen(scanning, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=os.environ | {"TMPDIR": str(tmp_path/"tmp")})
    assert until(lambda: list((tmp_path/"out").glob("part-*"))), child.communicate()
    assert list((tmp_path/"tmp").glob("aivd-scan-*"))
    workers = descendants(child.pid)
    assert len(workers) == 2
    child.send_signal(how)
    _, said = child.communicate(timeout=30)
    assert until(lambda: not alive(workers), 10), alive(workers)
    if how != signal.SIGKILL:
        assert list((tmp_path/"tmp").iterdir()) == []
        assert child.returncode == 130 and "run the same command to continue" in said and "Traceback" not in said, said
        n = len(pd.read_parquet(tmp_path/"out"))
        assert 0 < n < 160, n
        done = subprocess.run(scanning, capture_output=True, text=True)
        assert f"{160 - n} looked at now, 0 copies of others, {n} known before" in done.stdout, done.stdout + done.stderr
    assert not list((tmp_path/"out").glob(".tmp-*"))


def test_what_a_killed_scan_leaves_goes_with_the_next(tmp_path):
    "Its folder for copies, but not that of a scan that runs; and no journal stays after a scan that ends"
    made_up(tmp_path/"lib", 3)
    tmp, out = tmp_path/"tmp", tmp_path/"out"
    (tmp/"aivd-scan-mine").mkdir(parents=True) # somebody else's, though it is called so
    env = os.environ | {"TMPDIR": str(tmp)}
    with ScratchFolder("scan", tmp) as other: # of a scan that runs
        locked = lambda: {str(p.parent) for p in tmp.glob("aivd-scan-*/.aivd-lock")}
        child = subprocess.Popen(command(tmp_path/"lib", out, 60), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        assert until(lambda: len(locked()) == 2)
        child.kill()
        child.wait()
        assert len(locked()) == 2, "nobody could tidy up"
        done = subprocess.run(command(tmp_path/"lib", out, 0), capture_output=True, text=True, env=env)
        assert "3 in all" in done.stdout, done.stdout + done.stderr
        assert locked() == {other}
    assert [p.name for p in tmp.iterdir()] == ["aivd-scan-mine"] and not list((out/"_scan").glob("*-journal"))


def test_stopped_on_ray(tmp_path):
    "Ray has a handler of its own for SIGTERM, and kills its actors in the middle of a video"
    for folder in ("lib", "tmp"): (tmp_path/folder).mkdir()
    for c in make_dataset(tmp_path/"clips", 5, frames=30, size=(200, 200)).rglob("*.mp4"):
        for i in range(30): (tmp_path/"lib"/f"{c.stem}_{i}.mp4").write_bytes(c.read_bytes() + bytes(i))
    scanning = [BIN/"aivd", "scan", tmp_path/"lib", "--out", tmp_path/"out", "--bundle", "efficientnet_lite0", "--engine", "ray", "--workers", "1"]
    env = os.environ | {"TMPDIR": str(tmp_path/"tmp"), "RAY_TMPDIR": "/tmp"} # Ray's sockets need a short path
    child = subprocess.Popen(scanning, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    assert until(lambda: list((tmp_path/"out").glob("part-*")), 180), child.communicate()
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130 and "run the same command to continue" in said and "Traceback" not in said, said
    assert 0 < len(pd.read_parquet(tmp_path/"out")) < 300 and not list((tmp_path/"tmp").glob("aivd-*"))


def test_broken_ones_cost_a_row_each(tmp_path):
    "Crashing and hanging children: the others' rows are there, and the run goes on with new children"
    made_up(tmp_path/"lib", 40, ("CRASH", "HANG"))
    begun = time.monotonic()
    found = scan([tmp_path/"lib"], tmp_path/"out", loader=stub(), bundle="stub", workers=2, timeout_s=2)
    assert (found.videos, found.errors) == (42, {"damaged": 2, "crash": 1, "timeout": 1}) and time.monotonic() - begun < 40
    again = scan([tmp_path/"lib"], tmp_path/"out", loader=stub(), bundle="stub", workers=1, timeout_s=1)
    assert (again.kept, again.analysed) == (40, 2), "errors that pass are tried again, others are not"


def commanded(monkeypatch, *args):
    "`aivd scan` with a detector of no cost"
    run = scans.scan
    with monkeypatch.context() as m:
        m.setattr(scans, "scan", lambda *a, **k: run(*a, **k | {"loader": stub(), "bundle": "stub", "workers": 1}))
        return CliRunner().invoke(cli.main, ["scan", *map(str, args)])


def test_failures_are_named(tmp_path, monkeypatch):
    "Ten on standard error, each with its problem, and where the others stand; again when nothing is left to do"
    (tmp_path/"lib").mkdir()
    for i in range(13): (tmp_path/"lib"/f"{i:02d}.mp4").write_bytes(b"BAD %d" % i)
    for kept in (0, 13):
        done = commanded(monkeypatch, tmp_path/"lib", "--out", tmp_path/"out")
        named = [line for line in done.stderr.splitlines() if line.startswith("✗")]
        assert done.exit_code == 1 and len(named) == 10 and f"{kept} known before" in done.stdout, done.output
        assert all(re.fullmatch(rf"✗ {tmp_path}/lib/\d\d.mp4: is damaged. Copy it again", line) for line in named), named
        assert f"… and 3 more; each has its row in {tmp_path}/out" in done.stderr


def test_a_missing_path_costs_its_row(tmp_path, monkeypatch):
    "As in `aivd predict`: the others are analysed, and the exit code is 1; only what can't have been meant is wrong use"
    files, gone, out = made_up(tmp_path/"lib", 3), tmp_path/"gone.mp4", ("--out", tmp_path/"out")
    done = commanded(monkeypatch, files[0], gone, *out)
    assert done.exit_code == 1 and f"{gone} can't be found; its row will say so" in done.stderr and f"✗ {gone}: can't be found. Check the path" in done.stderr, done.output
    table = pd.read_parquet(tmp_path/"out").set_index("path")
    assert table.code[str(gone)] == "missing" and table.label[str(files[0])]
    gone.write_bytes(b"clip")
    done = commanded(monkeypatch, gone, *out)
    assert done.exit_code == 0 and "1 in all: 1 " in done.stdout and not done.stderr, "it came back"
    (tmp_path/"bare").mkdir()
    alone = [commanded(monkeypatch, tmp_path/n, "--out", tmp_path/"alone").exit_code for n in ("never.mp4", "never", "never/*.mp4", "bare")]
    assert alone == [1, 1, 1, 1] and commanded(monkeypatch, tmp_path/"never", "--watch", *out).exit_code == 2


def test_an_empty_folder_costs_its_row(tmp_path, monkeypatch):
    "As in `aivd predict`: it is told by its name, the others are analysed; a watch waits for what comes into it"
    files, bare = made_up(tmp_path/"lib", 2), tmp_path/"bare"
    bare.mkdir()
    done = commanded(monkeypatch, tmp_path/"lib", bare, "--out", tmp_path/"out")
    assert done.exit_code == 1 and f"✗ {bare}: is a folder that holds no video. Name a place that holds videos; they end in one of" in done.stderr and "3 in all: " in done.stdout, done.output
    table = pd.read_parquet(tmp_path/"out").set_index("path")
    assert table.code[str(bare)] == "folder" and table.label.notna().sum() == 2
    from aivd_nb.answers import find_clips
    assert [(c.file, c.problem) for c in find_clips([str(bare)])] == [(str(bare), "is a folder that holds no video")]


def test_bundles_side_by_side(tmp_path):
    made_up(tmp_path/"lib", 20)
    for name in ("one@1", "two@2", "one@1"): last = scan([tmp_path/"lib"], tmp_path/"out", loader=stub(), bundle=name, workers=1)
    table = pd.read_parquet(tmp_path/"out")
    assert last.kept == 20 and table.groupby("bundle").size().to_dict() == {"one@1": 20, "two@2": 20} and not table.duplicated(["path", "bundle"]).any()


def test_watch(tmp_path):
    "A drop folder: what is being written waits, what is written gets its row while the watch goes on, what changes is done again"
    lib, out, stop = tmp_path/"lib", tmp_path/"out", threading.Event()
    files = made_up(lib, 5)
    for f in files: os.utime(f, (1e9, 1e9))
    found, told = [], []
    watching = threading.Thread(target=lambda: found.append(scan([lib], out, loader=stub(), bundle="stub", workers=1, watch=True, stop=stop, told=lambda *row: told.append(row))))
    watching.start()
    count = lambda: len(pd.read_parquet(out)) if list(out.glob("part-*")) else 0
    assert until(lambda: count() == 5)
    slow = lib/"slow.mp4"
    with open(slow, "wb") as f:
        for i in range(14):
            f.write(b"BAD" if not i else b"x")
            f.flush()
            time.sleep(.5)
            assert count() == 5, "picked up while it was written"
    assert until(lambda: count() == 6)
    slow.write_bytes(b"changed")
    assert until(lambda: pd.read_parquet(out).set_index("path").code[str(slow)] is None or pd.isna(pd.read_parquet(out).set_index("path").code[str(slow)]))
    stop.set()
    watching.join(30)
    assert (found[0].analysed, found[0].copied, found[0].kept, len(pd.read_parquet(out))) == (6, 1, 0, 6)
    assert len(told) == 7 and told.count((str(slow), "is damaged")) == 1, told


def test_two_nodes_one_lost(tmp_path):
    "Ray on two nodes with the real detector: the rows of the local engine to the bit, though a node is killed on the way"
    lib = library(tmp_path/"lib", sorted(make_dataset(tmp_path/"clips", 12, frames=40, size=(256, 256)).rglob("*.mp4")), 30, broken=.1, repeats=.25)
    here = scan([lib], tmp_path/"local", bundle="efficientnet_lite0", workers=2)
    files, lost = sorted(lib.rglob("*.mp4")), []
    cluster, node = two_nodes()
    threading.Thread(target=lose_a_node, args=(tmp_path/"ray", cluster, node, 1, lost), daemon=True).start()
    try:
        there = scan([lib], tmp_path/"ray", bundle="efficientnet_lite0", engine="ray", address=cluster.address)
        assert until(lambda: lost), "no node was lost"
        same(rows(tmp_path/"local"), rows(tmp_path/"ray"), files)
        assert (there.videos, there.failed) == (here.videos, here.failed) == (30, 3)
        again = scan([lib], tmp_path/"ray", bundle="efficientnet_lite0", engine="ray", address=cluster.address)
        assert again.kept == 30 and not again.analysed
    finally: cluster.shutdown()


def test_rows_cost_the_same_however_many(tmp_path):
    "Time a row and memory of the driver, 300 rows and 6,000; load_scan.py has 100,000"
    code = STUB_SCAN.format(tests=str(TESTS), lib="{lib}", out="{out}", seconds=0) + "\nimport resource; print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    found = {}
    for n in (300, 6000):
        made_up(tmp_path/f"lib{n}", n)
        done = subprocess.run([sys.executable, "-c", code.format(lib=tmp_path/f"lib{n}", out=tmp_path/f"out{n}")], capture_output=True, text=True)
        assert f"{n:,} in all" in done.stdout, done.stdout + done.stderr
        found[n] = int(done.stdout.split("peak")[1])/1024
    assert found[6000] - found[300] < 40, found


@pytest.mark.skipif(SHARED is None, reason="the collection of real clips is not at hand")
def test_real_clips_get_the_verdicts_of_predict(tmp_path):
    clips = sorted((SHARED/"data"/"originals").iterdir())[::2]
    scan(clips, tmp_path/"out", bundle="efficientnet_lite0", workers=2)
    table = pd.read_parquet(tmp_path/"out").set_index("path")
    for v in Detector.load("efficientnet_lite0").predict_many([str(c) for c in clips]):
        row = table.loc[v.file]
        if not hasattr(v, "label"): assert (row.code, row.problem, row.remedy) == (v.code, v.problem, v.remedy)
        else: assert abs(row.probability - v.probability) < 1.01e-4 and len(row.timeline) == len(v.timeline) and row.code is None or pd.isna(row.code)
