"""Clips that are not of one piece: what is said of them, on every surface. The detector here is made to know: what is tinted red is generated."""
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aivd_nb.bundle import Bundle
from aivd_nb.calibration import Band, Calibrator
from aivd_nb.answers import verdict_lines
from aivd_nb.detector import Detector
from aivd_nb.featurizers import FeatureSpec, Featurizer
from aivd_nb.heads import HeadConfig
from aivd_nb.openapi import job_view
from aivd_nb.passages import PassageRule
from aivd_nb.sampling import Look, Sampling
from aivd_nb.synth import camera_frames, encode
from aivd_nb.widget import verdict_html

FPS, SIZE = 5, (160, 128)


def head(x):
    "0.98 where the picture is red, 0.05 where it is not"
    red = (x[..., 0] - x[..., 1]).mean(1)
    return np.where(red > .15, .98, .05)


@pytest.fixture(scope="module")
def detector():
    spec = FeatureSpec(views=("square",))
    rule = PassageRule((3, 24), (1.5, 2.5), (.5, 1.5), n_real=1000, called_ai=40, mixed=90, sources=100)
    b = Bundle("toy", spec, Sampling(.25, "seconds", 4, 2), HeadConfig(), (("square", "colour", 3),), "toy", (0.0,)*32, Calibrator(), Band(.8, .3, 100, 5, 100, 10), passages=rule, metrics={"on": "grouped folds"})
    return Detector(b, Featurizer(spec, lambda x: x.mean((1, 2)), 32, "toy"), head)


def grey(seconds, seed): return (np.repeat(f.mean(-1, keepdims=True), 3, -1).astype(np.uint8) for f in camera_frames(round(seconds*FPS), SIZE, seed))
def camera(seconds, seed=1): return list(grey(seconds, seed))
def generated(seconds, seed=2): return [np.clip(f*np.array([1.4, .55, .55]), 0, 255).astype(np.uint8) for f in grey(seconds, seed)]
def plain(seconds, value): return [np.full((SIZE[1], SIZE[0], 3), value, np.uint8)]*round(seconds*FPS)
def still(seconds, seed): return [next(grey(1/FPS, seed))]*round(seconds*FPS)


def film(path, frames): return encode(path, frames, "-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", "-g", "25", fps=FPS)


def joined(path, *files):
    listed = Path(path).with_suffix(".txt")
    listed.write_text("".join(f"file '{f}'\n" for f in files))
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i", listed, "-c", "copy", path], check=True)
    return path


@pytest.fixture(scope="module")
def minutes(tmp_path_factory):
    "A minute of camera footage and one that is generated, to be joined"
    d = tmp_path_factory.mktemp("minutes")
    return film(d/"camera.mp4", camera(60)), film(d/"generated.mp4", generated(60))


def test_a_generated_minute_between_two_of_camera_footage_is_named_on_every_surface(detector, minutes, tmp_path):
    real, ai = minutes
    v = detector.predict(joined(tmp_path/"clip.mp4", real, ai, real))
    assert v.label == v.leans == "AI-Generated" and v.probability >= .8
    assert [p["label"] for p in v.passages] == ["Real", "AI-Generated", "Real"]
    assert abs(v.passages[1]["start_s"] - 60) < 6 and abs(v.passages[1]["end_s"] - 120) < 6
    assert "looks AI-generated, the rest does not" in v.words and v.words.startswith(("0:5", "1:0"))
    assert "40 AI-generated (4 %)" in v.how_often_wrong and v.duration_s == pytest.approx(180, abs=1) and 10 < v.looked_at_s < 40
    job = job_view({"id": "j", "state": "done", "name": "clip.mp4", "size": 1, "digest": "0"*64, "created": 1.0, "finished": 2.0, "cached": 0, "error": None, "frames": [], "verdict": v.to_dict(), "facts": {}, "provenance": {}})
    for surface in (str(verdict_lines(v)), verdict_html(v, [], detector.bundle), job["in_words"]): assert v.words in surface
    assert len(job["verdict"]["passages"]) == 3


