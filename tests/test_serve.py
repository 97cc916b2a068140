"""The server as an operator runs it: over a socket, as a process, with files that hang, eat, crash and fill, and killed in the middle of its work."""
import http.client, json, os, re, resource, shutil, signal, socket, struct, subprocess, threading, time
from functools import partial
from pathlib import Path

import pytest
from conftest import BIN, ROOT

from aivd_nb.app import create_app, make_server
from aivd_nb.app_config import AppConfig, config_table
from aivd_nb.job_store import FINISHED
from aivd_nb.synth import camera_frames, generated_frames, write_clip
from faulty import OnDemand, Slow
from fuzz_clips import fuzz


class Serving:
    "An app behind a real socket"
    def __init__(self, folder, detector="efficientnet_lite0", workers=1, rate="", **config):
        self.app = create_app(detector, AppConfig(data=str(folder), port=0, workers=workers, rate=rate, **config), open(folder.parent/f"{folder.name}.log", "w"))
        self.service, self.server, self.folder = self.app.extensions["aivd"], make_server(self.app), folder
        threading.Thread(target=self.server.run, daemon=True).start()
        self.at = "127.0.0.1", self.server.effective_port
    def close(self): self.server.close(); self.service.close()
    def ask(self, method, path, body=None, headers={}, source=None):
        return ask(self.at, method, path, body, headers, source)
    def send(self, data, **more): return post(self.at, data, **more)
    def finished(self, id, seconds=60): return finished(self.at, id, seconds)
    def leftovers(self): return [p for p in (self.folder/"uploads").rglob("*") if p.is_file()]


def ask(at, method, path, body=None, headers={}, source=None):
    "(status, headers, body) of one request"
    c = http.client.HTTPConnection(*at, timeout=60, source_address=(source, 0) if source else None)
    c.request(method, path, body, headers, encode_chunked=headers.get("Transfer-Encoding") == "chunked")
    r = c.getresponse()
    body = r.read()
    c.close()
    return r.status, r.headers, json.loads(body) if "json" in r.headers.get("Content-Type", "") else body


def form(data): return b'--XX\r\nContent-Disposition: form-data; name="file"; filename="clip.mp4"\r\n\r\n' + data + b"\r\n--XX--\r\n"

def post(at, data, headers={}, **more):
    return ask(at, "POST", "/api/v1/jobs", form(data), {"Content-Type": "multipart/form-data; boundary=XX"} | headers, **more)


def finished(at, id, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job = ask(at, "GET", f"/api/v1/jobs/{id}")[2]
        if job.get("state") in FINISHED: return job
        time.sleep(0.05)
    raise TimeoutError(job)


@pytest.fixture(scope="module")
def clip(tmp_path_factory): return write_clip(tmp_path_factory.mktemp("clip")/"clip.mp4", camera_frames(50, (320, 240))).read_bytes()


def crafted(clip, wish): return clip + struct.pack(">I4s8s", 16, b"free", wish.encode().rjust(8, b"\0"))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    s = Serving(tmp_path_factory.mktemp("real")/"data", max_mb=2)
    yield s
    s.close()


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    s = Serving(tmp_path_factory.mktemp("faulty")/"data", OnDemand, workers=2, wall_s=10, cpu_s=3, memory_mb=1024)
    yield s
    s.close()


# ---- over the socket

def test_upload_by_chunks_and_verdict_over_the_stream(real, clip):
    "A body without a length, and the events of its job"
    body = form(clip)
    parts = (body[i:i+50_000] for i in range(0, len(body), 50_000))
    status, _, job = real.ask("POST", "/api/v1/jobs", parts, {"Content-Type": "multipart/form-data; boundary=XX", "Transfer-Encoding": "chunked"})
    assert status == 202
    status, headers, body = real.ask("GET", f"/api/v1/jobs/{job['id']}/events")
    events = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]
    assert status == 200 and headers["Content-Type"].startswith("text/event-stream")
    assert events[-1]["state"] == "done" and events[-1]["verdict"]["bundle"] == "efficientnet_lite0"
    assert [e["progress"] for e in events] == sorted(e["progress"] for e in events)
    assert real.leftovers() == []


