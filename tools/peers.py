"""What a user could install instead, run on the same clips: `python tools/peers.py nbs/results/12_peers.csv`. Each package gets an environment of its own, from PyPI, so it takes minutes and a network."""
import csv
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Peer:
    "A package and the command by which its README has a video looked at"
    name: str
    install: tuple  # arguments of `pip install`
    command: tuple  # after the folder of the environment's programs; the clip's path follows
    looks_at: str


PEERS = (
    Peer("aivd-nb", (str(ROOT),), ("aivd", "predict"), "pixels, and what the file says"),
    Peer("aivid", ("aivid[default]",), ("aivid", "-q"), "what the file says"),
    Peer("issynthetic", ("issynthetic[c2pa]",), ("issynthetic", "inspect"), "what the file says"),
    Peer("bonafide", ("bonafide[provenance]",), ("bonafide", "detect"), "what the file says"),
    Peer("aludam", ("aludam",), ("aludam", "predict", "vdo_det"), "pixels, with weights that it fetches"),
    Peer("defakepy", ("defakepy[provenance]", "opencv-python"), ("defakepy-scan", "-i"), "faces, with dlib"),
)


def install(peer, folder):
    "(seconds, MB) of a fresh environment"
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder/"bin/pip", "install", "-q", *peer.install], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start, sum(f.lstat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink())/1e6


def plain(text):
    "Output without colour, frames and blank lines, the clip's folder left out"
    text = re.sub(r"\x1b\[[0-9;]*m|[─│╭╮╰╯=]+", " ", text)
    return " / ".join(" ".join(line.split()) for line in text.splitlines() if line.strip())


def ask(peer, folder, clip, runs=5):
    "(exit code, what is said, median seconds of the whole command)"
    program, *rest = peer.command
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "AIVD_CACHE": str(folder/"cache"), "COLUMNS": "200"}
    seconds = []
    for _ in range(runs):
        start = time.monotonic()
        done = subprocess.run([folder/"bin"/program, *rest, clip.name], cwd=clip.parent, env=env, capture_output=True, text=True, timeout=300)
        seconds.append(time.monotonic() - start)
    return done.returncode, plain(done.stdout or done.stderr), statistics.median(seconds)


def clips(folder):
    "The clip that ships, and one that says of itself, signed, that a generative model made it"
    sys.path[:0] = [str(ROOT/"tests")]
    sys.path.insert(0, str(ROOT/"tests"))
    from test_origin import Clips
    drawn = Clips(folder)
    return {"the sample": ROOT/"nbs/samples/animated_photograph.mp4", "signed as generated": drawn.signed}


def main(out):
    with tempfile.TemporaryDirectory() as tmp:
        tmp, rows = Path(tmp), []
        for peer in PEERS:
            took, size = install(peer, tmp/peer.name)
            for name, clip in clips(tmp).items():
                code, said, seconds = ask(peer, tmp/peer.name, clip)
                rows.append({"package": peer.name, "looks at": peer.looks_at, "install, s": round(took), "size, MB": round(size), "clip": name, "exit code": code, "seconds": round(seconds, 2), "says": said[:400]})
                print(rows[-1], flush=True)
    with open(out, "w", newline="", encoding="utf-8") as f:
        table = csv.DictWriter(f, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__": main(sys.argv[1])
