"""What a stranger would try, on loopback, bounded in number and time. Each test states a promise of `nbs/explain/security.ipynb` and breaks on the code that did not keep it."""
import json, os, resource, socket, struct, subprocess, sys, time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from conftest import BIN

from aivd_nb.synth import camera_frames, write_clip
from aivd_nb.confine import family, held_here
from aivd_nb.core import ConfigError
from aivd_nb.jobs import _tidy
from faulty import Slow, Trying, weaker
from test_serve import Serving, form, keepers

KEY = {"Authorization": "Bearer 0123456789abcdef"}
HEAD = "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=XX\r\n"


@pytest.fixture(scope="module")
def clip(tmp_path_factory): return write_clip(tmp_path_factory.mktemp("clip")/"clip.mp4", camera_frames(50, (320, 240))).read_bytes()


@contextmanager
def serving(folder, detector=partial(Slow, 0), **config):
    "A server that is closed again"
    s = Serving(folder/"data", detector, **config)
    try: yield s
    finally: s.close()


def connect(at, source=None):
    "A connection, from an address of loopback"
    return socket.create_connection(at, timeout=10, source_address=(source, 0) if source else None)


def until(true, seconds=10):
    "Whether something becomes true in time"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true(): return True
        time.sleep(.05)
    return bool(true())


def log(s): return (s.folder.parent/f"{s.folder.name}.log").read_text()


# ---- connections

MANY = """
import socket, sys, time
from pathlib import Path
sys.path[:0] = [{tests!r}, {tests!r} + "/../tools"]
from test_attacks import serving, connect, partial, Slow
with serving(Path(sys.argv[1]), connections=1200, client_connections=1200) as s:
    held = [connect(s.at) for _ in range(1100)]
    for h in held: h.sendall(b"GET / HTTP/1.1\\r\\nX: ")
    print(s.ask("GET", "/api/v1/health")[0], len(s.server.active_channels))
"""

@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4000, reason="no 1,100 connections with so few descriptors")
def test_more_than_1024_connections_end_nothing(tmp_path):
    "`select` can't wait for descriptor 1024: the process ended"
    code = "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (4000, r.getrlimit(r.RLIMIT_NOFILE)[1]))\n" + MANY.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=90)
    assert done.stdout.split()[:1] == ["200"] and int(done.stdout.split()[1]) >= 1100, done.stdout + done.stderr[-2000:]


def test_a_limit_over_the_descriptors_is_told_at_start(tmp_path):
    "Not found out on the day when the server is busy"
    code = "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (600, 600))\n" + MANY.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=90)
    assert done.returncode and "lower the setting 'connections'" in done.stderr


def test_half_open_connections_keep_nobody_out(tmp_path):
    "Some clients hold all places with heads that never end; another is answered at once, and the heads have their time"
    with serving(tmp_path, connections=24, client_connections=12, head_s=2) as s, ExitStack() as held:
        slow = [held.enter_context(connect(s.at, f"127.0.0.{2 + i//12}")) for i in range(36)]
        for h in slow: h.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(3):
            assert s.ask("GET", "/api/v1/health", source="127.0.0.9")[0] == 200
            for h in slow:
                try: h.sendall(b"X")
                except OSError: pass
            time.sleep(.2)
        assert until(lambda: not s.server.active_channels, 6)


def test_one_client_has_so_many_connections(tmp_path):
    with serving(tmp_path, client_connections=5) as s, ExitStack() as held:
        for _ in range(9): held.enter_context(connect(s.at))
        assert until(lambda: len(s.server.active_channels) == 5) and s.ask("GET", "/api/v1/health", source="127.0.0.2")[0] == 200