def test_no_header_or_text_tells_of_server_or_paths(real, clip):
    for method, path, body in (("GET", "/", None), ("GET", "/api/v1/none", None), ("POST", "/api/v1/jobs", b"x"), ("PATCH", "/", None), ("GET", "/static/../app.py", None), ("GET", "/%00", None), ("GET", "/api/v1/jobs/'%20or%201=1/frames/0", None)):
        status, headers, text = real.ask(method, path, body)
        assert status < 500 and "Server" not in headers and "X-Powered-By" not in headers
        shown = json.dumps(text) if isinstance(text, dict) else text.decode()
        assert not re.search(r"Traceback|werkzeug|waitress|site-packages|File \"", shown, re.I) and str(real.folder) not in shown


def test_what_is_no_http_is_answered_as_a_problem(real):
    with socket.create_connection(real.at, timeout=10) as s:
        s.sendall(b"GARBAGE\r\n\r\n")
        answer = b"".join(iter(partial(s.recv, 10_000), b""))
    assert b" 400 " in answer.splitlines()[0] and b"urn:aivd-nb:problem" in answer and b"waitress" not in answer


def test_many_parts_and_large_fields_are_refused(real, clip):
    field = b'--XX\r\nContent-Disposition: form-data; name="x"\r\n\r\n'
    head = {"Content-Type": "multipart/form-data; boundary=XX"}
    for body in (20*(field + b"1\r\n") + b"--XX--\r\n", field + bytes(1 << 20) + b"\r\n--XX--\r\n"):
        status, _, problem = real.ask("POST", "/api/v1/jobs", body, head)
        assert status == 413 and problem["code"] == "too_large"
    assert real.leftovers() == []


def test_broken_off_upload_leaves_nothing(real, clip):
    with socket.create_connection(real.at, timeout=10) as s:
        s.sendall(b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=XX\r\nContent-Length: 1000000\r\n\r\n--XX\r\n" + clip[:1000])
    assert real.ask("GET", "/api/v1/health")[0] == 200 and real.leftovers() == []


def test_rate_is_by_client(tmp_path, clip):
    s = Serving(tmp_path/"data", rate="3 per minute", detector=partial(Slow, 0))
    try:
        assert [s.send(clip + bytes([i]))[0] for i in range(4)] == [202, 202, 202, 429]
        assert s.send(clip, source="127.0.0.2")[0] == 202
        status, headers, problem = s.send(clip)
        assert problem["code"] == "rate" and int(headers["Retry-After"]) > 0
    finally: s.close()


def test_a_full_queue_pushes_back(tmp_path, clip):
    s = Serving(tmp_path/"data", partial(Slow, 600), queue=4) # of which one client may have half
    try:
        first = s.send(clip + b"0")[2]
        while s.ask("GET", f"/api/v1/jobs/{first['id']}")[2]["state"] != "running": time.sleep(0.05)
        assert [s.send(clip + bytes([i]))[0] for i in (1, 2)] == [202, 202]
        status, headers, problem = s.send(clip + b"3")
        assert (status, problem["code"]) == (429, "busy") and 1 <= int(headers["Retry-After"]) <= 60
        assert s.ask("DELETE", f"/api/v1/jobs/{first['id']}")[0] == 204
    finally: s.close()


def test_schemathesis(tmp_path, clip):
    "Requests that nobody thought of, made from the OpenAPI document: every answer is one that it promises"
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.strategies import booleans
    from schemathesis.specs.openapi.checks import positive_data_acceptance # no schema can say that bytes must be a video
    s = Serving(tmp_path/"data", partial(Slow, 0), max_mb=1)
    try:
        done, tried = s.finished(s.send(clip)[2]["id"])["id"], []
        for found in schemathesis.openapi.from_wsgi("/api/v1/openapi.json", s.app).get_all_operations():
            operation = found.ok()
            @settings(max_examples=30, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), derandomize=True, database=None)
            @given(case=operation.as_strategy(), known=booleans())
            def check(case, known):
                if known and case.method == "GET" and "id" in (case.path_parameters or {}): case.path_parameters["id"] = done
                tried.append((operation.method, case.call_and_validate(excluded_checks=[positive_data_acceptance]).status_code))
            check()
        assert {("get", 200), ("get", 404), ("post", 422), ("delete", 404)} <= {(m.lower(), c) for m, c in tried}, sorted(set(tried))
    finally: s.close()


