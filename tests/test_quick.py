"""Every module at work once, on a few drawn clips: what `pytest -m "not slow"` has beside the quick notebooks. One process, one import of TensorFlow."""
import json
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from test_notebooks import NOTEBOOKS, SLOW

from aivd_nb.synth import camera_frames, encode, make_dataset

# What each test below has at work; a module that neither stands here nor has a quick notebook is seen by `test_no_module_is_left_out`
SEEN = {
    "test_a_clip_is_read": ["tracks", "video", "packets", "frames"],
    "test_labels_become_a_bundle": ["splits", "featurizers", "heads", "bundle", "train", "cli_train", "plots", "evaluate", "report"],
    "test_a_verdict_and_why": ["detector", "explain", "clip_report", "widget", "words"],
    "test_a_folder_is_scanned": ["scan", "scan_store", "scan_pool", "scan_report", "hashes"],
    "test_what_a_file_says": ["provenance", "origin", "link"],
    "test_an_upload_is_answered": ["app", "requests", "jobs", "job_store", "keeper", "sandbox", "observe", "openapi"],
    "test_faces_answer": ["cli", "cli_page", "answers", "terminal", "doctor", "agents"],
    "test_clips_are_made_worse_and_timed": ["robustness", "bench", "efficientnet", "protocols", "refit", "scan_ray"],
}


def modules(): return {p.stem for p in (ROOT/"aivd_nb").glob("*.py")} - {"__init__", "_modidx"}


def test_no_module_is_left_out():
    quick = {p.stem.partition("_")[2] for p in NOTEBOOKS if p.parent.name == "api" and p.name not in SLOW}
    named = {name for names in SEEN.values() for name in names}
    assert modules() - quick - named == set()
    assert named <= modules() and set(SEEN) <= set(globals())


@pytest.fixture(scope="module")
def folder(tmp_path_factory): return tmp_path_factory.mktemp("quick")


@pytest.fixture(scope="module")
def data(folder): return make_dataset(folder/"data", 6, frames=30, size=(128, 96))


@pytest.fixture(scope="module")
def clip(folder): return encode(folder/"clip.mp4", camera_frames(50, (192, 160)), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


@pytest.fixture(scope="module")
def detector():
    from aivd_nb.detector import Detector
    return Detector.load()


def aivd(*args):
    "A command as its users type it"
    from click.testing import CliRunner
    from aivd_nb.cli import main
    done = CliRunner().invoke(main, [str(a) for a in args])
    assert done.exit_code == 0, (args, done.output, done.exception)
    return done.stdout


def test_a_clip_is_read(clip, folder):
    from aivd_nb.video import probe, read_frames
    info = probe(clip)
    assert (info.n_frames, info.width) == (50, 192)
    assert [f.index for f in read_frames(clip, (3, 30))] == [3, 30]
    assert "192" in aivd("probe", clip)
    aivd("frames", clip, "--out", folder/"frames")


def test_labels_become_a_bundle(data, folder):
    few = ("--windows", 1, "--length", 4, "--set", "epochs=1")
    aivd("labels", data)
    aivd("train", Path(data)/"labels.csv", "--out", folder/"my", "--held-out", folder/"held.csv", *few)
    rows = (folder/"held.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "file_path,label,probability" and len(rows) > 1
    aivd("evaluate", Path(data)/"labels.csv", "--bundle", folder/"my", "--out", folder/"report", "--draws", 20)
    assert "# Model card: my" in aivd("card", folder/"my") and list((folder/"report").glob("*.html"))


def test_a_verdict_and_why(clip, folder, detector):
    from aivd_nb.explain import explain
    from aivd_nb.widget import look, verdict_html
    (line,) = aivd("predict", clip, "--json", "--report", folder/"kept.html").splitlines()
    verdict, frames = look(detector, clip)
    assert verdict.label == json.loads(line)["label"] and "<svg" in verdict_html(verdict, frames, detector.bundle)
    assert explain(detector, clip, grid=0).verdict.label == verdict.label
    assert verdict.label in (folder/"kept.html").read_text(encoding="utf-8")


def test_a_folder_is_scanned(clip, folder):
    aivd("hash", clip, "--out", folder/"known.csv")
    aivd("scan", clip, "--out", folder/"found", "--known", folder/"known.csv", "--workers", 1, "--report")
    assert (folder/"found"/"_report"/"report.html").is_file()


def test_what_a_file_says(clip):
    from aivd_nb.link import is_link
    assert "clip.mp4" in aivd("provenance", clip) and is_link("https://example.org/a")


def test_an_upload_is_answered(clip, folder):
    from aivd_nb.app import create_app
    from aivd_nb.app_config import AppConfig
    app = create_app(config=AppConfig(data=str(folder/"served"), port=0))
    try:
        client = app.test_client()
        assert client.get("/api/v1/health").status_code == 200
        with open(clip, "rb") as f: job = client.post("/api/v1/jobs", data={"file": (f, "clip.mp4")}).json
        for _ in range(300):
            job = client.get(job["links"]["self"]).json
            if job["state"] not in ("queued", "running"): break
            time.sleep(.1)
        assert job["state"] == "done", job
        assert b"aivd" in client.get("/metrics").data
    finally: app.extensions["aivd"].close()


def test_faces_answer(clip):
    from aivd_nb.agents import Tools
    from aivd_nb.cli_page import command_page
    assert "predict" in aivd("--help") and "versions" in aivd("doctor") and command_page()
    assert "label" in Tools().check_video(str(clip))


def test_clips_are_made_worse_and_timed(clip, folder):
    import pandas as pd
    from aivd_nb.bench import machine
    from aivd_nb.efficientnet import find_checkpoint
    from aivd_nb.protocols import fast_logits
    from aivd_nb.refit import clips_of
    from aivd_nb.robustness import DEGRADATIONS, degrade_file
    from aivd_nb.scan_ray import Ledger
    assert degrade_file(clip, DEGRADATIONS[0], folder).is_file() and machine()["processors"] and find_checkpoint().is_file()
    x, y = np.random.default_rng(0).normal(size=(8, 3)), np.arange(8) % 2
    assert fast_logits(x, y, x).shape == (8,)
    windows = pd.DataFrame({"file_path": ["a", "a", "b"], "label": [0, 0, 1], "group": ["a", "a", "b"], "log_odds": [-1.0, -2.0, 3.0]})
    assert [len(s) for s in clips_of(windows).scores] == [2, 1]
    assert Ledger(["done"]) is not None
    assert "--quick" in aivd("bench", "--help") and "--films" in aivd("passages", "--help")