def test_blank_lines_and_slow_bodies_have_an_end(tmp_path):
    "Neither a line without a request nor a byte a second of a body keeps a place"
    with serving(tmp_path, head_s=1, min_kib_s=100) as s, ExitStack() as held:
        s.server.rules = s.server.rules.__class__(**vars(s.server.rules) | {"grace_s": 1})
        blank, body = (held.enter_context(connect(s.at)) for _ in range(2))
        body.sendall((HEAD + "Content-Length: 1000000\r\n\r\n").encode())
        for _ in range(30):
            for c in (blank, body):
                try: c.sendall(b"\r\n")
                except OSError: pass
            if not s.server.active_channels: break
            time.sleep(.2)
        assert not s.server.active_channels
        assert b" 408 " in body.recv(10_000)
        # The answer leaves a moment before its place is free
        assert until(lambda: s.service.jobs.reserved.total() == 0 and s.server.traffic.total == 0)


def test_without_descriptors_the_server_waits(tmp_path):
    "No spinning where `accept` fails, and it goes on afterwards"
    with serving(tmp_path) as s:
        real, tried = s.server.accept, []
        def none():
            tried.append(1)
            raise OSError(24, "Too many open files")
        s.server.accept = none
        with connect(s.at):
            time.sleep(1.5)
            assert 1 <= len(tried) <= 3 and "no_descriptors" in log(s)
            s.server.accept = real
            assert s.ask("GET", "/api/v1/health")[0] == 200


# ---- heads

@pytest.mark.parametrize("line, status", [("", 401), ("Origin: http://evil.example\r\n", 403), ("Origin: http://[\r\n", 403), ("Host: evil.example\r\n", 400)])
def test_a_refused_head_stores_no_body(tmp_path, line, status):
    "Key, origin and host are looked at before a byte of the body is read"
    head = HEAD.replace("Host: localhost\r\n", line) if line.startswith("Host") else HEAD + line
    with serving(tmp_path, api_key="0123456789abcdef") as s, connect(s.at) as c:
        c.sendall((head + "Content-Length: 1000000\r\n\r\n").encode())
        assert f" {status} ".encode() in c.recv(10_000) and s.server.traffic.total == 0 and s.leftovers() == []


def test_other_routes_take_no_body(tmp_path):
    with serving(tmp_path, max_mb=8) as s:
        for method, path, status in (("POST", "/none", 404), ("PUT", "/api/v1/jobs", 405), ("DELETE", "/api/v1/jobs/x", 413)):
            with connect(s.at) as c:
                c.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n".encode())
                assert f" {status} ".encode() in c.recv(10_000)


def test_a_refusal_arrives_though_the_body_is_on_its_way(tmp_path, clip):
    "The whole body is thrown away, and the client reads why"
    with serving(tmp_path, api_key="0123456789abcdef", max_mb=64) as s:
        status, _, problem = s.send(clip + bytes(30 << 20))
        assert (status, problem["code"]) == (401, "unauthorized")


def test_the_queue_and_the_rate_are_asked_by_the_head(tmp_path, clip):
    with serving(tmp_path, partial(Slow, 600), queue=1) as s, ExitStack() as held:
        first, second = (held.enter_context(connect(s.at)) for _ in range(2))
        for c in (first, second): c.sendall((HEAD + "Content-Length: 1000000\r\n\r\n").encode())
        assert b" 429 " in second.recv(10_000) and s.service.jobs.reserved.total() == 1
        first.close()
        assert until(lambda: s.service.jobs.reserved.total() == 0)


def test_bytes_on_their_way_are_bounded(tmp_path):
    "Of one client, and of all"
    with serving(tmp_path, max_mb=1, receiving_mb=2, queue=32) as s, ExitStack() as held:
        def begin(source):
            c = held.enter_context(connect(s.at, source))
            c.sendall((HEAD + "Content-Length: 1000000\r\n\r\n").encode() + bytes(900_000))
            return c
        own = [begin("127.0.0.2") for _ in range(4)]
        assert until(lambda: s.server.traffic.announced["127.0.0.2"] == 2_000_000) and b" 429 " in own[-1].recv(10_000)
        for n in range(3, 7): begin(f"127.0.0.{n}")
        time.sleep(.5)
        assert s.server.traffic.total <= 2 << 20


