"""Speed's promises that don't hang on a quiet machine: engines agree, TensorFlow stays away, long videos cost what short ones cost."""
import csv, os, subprocess, sys, time
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest

from aivd_nb import video
from aivd_nb.core import shared_data
from aivd_nb.detector import Detector
from aivd_nb.synth import camera_frames, encode, ffmpeg, make_dataset
from aivd_nb.verdict import Verdict

SHARED = shared_data()


@pytest.fixture(scope="module")
def long_videos(tmp_path_factory):
    "Ten minutes and two hours, the same ten seconds again and again"
    folder = tmp_path_factory.mktemp("long")
    seed = encode(folder/"seed.mp4", camera_frames(250, (256, 192)), "-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p", fps=25)
    for minutes in (10, 120): ffmpeg("-stream_loop", 6*minutes - 1, "-i", seed, "-c", "copy", folder/f"{minutes}.mp4")
    return [folder/f"{m}.mp4" for m in (10, 120)]


def test_two_hours_cost_what_ten_minutes_cost(long_videos):
    "Equal windows, equal work: processor time, in turn, the least of three"
    detector, used = Detector.load("efficientnet_lite0"), {}
    for _ in range(3):
        for path in long_videos:
            start = time.process_time()
            verdict = detector.predict(path)
            used[path] = min(used.get(path, 9e9), time.process_time() - start)
    assert verdict.timeline[-1]["end_s"] > 7200*(1 - 1/len(verdict.timeline)) # the windows are spread over the whole
    short, long = used.values()
    assert long < 2*short, used


def test_jumping_and_reading_forward_give_one_verdict(long_videos):
    detector = Detector.load("efficientnet_lite0")
    jumped, steps = detector.predict(long_videos[0]), []
    with mock.patch.multiple(video, _NEAR=10**9, _JUMP=10**9): read = detector.predict(long_videos[0])
    assert jumped.leans == read.leans and abs(jumped.probability - read.probability) < 1e-4
    assert jumped.timeline == read.timeline


def test_predict_leaves_tensorflow_alone(tmp_path):
    clip = make_dataset(tmp_path, 1, frames=30).rglob("real*.mp4").__next__()
    code = ("import sys, aivd_nb.cli\n"
            "try: aivd_nb.cli.main(['predict', '--no-cache', '--bundle', 'efficientnet_lite0', sys.argv[1]])\n"
            "except SystemExit as e: print('exit', e.code)\n"
            "print('heavy', [m for m in ('tensorflow', 'keras', 'pandas', 'sklearn', 'matplotlib', 'flask', 'aivd_nb.jobs', 'aivd_nb.keeper', 'aivd_nb.sandbox') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code, str(clip)], capture_output=True, text=True)
    assert "exit 0" in done.stdout and "heavy []" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("code", ["import aivd_nb", "from aivd_nb import Failure, AivdError", "from aivd_nb.cli import main; main(['--help'], standalone_mode=False)"])
def test_what_is_not_needed_is_not_imported(code):
    "Milliseconds, where numpy, OpenCV, PyAV and ONNX Runtime take a quarter of a second"
    heavy = "('numpy', 'cv2', 'av', 'onnxruntime', 'pyarrow', 'flask', 'jinja2')"
    done = subprocess.run([sys.executable, "-c", f"import sys; {code}; print('heavy', [m for m in {heavy} if m in sys.modules])"], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["heavy []"], done.stdout + done.stderr


def test_many_give_the_verdicts_of_one(tmp_path):
    "Whatever shares a batch with a frame: equal within 1e-4"
    clips = sorted(make_dataset(tmp_path, 6, frames=50, size=(200, 160)).rglob("*.mp4"))
    detector = Detector.load("efficientnet_lite0")
    many = list(detector.predict_many(clips))
    assert [v.file for v in many] == [str(c) for c in clips]
    for v, c in zip(many, clips):
        one = detector.predict(c)
        assert abs(v.probability - one.probability) < 1e-4 and v.label == one.label and len(v.timeline) == len(one.timeline)


def agree(name, clips, **kw):
    "Both engines on every clip: its probability equal within 1e-4, that of a single window within 2e-4"
    onnx, keras = (Detector.load(name, engine=e, **kw) for e in ("onnx", "keras"))
    found = [list(d.predict_many(clips)) for d in (onnx, keras)]
    assert all(isinstance(v, Verdict) for v in found[0] + found[1])
    wide = max(abs(a.probability - b.probability) for a, b in zip(*found))
    assert wide <= 1e-4 + 1e-9 and all(len(a.timeline) == len(b.timeline) for a, b in zip(*found)), wide
    windows = [abs(p["probability"] - q["probability"]) for a, b in zip(*found) for p, q in zip(a.timeline, b.timeline)]
    assert max(windows) <= 2e-4 + 1e-9, max(windows)


def test_engines_agree_on_drawn_clips(tmp_path):
    agree("efficientnet_lite0", sorted(make_dataset(tmp_path, 5, frames=50, size=(200, 160)).rglob("*.mp4")))


@pytest.mark.skipif(SHARED is None, reason="the collection of real clips is not at hand")
def test_engines_agree_on_real_clips():
    "Originals of five containers and every fortieth test clip, CNN and head in both engines"
    data = SHARED/"data"
    originals = [data/r["file_path"] for r in csv.DictReader(open(data/"originals.csv", encoding="utf-8"))]
    tests = [data/r["file_path"] for r in csv.DictReader(open(data/"labels.csv", encoding="utf-8")) if r["split"] == "test"]
    agree("mobilenetv2", originals[5:11] + tests[::70], weights=SHARED/"weights")
