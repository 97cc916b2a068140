"""What a scan bears and what it costs; minutes on two cores, so it is run by hand, and `nbs/howto/scan_with_ray.ipynb` shows the CSVs that it writes.

    python tests/load_scan.py library nbs/howto     1,000 clips: local, Ray with a node lost, killed ten times; needs the collection in AIVD_SHARED
    python tests/load_scan.py throughput nbs/howto  clips a second beside `predict_many`, and what Ray adds
    python tests/load_scan.py rows nbs/howto        100,000 videos and a detector that costs nothing: time a row, memory of the driver
    python tests/load_scan.py tasks nbs/howto       what Ray costs a task, with a detector that costs nothing
"""
import csv, json, os, random, shutil, signal, subprocess, sys, tempfile, threading, time
from pathlib import Path

import numpy as np
import pandas as pd

from aivd_nb.core import cpu_count, shared_data
from aivd_nb.scan import scan
from aivd_nb.scan_store import scan_schema

TESTS = Path(__file__).resolve().parent
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


def run_library(to, bundle="embedded", n=1000):
    "Local, Ray with a loss, killed ten times: one table"
    data = shared_data()/"data"
    clips = [data/r["file_path"] for r in csv.DictReader(open(data/"labels.csv", encoding="utf-8"))]
    with tempfile.TemporaryDirectory() as d:
        d, found, rng = Path(d), [], random.Random(1)
        lib = library(d/"library", clips, n)
        files = sorted(lib.rglob("*.mp4"))
        here = scan([lib], d/"local", bundle=bundle, progress=True)
        table = rows(d/"local")
        found.append(("local", len(table), int(table.error.notna().sum()), here.analysed, here.copied, "", round(here.seconds, 1)))
        print(here, flush=True)
        there, lost = ray_with_a_loss(lib, d/"ray", n//4, bundle=bundle)
        assert lost, "the scan ended before the node was lost"
        same(table, rows(d/"ray"), files)
        found.append(("ray, two nodes, one lost", len(table), int(table.error.notna().sum()), there.analysed, there.copied, "", round(there.seconds, 1)))
        print(there, flush=True)
        command = [sys.executable, "-m", "aivd_nb.cli", "scan", lib, "--out", d/"killed", "--bundle", bundle]
        begun, standing = time.monotonic(), []
        while len(standing) < 10: standing.append(killed(command, d/"killed", (here.seconds/20, here.seconds/6), rng)); print(standing, flush=True)
        end = scan([lib], d/"killed", bundle=bundle)
        same(table, rows(d/"killed"), files)
        found.append(("local, killed ten times", len(table), int(table.error.notna().sum()), end.analysed, end.copied, " ".join(map(str, standing)), round(time.monotonic() - begun, 1)))
    write(to/"scan_library.csv", ("run", "rows", "errors", "analysed in the last run", "copied in the last run", "rows after each kill", "seconds"), found)


if __name__ == "__main__":
    {"library": run_library, "throughput": lambda to: run_throughput(to), "rows": lambda to: run_rows(to), "tasks": lambda to: run_tasks(to)}[sys.argv[1]](Path(sys.argv[2]))
