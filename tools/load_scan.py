"""What a scan bears and what it costs; minutes on two cores, so it is run by hand, and `nbs/howto/scan_with_ray.ipynb` shows the CSVs that it writes.

    python tools/load_scan.py library nbs/howto     1,000 clips: local, Ray with a node lost, killed ten times; needs the collection in AIVD_SHARED
    python tools/load_scan.py throughput nbs/howto efficientnet_lite0  clips a second beside `predict_many`, and what Ray adds
    python tools/load_scan.py rows nbs/howto        100,000 videos and a detector that costs nothing: time a row, memory of the driver
    python tools/load_scan.py tasks nbs/howto       what Ray costs a task, with a detector that costs nothing
"""
import csv, json, os, random, shutil, signal, subprocess, sys, tempfile, threading, time
from pathlib import Path
from unittest import mock

import pandas as pd

from aivd_nb import scan as module
from aivd_nb.bench import collection
from aivd_nb.core import shared_data
from aivd_nb.detector import Detector
from aivd_nb.scan import scan
from aivd_nb.scan_store import scan_schema

TESTS = Path(__file__).resolve().parents[1]/"tests" # a detector that costs nothing lies there
sys.path[:0] = [str(TESTS)]
FACTS = [c for c in scan_schema().names if c != "timings_ms"]


def library(folder, clips, n=1000, broken=0.05, repeats=0.35, seed=0):
    "n files: clips, copies of them under other names, broken ones"
    rng, folder = random.Random(seed), Path(folder)
    bad, again = int(n*broken), int(n*repeats)
    chosen = rng.sample(list(clips), n - bad - again)
    sources = [(c, None) for c in chosen] + [(rng.choice(chosen), None) for _ in range(again)] + [(rng.choice(chosen), rng.random()) for _ in range(bad)]
    rng.shuffle(sources)
    for i, (c, cut) in enumerate(sources):
        to = folder/f"{i % 25:02d}"/f"{i:05d}.mp4"
        to.parent.mkdir(parents=True, exist_ok=True)
        content = Path(c).read_bytes()
        to.write_bytes(content if cut is None else content[:int(len(content)*cut)])
    return folder


def rows(out):
    "A table in an order of its own, without timings; timelines as text"
    df = pd.read_parquet(out)[FACTS].sort_values("path", ignore_index=True)
    return df.assign(timeline=[None if t is None else json.dumps(list(t)) for t in df.timeline])


def same(a, b, files):
    "Both tables have each file once, and agree in every bit but the timings"
    for t in (a, b): assert t.path.is_unique and list(t.path) == sorted(map(str, files)), (len(t), t.path.nunique(), len(files))
    pd.testing.assert_frame_equal(a, b, check_exact=True)


def two_nodes(cpus=1):
    "A Ray cluster of two nodes on this machine; the second one can be lost"
    from ray.cluster_utils import Cluster
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, "object_store_memory": 100 << 20, "include_dashboard": False})
    return cluster, cluster.add_node(num_cpus=cpus, object_store_memory=100 << 20)


def lose_a_node(out, cluster, node, after, lost):
    "A thread's work: end a node, its processes killed, when so many rows are written"
    while not Path(out).is_dir() or sum(len(pd.read_parquet(p, columns=["path"])) for p in Path(out).glob("part-*.parquet")) < after: time.sleep(.5)
    cluster.remove_node(node, allow_graceful=False)
    lost.append(time.monotonic())


def ray_with_a_loss(lib, out, after, **kw):
    "A scan on two nodes, one of which is lost on the way"
    cluster, node = two_nodes()
    lost = []
    threading.Thread(target=lose_a_node, args=(out, cluster, node, after, lost), daemon=True).start()
    try: return scan([lib], out, engine="ray", address=cluster.address, **kw), lost
    finally: cluster.shutdown()


def killed(command, out, seconds, rng):
    "Start a scan and kill its driver at a random moment; what stands in the table then, or None where it had ended before"
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        child.wait(rng.uniform(*seconds))
        return None
    except subprocess.TimeoutExpired: child.send_signal(signal.SIGKILL)
    child.wait()
    if not list(Path(out).glob("part-*.parquet")): return 0 # killed before the first part
    paths = pd.read_parquet(out)["path"]
    assert paths.is_unique
    return len(paths)


def write(file, header, lines):
    with open(file, "w", newline="", encoding="utf-8") as f: csv.writer(f, lineterminator="\n").writerows([header, *lines])
    print(Path(file).read_text(encoding="utf-8"))


