"""Detectors that do what broken or slow ones do, and one that only decodes, for the server's tests; its workers import them from here."""
import os, signal, sys, time
from pathlib import Path
from types import SimpleNamespace

from aivd_nb.video import VideoReader

sys.path[:0] = [p for p in [str(Path(__file__).parent)] if p not in sys.path] # workers get the parent's sys.path


def verdict(path):
    window = {"start_s": 0, "end_s": 1, "probability": 0.5}
    return SimpleNamespace(to_dict=lambda: {"label": "Inconclusive", "leans": "Real", "probability": 0.5, "confidence": 0.5, "reason": None, "reason_code": None, "duration_s": 1.0, "looked_at_s": 1.0, "passages": [], "words": "", "how_often_wrong": "", "what_next": [], "timeline": [window], "bundle": "faulty", "warnings": [], "timings_ms": {}})


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
