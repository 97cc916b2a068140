"""Detectors that do what broken or slow ones do, and one that only decodes, for the server's tests; its workers import them from here."""
import os, signal, sys, time
from pathlib import Path
from types import SimpleNamespace

from aivd_nb.video import VideoReader

sys.path[:0] = [p for p in [str(Path(__file__).parent)] if p not in sys.path] # workers get the parent's sys.path


def verdict(path):
    window = {"start_s": 0, "end_s": 1, "probability": 0.5}
    return SimpleNamespace(to_dict=lambda: {"label": "Inconclusive", "leans": "Real", "probability": 0.5, "confidence": None, "reason": None, "reason_code": None, "duration_s": 1.0, "looked_at_s": 1.0, "passages": [], "words": "", "how_often_wrong": "", "what_next": [], "timeline": [window], "bundle": "faulty", "warnings": [], "timings_ms": {}})


class Slow:
    "Answers after some seconds"
    def __init__(self, seconds): self.seconds = seconds
    def predict(self, path, progress=None):
        if progress: progress(0.3)
        time.sleep(self.seconds)
        return verdict(path)


class Decoder:
    "Decodes every frame, and measures none: what a stranger's file meets first"
    def predict(self, path, progress=None):
        with VideoReader(path) as reader:
            for _ in reader.frames(range(reader.info().n_frames)): pass
        return verdict(path)


class Trying:
    "A taken-over decoder: tries to get out, and tells in its verdict's name what worked"
    def __init__(self, hang=False): self.hang = hang
    def predict(self, path, progress=None):
        if self.hang:
            _linger()
            time.sleep(600)
        done = [name for name, f in _tries(path) if _works(f)]
        found = verdict(path).to_dict() | {"bundle": ", ".join(done) or "nothing"}
        return SimpleNamespace(to_dict=lambda: found)


def _works(f):
    try: f()
    except (OSError, AttributeError): return False
    return True


def _tries(path):
    "What it tries, by name"
    import socket
    folder = Path(path).parent
    unix = lambda kind: socket.socket(socket.AF_UNIX, kind)
    yield "another upload", lambda: (folder/"other").read_bytes()
    yield "list", lambda: os.listdir(folder)
    yield "write", lambda: (folder/"new").write_text("x")
    yield "chmod", lambda: os.chmod(path, 0o777)
    yield "setxattr", lambda: os.setxattr(path, "user.x", b"y")
    yield "fork", _linger
    yield "setsid", os.setsid
    yield "exec", lambda: os.posix_spawn("/bin/true", ["true"], {})
    yield "unix", lambda: unix(socket.SOCK_STREAM)
    yield "udp", lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))
    yield "tcp", lambda: socket.socket().listen()
    yield "its keeper", lambda: os.kill(os.getppid(), 0)
    yield "namespace", lambda: _call(272, 0x10000000)
    yield "shm", lambda: _call(29, 0, 4096, 0o1600)


def _call(*args):
    "A system call by its number"
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*args) < 0: raise OSError(ctypes.get_errno(), "refused")


def _linger():
    "A child that leaves the session and stays"
    if os.fork(): return
    os.setsid()
    time.sleep(60)
    os._exit(0)


def weaker(*missing):
    "`Trying` on a kernel that lacks what is named"
    from aivd_nb import confine
    if "seccomp" in missing: confine._seccomp = lambda: False
    if "landlock" in missing: confine._landlock = lambda readable: 0
    return Trying("hang" in missing)


class OnDemand:
    "Does what the last bytes of the file ask for: a crafted file that has found a hole in the decoder"
    def predict(self, path, progress=None):
        wish = Path(path).read_bytes()[-8:].strip(b"\0").decode("latin1")
        if wish == "HANG": time.sleep(600)
        if wish == "EAT": hold = [bytearray(1 << 28) for _ in range(1000)]
        if wish == "SPIN":
            while True: pass
        if wish == "CRASH": os.kill(os.getpid(), signal.SIGSEGV)
        if wish == "KILL": os.kill(os.getppid(), signal.SIGKILL) # its keeper
        return verdict(path)