def run_library(to, bundle="efficientnet_lite0", n=1000):
    "Local, Ray with a loss, killed ten times: one table"
    data = shared_data()/"data"
    clips = [data/r["file_path"] for r in csv.DictReader(open(data/"labels.csv", encoding="utf-8"))]
    with tempfile.TemporaryDirectory() as d:
        d, found, rng = Path(d), [], random.Random(1)
        lib = library(d/"library", clips, n)
        files = sorted(lib.rglob("*.mp4"))
        here = scan([lib], d/"local", bundle=bundle, progress=True)
        table = rows(d/"local")
        found.append(("local", len(table), int(table.code.notna().sum()), here.analysed, here.copied, "", round(here.seconds, 1)))
        print(here, flush=True)
        there, lost = ray_with_a_loss(lib, d/"ray", n//4, bundle=bundle)
        assert lost, "the scan ended before the node was lost"
        same(table, rows(d/"ray"), files)
        found.append(("ray, two nodes, one lost", len(table), int(table.code.notna().sum()), there.analysed, there.copied, "", round(there.seconds, 1)))
        print(there, flush=True)
        command = [sys.executable, "-m", "aivd_nb.cli", "scan", lib, "--out", d/"killed", "--bundle", bundle]
        begun, standing = time.monotonic(), []
        while len(standing) < 10: standing.append(killed(command, d/"killed", (2.5, 2.5 + here.seconds/25), rng)); print(standing, flush=True)
        end = scan([lib], d/"killed", bundle=bundle)
        same(table, rows(d/"killed"), files)
        found.append(("local, killed ten times", len(table), int(table.code.notna().sum()), end.analysed, end.copied, " ".join(map(str, standing)), round(time.monotonic() - begun, 1)))
    write(to/"scan_library.csv", ("run", "rows", "errors", "analysed in the last run", "copied in the last run", "rows after each kill", "seconds"), found)


def timed(work, n, edge=20):
    "Seconds until the first answer, and milliseconds from one answer to the next in between: what starts and what ends is left out"
    begun, at = time.perf_counter(), []
    work(lambda: at.append(time.perf_counter()))
    assert len(at) == n, len(at)
    return round(at[0] - begun, 2), round(1000*(at[-edge] - at[edge])/(n - 2*edge), 1), round(time.perf_counter() - begun, 1)


def scanned(clips, out, bundle, engine):
    "Work for `timed`: a scan that tells of each answer"
    take = module._Run.take
    def work(tell):
        with mock.patch.object(module._Run, "take", lambda self, a: (tell(), take(self, a))[1]): scan(clips, out, bundle=bundle, workers=2, engine=engine)
    return work


def run_throughput(to, bundle, n=160):
    "The same clips in turn: `predict_many` as `aivd bench` times it, the local engine with two workers, Ray with two"
    found = []
    with tempfile.TemporaryDirectory() as d:
        d, detector = Path(d), Detector.load(bundle)
        clips = [shutil.copy(c, d/f"{i:03d}.mp4") for i, c in enumerate(collection(n, d/"drawn"))]
        for turn in range(3):
            for engine in ("predict_many", "local", "ray") if not turn else ("predict_many", "local"):
                many = lambda tell: [tell() for _ in detector.predict_many(clips)]
                found.append((bundle, engine, turn, n, *timed(many if engine == "predict_many" else scanned(clips, d/f"{engine}{turn}", bundle, engine), n)))
                print(found[-1], flush=True)
    file = to/"scan_throughput.csv"
    old = [r for r in list(csv.reader(file.open(encoding="utf-8")))[1:] if r[0] != bundle] if file.exists() else []
    write(file, ("bundle", "engine", "round", "clips", "seconds to the first answer", "ms a clip", "seconds"), [*old, *found])


def tiny(folder, n):
    "n files that the stub tells apart"
    for i in range(n):
        to = folder/f"{i // 1000:03d}"/f"{i:06d}.mp4"
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(b"clip %d" % i)
    return folder


ROWS = """import sys, time; sys.path[:0] = [{tests!r}]
from scan_stub import stub
from aivd_nb import scan as module
from aivd_nb.scan import scan
begun, flush = time.monotonic(), module._Run.flush
def rss(): return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1])/1024
def watched(self, always=False):
    before = self.flushed
    flush(self, always)
    if self.flushed != before: print("at", self.summary.videos, round(time.monotonic() - begun, 2), round(rss(), 1))
module._Run.flush = watched
for _ in range(2): print("end", scan([{lib!r}], {out!r}, loader=stub(), bundle="stub", workers=2, progress=False).seconds)"""


def run_rows(to):
    "1,000, 10,000 and 100,000 videos with a detector that costs nothing: the driver's time and memory, and what it costs to find that nothing is to do"
    lines = []
    for n in (1_000, 10_000, 100_000):
        with tempfile.TemporaryDirectory() as d:
            lib = tiny(Path(d)/"library", n)
            done = subprocess.run([sys.executable, "-c", ROWS.format(tests=str(TESTS), lib=str(lib), out=f"{d}/out")], capture_output=True, text=True, check=True).stdout
            at = [l.split()[1:] for l in done.splitlines() if l.startswith("at")]
            lines += [(n, "row", *a) for a in at[::max(1, len(at)//60)]]
            first, again = (float(l.split()[1]) for l in done.splitlines() if l.startswith("end"))
            lines += [(n, "first run", n, round(first, 2), ""), (n, "again", n, round(again, 2), "")]
            table = pd.read_parquet(f"{d}/out", columns=["path"])
            assert table.path.nunique() == len(table) == n
            print(lines[-2:], flush=True)
    write(to/"scan_rows.csv", ("videos", "what", "rows", "seconds", "driver MiB"), lines)


def run_tasks(to):
    "A detector that costs nothing: seconds for 1,000 and for 5,000 videos on either engine"
    found = []
    with tempfile.TemporaryDirectory() as d:
        for n in (1_000, 5_000):
            lib = tiny(Path(d)/str(n), n)
            for engine in ("local", "ray"):
                from scan_stub import stub
                found.append((engine, n, round(scan([lib], f"{d}/{engine}{n}", loader=stub(), bundle="stub", workers=2, engine=engine).seconds, 2)))
                print(found[-1], flush=True)
    write(to/"scan_tasks.csv", ("engine", "videos", "seconds"), found)


if __name__ == "__main__":
    {"library": run_library, "throughput": run_throughput, "rows": run_rows, "tasks": run_tasks}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
