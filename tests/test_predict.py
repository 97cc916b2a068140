"""The command as a person runs it: memory on long videos, and real clips where the collection is at hand."""
import csv, json, os, resource, subprocess, sys

import pytest

from aivd_nb.core import shared_data
from aivd_nb.synth import camera_frames, encode, ffmpeg

SHARED = shared_data()


def predict(*args, **env):
    "Run `aivd predict --json`: (rows, exit code, peak memory in MiB)"
    code = ("import resource, subprocess, sys; p = subprocess.run([sys.executable, '-m', 'aivd_nb.cli', 'predict', '--json', '--no-cache', *sys.argv[1:]], stdout=sys.stderr);"
            "print(p.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)")
    p = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, env=os.environ | env, check=True)
    returncode, peak = map(int, p.stdout.split())
    return [json.loads(line) for line in p.stderr.splitlines() if line.startswith("{")], returncode, peak


@pytest.fixture(scope="module")
def long_videos(tmp_path_factory):
    "One and thirty minutes of 1080p, the same two seconds again and again"
    folder = tmp_path_factory.mktemp("long")
    seed = encode(folder/"seed.mp4", camera_frames(50, (1920, 1080)), "-c:v", "libx264", "-preset", "ultrafast", "-crf", "30", "-g", "50", "-pix_fmt", "yuv420p", fps=25)
    for minutes in (1, 30): ffmpeg("-stream_loop", 30*minutes - 1, "-i", seed, "-c", "copy", folder/f"{minutes}.mp4")
    return folder


def test_memory_is_flat_in_length(long_videos):
    peaks = []
    for minutes in (1, 30):
        rows, code, peak = predict("--bundle", "efficientnet_lite0", long_videos/f"{minutes}.mp4")
        assert code == 0 and rows[0]["label"], rows
        assert rows[0]["timeline"][-1]["end_s"] > 0.9*60*minutes
        peaks.append(peak)
    assert peaks[1] < 500 and peaks[1] < 1.25*peaks[0], peaks


def test_memory_with_tensorflow(long_videos):
    rows, code, peak = predict("--bundle", "efficientnet_lite0", "--engine", "keras", long_videos/"30.mp4")
    assert code == 0 and rows[0]["label"] and peak < 1200, (rows, peak)


@pytest.mark.skipif(SHARED is None, reason="the collection of real clips is not at hand")
@pytest.mark.parametrize(("bundle", "every"), [("efficientnet_lite0", 10), ("mobilenetv2", 30)])
def test_real_clips(bundle, every):
    "Every original (five containers) and every tenth or thirtieth test clip gets an answer, and most lean the right way"
    data = SHARED/"data"
    wanted = {str(data/r["file_path"]): int(r["label"]) for r in csv.DictReader(open(data/"originals.csv", encoding="utf-8"))}
    tests = [r for r in csv.DictReader(open(data/"labels.csv", encoding="utf-8")) if r["split"] == "test"][::every]
    wanted |= {str(data/r["file_path"]): int(r["label"]) for r in tests}
    rows, code, _ = predict("--bundle", bundle, *wanted, AIVD_WEIGHTS=str(SHARED/"weights"))
    assert code == 0 and [r["file"] for r in rows] == list(wanted)
    right = [(r["leans"] == "AI-Generated") == bool(wanted[r["file"]]) for r in rows]
    assert sum(right[:28]) > 14 and sum(right[28:]) > len(tests)/2, (sum(right[:28]), sum(right[28:]))
