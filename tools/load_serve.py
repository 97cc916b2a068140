"""200 uploads of 20 clients against `aivd serve` on loopback: `python tools/load_serve.py nbs/howto/deploy_load.csv`. Ends with an error where a job is lost, an answer is a 5xx, or memory grows."""
import csv, http.client, json, os, re, subprocess, sys, tempfile, threading, time
from pathlib import Path

import numpy as np
from aivd_nb.core import cpu_count
from aivd_nb.synth import camera_frames, encode, make_broken

CLIENTS, UPLOADS = 20, 200


def files(folder):
    "Contents of 200 uploads, no two alike: four of five are good, of three sizes; the others are cut off, a text, a single frame, or noise in a head of an mp4"
    good = [encode(folder/f"{w}.mp4", camera_frames(125, (w, h), seed=w), "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p").read_bytes() for w, h in ((640, 360), (854, 480), (1280, 720))]
    bad = [make_broken(folder, k).read_bytes() for k in ("truncated", "not_a_video", "too_few_frames")] + [good[0][:2000] + np.random.default_rng(0).bytes(20_000)]
    pick = lambda i: bad[i//5 % 4] if i % 5 == 4 else good[i % 3]
    return [pick(i) + f"\0\0\0\x10free{i:08d}".encode() for i in range(UPLOADS)]


def ask(at, source, method, path, body=None, headers={}):
    c = http.client.HTTPConnection(*at, timeout=300, source_address=(source, 0))
    c.request(method, path, body, headers)
    r = c.getresponse()
    body = r.read()
    c.close()
    return r.status, r.headers, body


def client(at, i, contents, rows):
    "Send one file after the other and wait for each answer on its stream; come again where asked to"
    source = f"127.0.0.{i + 2}"
    for data in contents:
        body = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="c.mp4"\r\n\r\n' + data + b"\r\n--XX--\r\n"
        start, waits = time.monotonic(), 0
        while True:
            status, headers, answer = ask(at, source, "POST", "/api/v1/jobs", body, {"Content-Type": "multipart/form-data; boundary=XX"})
            if status not in (429, 503): break
            waits += 1
            time.sleep(int(headers["Retry-After"]))
        state = "refused"
        if status == 202:
            job = json.loads(answer)
            while job["state"] in ("queued", "running"):
                s, _, stream = ask(at, source, "GET", job["links"]["events"])
                if s == 503: time.sleep(0.5)
                s, _, answer = ask(at, source, "GET", job["links"]["self"])
                if s != 200: status = s; break
                job = json.loads(answer)
            state = job["state"]
        rows.append((status, state, time.monotonic() - start, waits))


def family(pid):
    "A process and those that it started"
    found = [pid]
    for t in Path(f"/proc/{pid}/task").glob("*"):
        try: found += [q for c in (t/"children").read_text().split() for q in family(int(c))]
        except OSError: pass
    return found

def memory(pid):
    "MiB that a process and its children hold, shared pages counted once"
    kib = 0
    for p in family(pid):
        try: kib += int(re.search(r"(?m)^Pss:\s+(\d+)", Path(f"/proc/{p}/smaps_rollup").read_text())[1])
        except (OSError, TypeError): pass
    return kib/1024

def cpu(pid):
    "Processor seconds of a process and its children, ended ones included"
    ticks = 0
    for p in family(pid):
        try: ticks += sum(map(int, Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()[11:15]))
        except OSError: pass
    return ticks/os.sysconf("SC_CLK_TCK")


BARE = """
import os, sys, time
from aivd_nb.detector import Detector
d = Detector.load("efficientnet_lite0")
list(d.predict_many(sys.argv[1:4]))
start, used = time.monotonic(), sum(os.times()[:2])
n = sum(1 for _ in d.predict_many(sys.argv[1:]))
print(n/(time.monotonic() - start), sum(os.times()[:2]) - used)
"""

def bare(paths):
    "(files a second, processor seconds) of the detector alone"
    done = subprocess.run([sys.executable, "-c", BARE, *map(str, paths)], capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))


def serve(folder):
    env = os.environ | {"AIVD_SERVE_DATA": str(folder), "AIVD_SERVE_BUNDLE": "efficientnet_lite0", "AIVD_SERVE_PORT": "0"}
    p = subprocess.Popen([sys.executable, "-m", "aivd_nb.cli", "serve"], stderr=subprocess.PIPE, text=True, env=env)
    line = next(l for l in p.stderr if "Serving on" in l)
    threading.Thread(target=lambda: [None for _ in p.stderr], daemon=True).start()
    return p, ("127.0.0.1", int(re.search(r":(\d+)", line)[1]))


def load(at, contents):
    rows = []
    threads = [threading.Thread(target=client, args=(at, i, contents[i::CLIENTS], rows)) for i in range(CLIENTS)]
    start = time.monotonic()
    for t in threads: t.start()
    for t in threads: t.join()
    return rows, time.monotonic() - start


def main(out):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        contents = files(folder)
        paths = [folder/f"upload-{i}.mp4" for i in range(UPLOADS)]
        for p, d in zip(paths, contents): p.write_bytes(d)
        before = bare(paths)
        p, at = serve(folder/"data")
        try:
            load(at, [c + b"\0\0\0\x08free" for c in contents[:40]]) # warm up: threads, caches
            held, used = memory(p.pid), cpu(p.pid)
            rows, seconds = load(at, contents)
            used = cpu(p.pid) - used
            time.sleep(2)
            after, left = memory(p.pid), [q for q in (folder/"data"/"uploads").rglob("*") if q.is_file()]
        finally: p.terminate(); p.wait()
        again = bare(paths)
    alone, own = (before[0] + again[0])/2, (before[1] + again[1])/2
    times = np.array([t for *_, t, _ in rows])
    found = {"processors": cpu_count(), "uploads": len(rows), "clients": CLIENTS, "done": sum(s == "done" for _, s, *_ in rows), "failed (bad clips)": sum(s == "failed" for _, s, *_ in rows), "refused at once (bad clips)": sum(s == "refused" for _, s, *_ in rows),
        "answers 5xx": sum(c >= 500 for c, *_ in rows), "told to come again (429)": sum(w for *_, w in rows), "seconds": round(seconds, 1), "latency p50, s": round(float(np.median(times)), 2), "latency p95, s": round(float(np.quantile(times, .95)), 2),
        "uploads a second": round(len(rows)/seconds, 2), "bare detector, files a second": round(alone, 2), "share of the bare detector's throughput": round(len(rows)/seconds/alone, 2), "processor seconds, server": round(used, 1), "processor seconds, bare detector": round(own, 1),
        "memory before, MiB": round(held), "memory after, MiB": round(after), "uploads left behind": len(left)}
    with open(out, "w", newline="", encoding="utf-8") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerows([("measure", "value"), *found.items()])
    print(json.dumps(found, indent=1))
    assert len(rows) == UPLOADS and found["done"] + found["failed (bad clips)"] + found["refused at once (bad clips)"] == UPLOADS and found["done"] == UPLOADS*4//5, "a job was lost"
    assert not found["answers 5xx"] and not left and after < 1.15*held + 20, "5xx, leftovers or growing memory"


if __name__ == "__main__": main(sys.argv[1])