def test_a_full_folder_for_bodies_is_an_answer(tmp_path, clip):
    "507 and one line in the log, where writing the body fails"
    code = f"""
import resource, signal, sys
from pathlib import Path
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[1]/"tools")!r}]
from test_attacks import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with serving(Path(sys.argv[1]), max_mb=8) as s:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    status = s.send(bytes(3_000_000))[0]
    until(lambda: not s.service.jobs.reserved.total())
    print(status, log(s).count("no_room_for_uploads"), s.server.traffic.total, s.service.jobs.reserved.total())
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=90)
    assert done.stdout.split() == ["507", "1", "0", "0"], done.stdout + done.stderr[-2000:]


def test_the_loopback_address_of_ipv6_serves(tmp_path):
    if not socket.has_ipv6: pytest.skip("no IPv6")
    with serving(tmp_path, host="::1") as s:
        s.at = "::1", s.server.effective_port
        assert s.ask("GET", "/api/v1/health")[0] == 200


def test_health_knows_of_a_lost_folder(tmp_path):
    with serving(tmp_path) as s:
        s.service.folder.uploads.rename(tmp_path/"away")
        status, _, problem = s.ask("GET", "/api/v1/health")
        assert (status, problem["code"]) == (507, "storage")


def test_every_line_of_the_log_is_json_without_addresses(tmp_path, clip):
    "Waitress' own lines, too"
    import logging
    with serving(tmp_path) as s:
        s.ask("GET", "/api/v1/jobs/secret")
        try: raise ValueError("192.0.2.7")
        except ValueError: logging.getLogger("waitress").exception("Exception while serving /api/v1/jobs/secret")
        for line in log(s).splitlines(): json.loads(line)
        assert "ValueError in test_attacks" in log(s) and "192.0.2.7" not in log(s) and "secret" not in log(s)


# ---- the box

whole = pytest.mark.skipif(not held_here().whole, reason="this kernel lacks Landlock or seccomp")


def got(s, clip):
    "What a taken-over decoder could do"
    (next((s.folder/"uploads").glob("worker-*"))/"other").write_bytes(b"of somebody else")
    job = s.finished(s.send(clip)[2]["id"])
    return set(job["verdict"]["bundle"].split(", ")) if job["state"] == "done" else job["error"]["code"]


@whole
def test_a_decoder_gets_out_of_nothing(tmp_path, clip):
    "No process, no socket, no other upload, no change of a file, no shared memory"
    with serving(tmp_path, Trying, workers=1) as s:
        assert got(s, clip) == {"nothing"}
        assert s.ask("GET", "/api/v1/health")[2]["confinement"]["seccomp"] is True


def test_without_seccomp_a_process_ends_with_its_clip(tmp_path, clip):
    "It is told, and what a decoder started is found though it left its session"
    with serving(tmp_path, partial(weaker, "seccomp"), workers=1) as s:
        assert "fork" in got(s, clip)
        keeper, = keepers(os.getpid())
        assert until(lambda: not family(keeper), 5)
        assert s.ask("GET", "/api/v1/version")[2]["confinement"]["seccomp"] is False and 'aivd_confinement{part="seccomp"} 0.0' in s.ask("GET", "/metrics")[2].decode()
        assert '"seccomp": false' in log(s)


def test_without_seccomp_a_killed_box_leaves_nothing(tmp_path, clip):
    "The server ends while a decoder's child has left the session"
    with serving(tmp_path, partial(weaker, "seccomp", "hang"), workers=1, wall_s=2) as s:
        job = s.send(clip)[2]["id"]
        keeper, = keepers(os.getpid())
        assert until(lambda: len(family(keeper)) >= 2, 5)
        there = family(keeper)
        assert s.finished(job)["error"]["code"] == "timeout"
        assert until(lambda: not any(Path(f"/proc/{p}").exists() for p in there), 5)


@pytest.mark.parametrize("missing", [("landlock",), ("seccomp",), ("landlock", "seccomp")])
def test_a_kernel_that_confines_nothing_serves_nobody_else(tmp_path, missing):
    "Refused where confinement is required, which is where others can connect"
    with pytest.raises(ConfigError, match=f"has no {'Landlock' if 'landlock' in missing else 'seccomp'}"):
        Serving(tmp_path/"data", partial(weaker, *missing), workers=1, require_confinement="yes")
    with serving(tmp_path, partial(weaker, *missing), workers=1) as s: assert not s.service.jobs.held.whole


def test_python_m_opens_no_folder(tmp_path):
    "The current folder is no library, though `python -m` puts it into `sys.path`"
    (tmp_path/"secret").write_text("x")
    (tmp_path/"tries.py").write_text("from aivd_nb.confine import readable_places\nprint(*readable_places(), sep='\\n')")
    said = subprocess.run([sys.executable, "-m", "tries"], cwd=tmp_path, capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert said and str(tmp_path) not in said


# ---- files

def box(name, size, content=b""): return struct.pack(">I4sQ", 1, name, size) + content

HOSTILE = {"box": box(b"ftyp", 24, b"isom\0\0\0\0") + box(b"free", 2**64 - 1), "moov": struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + box(b"moov", 2**63 - 1)}


def test_hostile_sizes_are_one_failure_each(tmp_path, clip):
    "A box of 2^64-1 and a table of contents of 2^63-1 bytes between good clips: every clip has its answer, each time"
    names = []
    for i in range(3):
        for name, data in HOSTILE.items():
            names += [f"{name}{i}.mp4", f"good{name}{i}.mp4"]
            (tmp_path/names[-2]).write_bytes(data)
            (tmp_path/names[-1]).write_bytes(clip)
    done = subprocess.run([BIN/"aivd", "predict", "--json", *names], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stdout + done.stderr
    for name in names: assert name in done.stdout + done.stderr


def test_whatever_a_reader_raises_is_its_clips_own_failure(tmp_path, clip, monkeypatch):
    "And the others are answered; nobody waits for ever"
    from aivd_nb.core import Failure
    from aivd_nb.detector import Detector, default_bundle
    from aivd_nb.video import VideoReader
    files = [tmp_path/f"{i}.mp4" for i in range(8)]
    for f in files: f.write_bytes(clip)
    real = VideoReader.info
    def info(self):
        if Path(self.path).stem in "036": raise {"0": OverflowError, "3": RecursionError, "6": MemoryError}[Path(self.path).stem]("unforeseen")
        return real(self)
    monkeypatch.setattr(VideoReader, "info", info)
    answers = list(Detector.load(default_bundle()).predict_many(files))
    assert [isinstance(a, Failure) for a in answers] == [i in (0, 3, 6) for i in range(8)]
    assert answers[0].code == "unreadable" and answers[6].code == "memory" and "OverflowError" in answers[0].message


def test_a_featurizer_that_fails_hangs_nobody(tmp_path, clip):
    "Futures that nobody will resolve are cancelled, so that giving up ends"
    from dataclasses import replace
    from aivd_nb.detector import Detector, default_bundle
    files = [tmp_path/f"{i}.mp4" for i in range(6)]
    for f in files: f.write_bytes(clip)
    d = Detector.load(default_bundle())
    def fails(x): raise RuntimeError("unforeseen")
    assert {a.code for a in replace(d, featurizer=replace(d.featurizer, run=fails)).predict_many(files)} == {"crash"}
    start, answers = time.monotonic(), d.predict_many(files)
    next(answers)
    answers.close()
    assert time.monotonic() - start < 30


# ---- scans

def scanned(folder, *args):
    "(exit code, table) of `aivd scan` with a detector of no cost"
    import pandas as pd
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from scan_stub import stub; import aivd_nb.scan as s; run = s.scan; s.scan = lambda *a, **k: run(*a, **k | {{'loader': stub(), 'bundle': 'stub', 'workers': 1}}); from aivd_nb.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "scan", *map(str, args), "--out", str(folder/"out")], capture_output=True, text=True, timeout=120)
    return done.returncode, pd.read_parquet(folder/"out").set_index("path") if (folder/"out").is_dir() else done.stderr


def test_a_bad_entry_costs_its_own_row(tmp_path, clip):
    "A link to itself hid the folder's other videos"
    lib = tmp_path/"lib"
    lib.mkdir()
    for n in "abc": (lib/f"{n}.mp4").write_bytes(clip + n.encode())
    (lib/"loop.mp4").symlink_to("loop.mp4")
    code, table = scanned(tmp_path, lib)
    assert code == 1 and sorted(Path(p).name for p in table.index) == ["a.mp4", "b.mp4", "c.mp4", "loop.mp4"]
    assert table.code[str(lib/"loop.mp4")] == "unreadable" and table.label.notna().sum() == 3


def test_a_folder_that_cannot_be_listed_is_a_row_and_an_exit_code(tmp_path, clip, monkeypatch):
    from aivd_nb.scan_files import list_videos
    lib, real = tmp_path/"lib", os.scandir
    (lib/"closed").mkdir(parents=True)
    (lib/"a.mp4").write_bytes(clip)
    def scandir(path):
        if not isinstance(path, int) and Path(path).name == "closed": raise PermissionError(13, "Permission denied")
        return real(path)
    monkeypatch.setattr(os, "scandir", scandir) # root may list everything
    found = list(list_videos([lib]))
    assert [e.problem and e.problem[0] for e in found] == [None, "unlisted"] and found[1].path == str(lib/"closed")
    assert next(list_videos([lib/"closed"])).problem[0] == "unlisted"
    from click.testing import CliRunner
    from aivd_nb import cli, scan as scans
    from scan_stub import stub
    run = scans.scan
    monkeypatch.setattr(scans, "scan", lambda *a, **k: run(*a, **k | {"loader": stub(), "bundle": "stub", "workers": 1}))
    assert CliRunner().invoke(cli.main, ["scan", str(lib), "--out", str(tmp_path/"out")]).exit_code == 1


def test_a_glob_tells_of_the_folders_that_it_cannot_list(tmp_path, clip, monkeypatch):
    "`**` went by a closed folder in silence"
    from aivd_nb.scan_files import list_videos
    real = os.scandir
    for name in ("a.mp4", "deep/b.mp4", "closed/c.mp4", "deep/closed/d.mp4", "other/e.mov", ".hidden/f.mp4"):
        (tmp_path/"lib"/name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path/"lib"/name).write_bytes(clip)
    (tmp_path/"lib"/"link").symlink_to("deep")
    def scandir(path):
        if not isinstance(path, int) and Path(path).name == "closed": raise PermissionError(13, "Permission denied")
        return real(path)
    monkeypatch.setattr(os, "scandir", scandir) # root may list everything
    def found(pattern): return [("! " if e.problem else "") + str(Path(e.path).relative_to(tmp_path/"lib")) for e in list_videos([tmp_path/"lib"/pattern])]
    assert found("**/*.mp4") == ["a.mp4", "! closed", "deep/b.mp4", "! deep/closed"]
    assert found("*/*.mp4") == ["! closed", "deep/b.mp4", "link/b.mp4"]
    assert found("*.mp4") == ["a.mp4"] and found("d*/*.mp4") == ["deep/b.mp4"] and found("[no]*/**/*") == ["other/e.mov"]
    assert found("nothing/**/*.mp4") == ["! nothing/**/*.mp4"] # a row that says so
    with pytest.raises(ConfigError, match=r"\*\*"): found("a**b/*.mp4")


def test_a_track_without_a_fourcc_passes_no_list(tmp_path, clip):
    "What the container doesn't name is no codec that was allowed"
    import av
    from aivd_nb.core import VideoError
    from aivd_nb.tracks import Limits
    from aivd_nb.video import VideoReader
    (tmp_path/"a.mp4").write_bytes(clip)
    with av.open(str(tmp_path/"a.mp4")) as source, av.open(str(tmp_path/"a.avi"), "w") as out:
        track = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is None: continue
            packet.stream = track
            out.mux(packet)
    named = (tmp_path/"a.avi").read_bytes()
    with VideoReader(tmp_path/"a.avi", limits=Limits(codecs=("mpeg4",))) as video: assert next(video.frames([0]))
    for fourcc in (b"\0\0\0\0", b"zzzz"):
        (tmp_path/"b.avi").write_bytes(named.replace(b"FMP4", fourcc).replace(b"fmp4", fourcc))
        for codecs in (("mpeg4",), ("vp9",)):
            with pytest.raises(VideoError) as e, VideoReader(tmp_path/"b.avi", limits=Limits(codecs=codecs)) as video: next(video.frames([0]))
            assert e.value.code == "codec"


def test_a_manifest_connects_to_nothing_but_what_it_may(tmp_path, clip):
    "Protocols by name, no chains; each is its own row, and nobody connects"
    (tmp_path/"a.mp4").write_bytes(clip)
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.settimeout(.2)
        at = f"127.0.0.1:{trap.getsockname()[1]}"
        rows = [f"ftp://{at}/x.mp4", f"tar://x.mp4::ftp://{at}/y.tar", "github://a:b@c/x.mp4", f"reference://::http://{at}/r.json", f"simplecache::http://{at}/x.mp4", f"http://{at}/x.mp4", "zip://a.mp4::/etc/x.zip", f"dask://{at}/x.mp4", "s3", "://", "a\tb.mp4"]
        (tmp_path/"list.csv").write_text("path\n" + "\n".join([rows[0], "a.mp4", *rows[1:]]) + "\n")
        code, table = scanned(tmp_path, "--manifest", tmp_path/"list.csv")
        assert code == 1 and len(table) == len(rows) + 1 and table.label.notna().sum() == 1
        with pytest.raises(TimeoutError): trap.accept()


# ---- the folder, the store, the queue

def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    "Photographs in `uploads`, another program's database, a damaged one, links: refused in a sentence, nothing deleted"
    import sqlite3
    from aivd_nb.job_store import DataFolder, JobStore
    photo = tmp_path/"a"/"uploads"/"family"/"photo.jpg"
    photo.parent.mkdir(parents=True)
    photo.write_text("dear")
    for marked in (False, True):
        if marked: (tmp_path/"a"/"aivd-serve").write_text("")
        with pytest.raises(ConfigError): DataFolder(tmp_path/"a")
        assert photo.read_text() == "dear"
    mine = DataFolder(tmp_path/"b")
    mine.close()
    (tmp_path/"b"/"uploads").symlink_to(tmp_path/"a"/"uploads")
    with pytest.raises(ConfigError, match="is a link"): DataFolder(tmp_path/"b")
    sqlite3.connect(tmp_path/"foreign.sqlite").execute("create table jobs(x)")
    (tmp_path/"damaged.sqlite").write_bytes(b"no database at all" * 100)
    (tmp_path/"link.sqlite").symlink_to(tmp_path/"foreign.sqlite")
    for name, words in (("foreign", "of something else"), ("damaged", "is not a database"), ("link", "is a link")):
        with pytest.raises(ConfigError, match=words): JobStore(tmp_path/f"{name}.sqlite")


def test_nobody_else_reads_the_store(tmp_path):
    "Whatever the folder's rights were"
    (tmp_path/"data").mkdir(mode=0o755)
    with serving(tmp_path) as s:
        assert s.folder.stat().st_mode & 0o77 == 0
        assert all(p.stat().st_mode & 0o77 == 0 for p in s.folder.glob("jobs.sqlite*"))


def test_an_older_store_keeps_its_results(tmp_path):
    import sqlite3
    from aivd_nb.job_store import JobStore
    db = sqlite3.connect(tmp_path/"jobs.sqlite")
    db.executescript("""create table jobs(id text primary key, digest text not null, model text not null, name text not null, size integer not null, state text not null,
      created real not null, started real, finished real, result text, error text, message text, remedy text, cached integer not null default 0);
      create table frames(job text not null references jobs(id) on delete cascade, n integer not null, time_s real not null, jpeg blob not null, primary key(job, n));
      insert into jobs values('j', 'd', 'm', 'a.mp4', 1, 'done', 1, 2, 3, '{}', null, null, null, 0); insert into frames values('j', 0, .5, x'ffd8ff');""")
    db.close()
    assert JobStore(tmp_path/"jobs.sqlite").get("j")["frames"] == [.5] and JobStore(tmp_path/"jobs.sqlite").frame("j", 0) == b"\xff\xd8\xff"


def result(size=130_000): return {"verdict": {"label": "Real"}, "facts": {}, "provenance": {}, "frames": [(0.0, b"\xff\xd8\xff" + os.urandom(size))]}


def test_the_same_content_costs_its_frames_once(tmp_path):
    from aivd_nb.job_store import JobStore
    store = JobStore(tmp_path/"jobs.sqlite")
    first = store.create("d", "m", "a", 1)
    store.begin(first)
    store.finish(first, result())
    before = store.size()
    for _ in range(100): store.create("d", "m", "a", 1, known=True)
    assert (store.size() - before)/100 < 2000


def test_the_store_has_a_bound(tmp_path, clip):
    "The oldest leave, and the numbers say so"
    from aivd_nb.job_store import JobStore
    store = JobStore(tmp_path/"jobs.sqlite", 1 << 20)
    jobs = [store.create(f"d{i}", "m", "a", 1) for i in range(40)]
    for j in jobs:
        store.begin(j)
        store.finish(j, result())
        store.shrink()
        assert store.size() <= 1 << 20
    assert store.get(jobs[0]) is None and store.get(jobs[-1])["state"] == "done"
    with serving(tmp_path) as s: assert b"aivd_store_bytes" in s.ask("GET", "/metrics")[2] and b"aivd_evicted_jobs" in s.ask("GET", "/metrics")[2]


def test_a_full_disk_leaves_no_job_without_an_owner(tmp_path, clip):
    "At a known answer, and at an end that can't be kept"
    with serving(tmp_path, workers=1) as s:
        s.finished(s.send(clip)[2]["id"])
        store = s.service.jobs.store
        store._run(f"pragma max_page_count={store._run('pragma page_count')[0][0]}")
        codes = [s.send(clip)[0] for _ in range(60)]
        assert 507 in codes and s.leftovers() == []
        store._run("pragma max_page_count=100000")
        assert store._run("select count(*) from jobs where state in ('queued','running')")[0][0] == 0
        lost = store.create("x", "m", "a", 1)
        assert s.ask("GET", f"/api/v1/jobs/{lost}")[2]["error"]["code"] == "storage"
        _tidy(s.service.jobs)
        assert store.get(lost)["state"] == "failed"


def test_a_known_content_is_answered_like_an_unknown_one(tmp_path, clip):
    "Neither a field nor the time that it takes tells that somebody else sent it before"
    with serving(tmp_path, partial(Slow, .8), workers=1) as s:
        def sent(source):
            start = time.monotonic()
            status, _, first = s.send(clip, source=source)
            later = s.ask("GET", f"/api/v1/jobs/{first['id']}")[2]
            done = s.finished(first["id"])
            return status, first.keys(), later["state"] == "done", done.keys(), time.monotonic() - start
        one, other = sent("127.0.0.2"), sent("127.0.0.3")
        assert one[:4] == other[:4] and other[4] > .7
        stream = s.ask("GET", f"/api/v1/jobs/{s.send(clip, source='127.0.0.4')[2]['id']}/events")[2].decode()
        assert stream.count("event: job") >= 2 and '"state": "done"' in stream


def test_one_client_fills_neither_queue_nor_workers(tmp_path, clip):
    "Thirty-four clips of one client; the next client is accepted, and is next"
    with serving(tmp_path, partial(Slow, .3), workers=1, queue=32) as s:
        mine = [s.send(clip + bytes([i]), source="127.0.0.2") for i in range(34)]
        assert {m[0] for m in mine} == {202, 429} and sum(m[0] == 202 for m in mine) <= 17 + 1
        other = s.send(clip + b"other", source="127.0.0.3")
        assert other[0] == 202 and s.finished(other[2]["id"])["state"] == "done"
        last = [m for m in mine if m[0] == 202][-1][2]
        assert s.ask("GET", f"/api/v1/jobs/{last['id']}")[2]["state"] == "queued"


def test_a_client_has_a_budget_where_others_want_some(tmp_path, clip):
    "Known from the head of the file: pixels times frames"
    with serving(tmp_path, partial(Slow, .1), workers=1, client_cpu_s=5, queue=8) as s:
        heavy = s.send(clip, source="127.0.0.2")
        s.finished(heavy[2]["id"])
        assert s.service.jobs.spending.of("127.0.0.2") < 5 # what it did cost
        s.service.jobs.spending.charge("x", "127.0.0.2", 7)
        assert s.send(clip + b"1", source="127.0.0.2")[0] == 202 # nobody else wants any
        other = s.send(clip + b"2", source="127.0.0.3")
        status, headers, problem = s.send(clip + b"3", source="127.0.0.2")
        assert (status, problem["code"]) == (429, "busy") and int(headers["Retry-After"]) > 0 and other[0] == 202


def test_what_a_clip_will_cost_is_known_from_its_head(tmp_path):
    "A small file of large frames"
    from aivd_nb.detector import default_bundle
    from aivd_nb.keeper import load_detector
    from aivd_nb.sandbox import Sandbox
    (tmp_path/"box").mkdir()
    large = write_clip(tmp_path/"box"/"large.mp4", camera_frames(8, (2048, 1152)))
    with Sandbox(partial(load_detector, default_bundle()), tmp_path/"box") as box:
        box.run(large)
        assert abs(box.cost - 2048*1152*8/1e8) < 1e-6 and 0 < box.spent < 60


# ---- what is shown, and what is kept

def test_a_file_name_does_not_speak_to_the_terminal(tmp_path, clip):
    "Escape sequences, and characters that turn the line around"
    name = "a\x1b]0;title\x07\x9b31m\u202e.mp4"
    (tmp_path/name).write_bytes(b"no video")
    for command in (["predict", name], ["probe", name], ["predict", "--json", name]):
        done = subprocess.run([BIN/"aivd", *command], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        said = done.stdout + done.stderr
        assert "mp4" in said and all(c.isprintable() or c == "\n" for c in said), repr(said)
        if "--json" in command: assert json.loads(done.stdout)["file"].endswith(name)


def test_a_foreign_table_writes_no_html_into_the_report(tmp_path):
    import pandas as pd
    import pyarrow as pa, pyarrow.parquet as pq
    from aivd_nb.scan_report import scan_html
    from aivd_nb.scan_store import scan_schema
    bad = "<script>alert(1)</script>"
    row = dict.fromkeys(scan_schema().names) | {"path": bad, "digest": bad, "label": bad, "probability": .9, "reason": bad, "bundle": bad, "version": bad, "timeline": []}
    error = row | {"label": None, "code": bad, "problem": bad, "remedy": bad}
    pq.write_table(pa.Table.from_pylist([row, error], scan_schema()), tmp_path/"part-000001.parquet")
    assert "<script" not in scan_html(tmp_path)


@pytest.mark.parametrize("poison", ["bytes", "pickle", "keys", "shape", "nan"])
def test_a_poisoned_cache_is_made_anew(tmp_path, clip, poison):
    "Whatever lies in the place of features, the verdict is that of the clip"
    import numpy as np
    from dataclasses import replace
    from aivd_nb.cache import FeatureCache
    from aivd_nb.detector import Detector, default_bundle
    (tmp_path/"a.mp4").write_bytes(clip)
    d = replace(Detector.load(default_bundle()), cache=FeatureCache(tmp_path/"cache"))
    right = d.predict(tmp_path/"a.mp4").probability
    kept, = (tmp_path/"cache").rglob("*.npz")
    arrays = dict(np.load(kept))
    if poison == "bytes": kept.write_bytes(b"PK\x03\x04" + os.urandom(500))
    if poison == "pickle": np.savez(kept, sequences=np.array([{}], object))
    if poison == "keys": np.savez(kept, other=arrays["spans"])
    if poison == "shape": np.savez(kept, **arrays | {"sequences": arrays["sequences"][:, :, :3]})
    if poison == "nan": np.savez(kept, **arrays | {"sequences": arrays["sequences"]*np.float32(np.nan)})
    assert d.predict(tmp_path/"a.mp4").probability == right