# ---- faults

@pytest.mark.parametrize("wish, code", [("HANG", "timeout"), ("EAT", "memory"), ("SPIN", "timeout"), ("CRASH", "crash")])
def test_a_file_that_breaks_its_decoder_breaks_nothing_else(faulty, clip, wish, code):
    bad = faulty.send(crafted(clip, wish))[2]
    good = [faulty.send(clip + wish.encode() + bytes([i]))[2] for i in range(3)]
    assert [faulty.finished(g["id"])["state"] for g in good] == ["done"]*3
    job = faulty.finished(bad["id"])
    assert (job["state"], job["error"]["code"]) == ("failed", code) and job["error"]["remedy"]
    assert faulty.ask("GET", "/api/v1/health")[0] == 200 and faulty.leftovers() == []


def test_a_killed_worker_is_replaced(faulty, clip):
    "The clip that it had is lost and says so, the next one is answered"
    for _ in range(2): assert faulty.finished(faulty.send(crafted(clip, "KILL"))[2]["id"])["state"] in ("failed", "done")
    hang = faulty.send(crafted(clip, "HANG"))[2]["id"]
    while faulty.ask("GET", f"/api/v1/jobs/{hang}")[2]["state"] != "running": time.sleep(0.05)
    for pid in keepers(os.getpid()): os.kill(pid, signal.SIGKILL)
    assert faulty.finished(hang)["error"]["code"] == "crash"
    assert faulty.finished(faulty.send(clip + b"after")[2]["id"])["state"] == "done"
    assert faulty.leftovers() == []


def keepers(parent):
    "Processes of this server that keep a detector"
    found = []
    for p in Path("/proc").glob("[0-9]*"):
        try: stat, cmd = (p/"stat").read_text().rsplit(")", 1)[1].split(), (p/"cmdline").read_bytes()
        except OSError: continue
        if int(stat[1]) == parent and b"keeper_main" in cmd: found.append(int(p.name))
    return found


def test_a_full_disk_is_an_answer(tmp_path, clip):
    "Files can't grow over 1 MB: an upload that needs more is refused, a small one is served, nothing is left"
    s = Serving(tmp_path/"data", partial(Slow, 0), max_mb=8)
    old, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, old[1]))
        client = s.app.test_client() # waitress would buffer the body in a file of its own
        send = lambda data: client.post("/api/v1/jobs", data=form(data), content_type="multipart/form-data; boundary=XX")
        r = send(clip + bytes(3_000_000))
        assert (r.status_code, r.json["code"]) == (507, "storage") and s.leftovers() == []
        r = send(clip)
        assert r.status_code == 202
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert s.finished(r.json["id"])["state"] == "done"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old); signal.signal(signal.SIGXFSZ, ignored)
        s.close()


# ---- the command