def test_black_before_and_white_after_are_not_judged(detector, tmp_path):
    v = detector.predict(film(tmp_path/"clip.mp4", plain(1, 0) + generated(5) + plain(2, 255)))
    assert v.label == "AI-Generated" and v.timeline[0]["start_s"] >= 1 and v.timeline[-1]["end_s"] <= 6
    assert all(w["probability"] > .9 for w in v.timeline)


def test_a_clip_in_which_nothing_moves_gets_no_verdict(detector, tmp_path):
    v = detector.predict(film(tmp_path/"black.mp4", plain(20, 0)))
    assert (v.label, v.passages) == ("Inconclusive", ()) and v.what_next
    assert v.reason_code == "blank" and detector.predict(film(tmp_path/"still.mp4", still(8, 3))).reason_code == "blank"


def test_a_fade_is_no_passage(detector, tmp_path):
    frames = camera(30)
    faded = [(f*k).astype(np.uint8) for f, k in zip(frames, np.linspace(0, 1, 20).tolist() + [1]*(len(frames) - 40) + np.linspace(1, 0, 20).tolist())]
    v = detector.predict(film(tmp_path/"clip.mp4", faded))
    assert v.label == "Real" and [p["label"] for p in v.passages] == ["Real"]


def test_a_slide_show_with_one_generated_clip(detector, tmp_path):
    v = detector.predict(film(tmp_path/"clip.mp4", [f for k in range(4) for f in still(6, k)] + generated(6) + [f for k in range(4, 8) for f in still(6, k)]))
    assert v.label == "AI-Generated" and any("were not judged" in w for w in v.warnings)
    assert all(23 <= w["start_s"] and w["end_s"] <= 31 for w in v.timeline if w["probability"] > .9)


def test_half_an_hour_of_camera_footage_is_real_and_says_how_little_was_looked_at(detector, minutes, tmp_path):
    v = detector.predict(joined(tmp_path/"clip.mp4", *[minutes[0]]*30))
    assert v.label == "Real" and len(v.timeline) <= 24 and "it called 10 real" in v.how_often_wrong
    assert any(w.startswith("Looked at ") and "of 30:00" in w for w in v.warnings)


def test_twenty_seconds_in_half_an_hour_are_found_where_the_budget_allows(detector, minutes, tmp_path):
    short = film(tmp_path/"short.mp4", generated(20))
    clip = joined(tmp_path/"clip.mp4", *[minutes[0]]*17, short, *[minutes[0]]*13)
    few, many = detector.predict(clip), replace(detector, looking=Look(240)).predict(clip)
    assert many.label == "AI-Generated" and len(many.passages) == 3
    assert abs(many.passages[1]["start_s"] - 17*60) < 8 and abs(many.passages[1]["end_s"] - 17*60 - 20) < 8
    assert few.label == "AI-Generated" or any(w.startswith("Looked at ") for w in few.warnings)


def test_what_may_be_generated_withholds_the_verdict(detector, minutes, tmp_path):
    rule = replace(detector.bundle.passages, ai=(9.0, 9.0))
    unsure = replace(detector, bundle=replace(detector.bundle, passages=rule))
    v = unsure.predict(joined(tmp_path/"clip.mp4", minutes[0], film(tmp_path/"short.mp4", generated(10)), minutes[0]))
    assert (v.label, v.reason_code) == ("Inconclusive", "mixed") and "may be AI-generated, the rest looks real" in v.words
    assert detector.bundle.band.real < v.probability < detector.bundle.band.ai


def test_a_short_clip_is_looked_at_as_the_sampling_says(detector, tmp_path):
    v = detector.predict(film(tmp_path/"clip.mp4", camera(5)))
    assert len(v.timeline) == detector.bundle.sampling.windows and len(v.passages) == 1


def test_each_shot_gets_a_verdict_of_its_own(detector, minutes, tmp_path):
    clip = film(tmp_path/"clip.mp4", camera(12) + generated(6) + [255 - f for f in camera(8, seed=5)])
    shots = detector.predict_shots(clip)
    assert [v.label for v in shots] == ["Real", "AI-Generated", "Real"]
    assert [round(float(v.file.rpartition("=")[2].split(",")[0])) for v in shots] == [0, 12, 18]
    assert all(v.passages[0]["start_s"] <= w["start_s"] and w["end_s"] <= v.passages[0]["end_s"] + .3 for v in shots for w in v.timeline)
