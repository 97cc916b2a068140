"""Mutated clips through the sandbox: `python tools/fuzz_clips.py 2000 nbs/explain/security_fuzz.csv`. Counts by container and outcome; ends with an error if the sandbox does not answer on."""
import csv, random, struct, sys, tempfile, time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]/"tests")] # decoders that misbehave lie there
from aivd_nb.core import AivdError
from aivd_nb.keeper import SandboxLimits
from aivd_nb.sandbox import Sandbox, SandboxError
from aivd_nb.synth import camera_frames, encode
from faulty import Decoder

FORMATS = {"mp4": ("-c:v", "libx264"), "mov": ("-c:v", "mpeg4"), "mkv": ("-c:v", "libx264"), "webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime"), "avi": ("-c:v", "mjpeg"), "gif": (), "mpg": ("-c:v", "mpeg2video"), "ts": ("-c:v", "libx264"),
    "flv": ("-c:v", "flv1"), "wmv": ("-c:v", "wmv2"), "ogv": ("-c:v", "libtheora"), "mxf": ("-c:v", "mpeg2video"), "nut": ("-c:v", "libx264"), "ivf": ("-c:v", "libaom-av1", "-cpu-used", "8"), "apng": (), "y4m": ("-pix_fmt", "yuv420p"),
    "hevc": ("-c:v", "libx265", "-x265-params", "log-level=none"), "avif": ("-c:v", "libaom-av1", "-cpu-used", "8"), "dv": ("-s", "720x576", "-r", "25", "-pix_fmt", "yuv420p")}
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def bits(rng, d):
    "A few bits, more often near the head"
    for _ in range(rng.randint(1, 64)): d[int(len(d)*rng.random()**rng.choice((1, 4)))] ^= 1 << rng.randrange(8)

def numbers(rng, d):
    "Extreme numbers where lengths and counts may stand"
    for _ in range(rng.randint(1, 8)):
        at = int((len(d) - 4)*rng.random()**rng.choice((1, 4)))
        d[at:at+4] = struct.pack(rng.choice((">I", "<I")), rng.choice(EXTREMES))

def cut(rng, d): del d[rng.randrange(1, len(d)):]

def drop(rng, d):
    at = rng.randrange(len(d))
    del d[at:at+rng.randint(1, 4096)]

def repeat(rng, d):
    at = rng.randrange(len(d))
    d[at:at] = d[at:at+rng.randint(1, 4096)]*rng.randint(1, 20)

def noise(rng, d):
    at = rng.randrange(len(d))
    d[at:at+2048] = rng.randbytes(min(2048, len(d) - at))

MUTATIONS = (bits, numbers, cut, drop, repeat, noise)


def mutate(rng, clips):
    "(container, bytes) of a mutated clip; now and then the halves of two"
    kind = rng.choice(sorted(clips))
    data = bytearray(clips[kind])
    if rng.random() < 0.08: data[len(data)//2:] = clips[rng.choice(sorted(clips))][len(data)//2:]
    for f in rng.sample(MUTATIONS, rng.choice((1, 1, 1, 2, 3))):
        if len(data) > 16: f(rng, data)
    return kind, bytes(data)


def outcome(box, path):
    "What came of a file, in a word"
    try: return box.run(path)["verdict"]["label"] and "decoded"
    except SandboxError as e: return f"lost: {e.code}"
    except AivdError as e: return f"refused: {e.code}"


def fuzz(
    n:int, # files
    seed:int, # of the mutations
    folder, # for the files
    loader=Decoder, # decodes every frame; `partial(load_detector, "efficientnet_lite0")` for the whole way
    tell=lambda i, counts: None, # called now and then
) -> Counter: # (container, outcome) → files
    "Send mutated clips through one sandbox; after every fiftieth, and at the end, a whole clip must still be decoded"
    rng, counts, folder = random.Random(seed), Counter(), Path(folder)
    clips = {k: encode(folder/f"seed.{k}", camera_frames(24, (192, 144), seed=i), *args).read_bytes() for i, (k, args) in enumerate(FORMATS.items())}
    with Sandbox(loader, folder, SandboxLimits(wall_s=30, cpu_s=20)) as box:
        box.start()
        for i in range(n):
            kind, data = mutate(rng, clips)
            (folder/"upload").write_bytes(data)
            counts[kind, outcome(box, folder/"upload")] += 1
            if i % 50 == 49 or i == n - 1:
                assert outcome(box, folder/"seed.mp4") == "decoded", f"no answer on a whole clip after {i + 1} files"
                tell(i + 1, counts)
    return counts


if __name__ == "__main__":
    n, out = int(sys.argv[1]), sys.argv[2]
    start = time.time()
    with tempfile.TemporaryDirectory() as folder:
        counts = fuzz(n, 0, folder, tell=lambda i, c: print(f"{i} files, {time.time() - start:.0f} s", {o: sum(k for (_, p), k in c.items() if p == o) for _, o in c}, flush=True))
    with open(out, "w", newline="", encoding="utf-8") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(["container", "outcome", "files"])
        w.writerows([*key, k] for key, k in sorted(counts.items()))