def started(folder, *args, **env):
    "`aivd serve` as a process: (process, address)"
    p = subprocess.Popen([BIN/"aivd", "serve", "--port", "0", *args], stderr=subprocess.PIPE, text=True, env=os.environ | {"AIVD_SERVE_DATA": str(folder), "AIVD_SERVE_BUNDLE": "efficientnet_lite0", "AIVD_SERVE_WORKERS": "1"} | env)
    line = next((l for l in p.stderr if "Serving on" in l or l.startswith("aivd:")), "")
    found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
    assert found, line
    threading.Thread(target=lambda: [None for _ in p.stderr], daemon=True).start()
    return p, ("127.0.0.1", int(found[1]))


def test_killed_in_the_middle_and_restarted(tmp_path, clip):
    "What was finished is there, what was not says so, no process and no upload is left behind"
    slow = write_clip(tmp_path/"slow.mp4", generated_frames(90, (1280, 720))).read_bytes()
    p, at = started(tmp_path/"data")
    done = post(at, clip)[2]["id"]
    verdict = finished(at, done)["verdict"]
    cut = [post(at, slow + bytes([i]))[2]["id"] for i in range(3)]
    while ask(at, "GET", f"/api/v1/jobs/{cut[0]}")[2]["state"] != "running": time.sleep(0.01)
    kept = keepers(p.pid)
    p.kill(); p.wait()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{k}").exists() for k in kept) and time.monotonic() < end: time.sleep(0.05)
    assert kept and not any(Path(f"/proc/{k}").exists() for k in kept)
    p, at = started(tmp_path/"data")
    try:
        assert ask(at, "GET", f"/api/v1/jobs/{done}")[2]["verdict"] == verdict
        jobs = [ask(at, "GET", f"/api/v1/jobs/{c}")[2] for c in cut]
        assert jobs[-1]["state"] == "interrupted" and jobs[-1]["error"]["remedy"] == "Send it again" and {j["state"] for j in jobs} <= {"interrupted", "done"}
        assert [q for q in (tmp_path/"data"/"uploads").rglob("*") if q.is_file()] == []
        again = finished(at, post(at, clip)[2]["id"])
        assert again["verdict"] == verdict # word for word, timings, too: it was kept
    finally: p.terminate()
    assert p.wait(30) == 0


def test_relative_paths_mean_the_folder_of_the_start(tmp_path, clip, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT/"aivd_nb"/"bundles"/"efficientnet_lite0", tmp_path/"my")
    s = Serving(Path("data"), None, bundle="./my")
    try: job = s.finished(s.send(clip)[2]["id"])
    finally: s.close()
    assert job["state"] == "done" and (tmp_path/"data"/"jobs.sqlite").is_file(), job


def test_documented_commands_work(tmp_path, clip):
    "Every curl in the how-to, against a server"
    text = json.loads((ROOT/"nbs"/"howto"/"deploy_web_app.ipynb").read_text(encoding="utf-8"))
    shell = [b for c in text["cells"] for b in re.findall(r"(?ms)^```bash\n(.*?)^```", "".join(c["source"])) if "curl" in b]
    assert len(shell) >= 2
    (tmp_path/"clip.mp4").write_bytes(clip)
    p, at = started(tmp_path/"data")
    try:
        for block in shell:
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", block.replace("127.0.0.1:8000", f"127.0.0.1:{at[1]}")], cwd=tmp_path, capture_output=True, text=True, timeout=120, env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"})
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
            assert "problem" not in done.stdout, done.stdout
    finally: p.terminate(); p.wait(30)


def test_settings_are_documented():
    "The table of the how-to is the one that the settings make"
    text = json.loads((ROOT/"nbs"/"howto"/"deploy_web_app.ipynb").read_text(encoding="utf-8"))
    assert config_table() in "\n".join("".join(c["source"]) for c in text["cells"]), "put the output of `config_table()` into nbs/howto/deploy_web_app.ipynb"


# ---- a sample of the fuzz run; the whole is `python tools/fuzz_clips.py`

def test_mutated_clips(tmp_path):
    counts = fuzz(60, 1, tmp_path)
    assert sum(counts.values()) == 60 and len({outcome for _, outcome in counts}) > 2
