"""Detectors that cost nothing, for the tests of a scan; its workers import them from here."""
import hashlib, os, signal, time
from functools import partial
from pathlib import Path

from aivd_nb.core import VideoError
from aivd_nb.verdict import Verdict


class Stub:
    "Says what the content's digest says, after some seconds; dies or hangs where the content asks for it"
    def __init__(self, seconds=0.0): self.seconds = seconds
    def predict(self, path, watch, threads, batch):
        content = Path(path).read_bytes()
        time.sleep(self.seconds)
        if content.startswith(b"CRASH"): os.kill(os.getpid(), signal.SIGSEGV)
        if content.startswith(b"HANG"): time.sleep(600)
        if content.startswith(b"BAD"): raise VideoError(path, "is damaged", "Copy it again", "damaged")
        p = int(hashlib.sha256(content).hexdigest()[:4], 16)/65535
        label = "AI-Generated" if p > .8 else "Real" if p < .6 else "Inconclusive"
        windows = tuple({"start_s": float(i), "end_s": i + 1.0, "probability": round(p, 4)} for i in range(8))
        return Verdict(str(path), label, label, round(p, 4), .9, None, windows, "stub", timings_ms={"decode": 0.0, "cnn": 0.0, "total": 0.0})


def stub(seconds=0.0): return partial(Stub, seconds)
