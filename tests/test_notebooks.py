"""Every notebook runs from top to bottom: one case each, so that pytest's last line counts them."""
import json
import multiprocessing
import os
import re

import pytest
from conftest import ROOT

NBS = ROOT/"nbs"
NOTEBOOKS = sorted(p for p in NBS.rglob("*.ipynb") if not {".ipynb_checkpoints", "_proc"} & set(p.relative_to(NBS).parts))

# These take a few seconds each; what they leave out, test_quick.py looks at once
QUICK = """
00_core 01_synth 02_show 10_containers 13_sampling 12_packets 03_labels 20_augment 16_shots 21_views 23_cache 24_ahead 25_pipeline
30_shares 32_metrics 33_calibration 34_passages 37_card 40_trust 60_scan_files 43_verdict 46_confine 71_intake 70_app_config 72_job_store 74_openapi 75_observe 84_doctor 55_timings 82_terminal 90_checks
""".split()
SLOW = {p.name for p in NOTEBOOKS if p.stem not in QUICK}


# Imported once, in a process that then makes a child for each notebook: importing all of it takes up to ten seconds of a processor
LOADED = "aivd_nb.core nbdev.test IPython pandas sklearn.linear_model sklearn.metrics seaborn cv2 av onnxruntime keras".split()
FRESH = ["work_offline"] # it shows what isn't loaded


def as_nbdev_does(path, said):
    "What `nbdev_test --path` does, in a process of its own; what is printed goes to a file"
    with open(said, "wb") as f:
        for stream in (1, 2): os.dup2(f.fileno(), stream)
    os.chdir(ROOT)
    from nbdev.config import get_config
    from nbdev.test import test_nb
    passed, _ = test_nb(path, skip_flags=get_config().tst_flags.split(), basepath=ROOT)
    raise SystemExit(0 if passed else 1)


@pytest.fixture(scope="session")
def loaded():
    "Makes processes in which everything heavy is imported"
    with pytest.MonkeyPatch.context() as m:
        m.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        start = multiprocessing.get_context("forkserver")
        start.set_forkserver_preload(LOADED)
        start.Process(target=int).start()
    return start


def named(path): return str(path.relative_to(NBS))

def marked(path): return pytest.param(path, id=named(path), marks=[pytest.mark.slow] if path.name in SLOW else [])


@pytest.mark.parametrize("path", [marked(p) for p in NOTEBOOKS])
def test_runs(path, loaded, tmp_path):
    start = multiprocessing.get_context("spawn") if path.stem in FRESH else loaded
    child = start.Process(target=as_nbdev_does, args=(path, tmp_path/"said"))
    child.start()
    child.join(900)
    child.kill()
    child.join()
    assert child.exitcode == 0, f"exit {child.exitcode}\n{(tmp_path/'said').read_text(errors='replace')[-6000:]}"


def test_quick_names_notebooks(): assert set(QUICK) <= {p.stem for p in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_is_not_skipped(path):
    "nbdev passes over these without a word; a notebook that can't run everywhere has to say so in its own cells"
    assert not (path.parent/".notest").exists() and not path.name.startswith("_")
    text = "\n".join("".join(c["source"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"])
    assert not re.search(r"(?m)^\s*-?\s*skip_exec\s*:", text)
    assert not re.search(r"(?m)^#\|\s*notest\b", text)
