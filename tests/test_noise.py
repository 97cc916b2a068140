"""What libraries say about themselves is not heard: TensorFlow, absl, oneDNN, CUDA, HDF5, Keras' bars. Where `AIVD_VERBOSE` asks for it, it is."""
import os
import sys

import pytest
from check_site import NOISE
from conftest import ROOT, run

PLAIN = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "AIVD_VERBOSE"))}
KERAS = "from aivd_nb.core import import_keras; print(import_keras().__name__)"


def said(code, *args, cwd=ROOT, **env):
    "Standard output and error of a process, without what we would have set for it"
    done = run(sys.executable, "-c", code, *args, cwd=cwd, env=PLAIN | env)
    return done.stdout, done.stderr


def test_importing_keras_is_silent():
    assert said(KERAS) == ("keras\n", "")


def test_verbose_lets_everything_through():
    out, err = said(KERAS, AIVD_VERBOSE="1")
    assert out == "keras\n" and NOISE.search(err), err


TRAIN = "from aivd_nb.cli import main; main()"


def test_training_and_evaluating_say_only_what_is_ours(tmp_path):
    "From clips to a bundle on the CNN that ships, then its figures: one bar at most, and no line of a library"
    from aivd_nb.synth import make_dataset
    make_dataset(tmp_path/"data", 6)
    said(TRAIN, "labels", "data", cwd=tmp_path)
    few = ("--windows", "1", "--length", "4", "--set", "epochs=2")
    for command in (("train", "data/labels.csv", "--out", "my", *few), ("evaluate", "data/labels.csv", "--bundle", "my"), ("predict", "data/real/real_000.mp4", "--bundle", "my")):
        out, err = said(TRAIN, *command, cwd=tmp_path)
        bars = "\n".join(line for line in err.replace("\r", "\n").splitlines() if not line.lstrip().startswith(("efficientnet_lite0:", "head:", "scoring")))
        assert not NOISE.search(out + bars), (command, out, err)


BAR = """
import numpy as np
from aivd_nb.heads import HeadConfig
from aivd_nb.train import TrainConfig, train_head
x, y = np.random.default_rng(0).normal(size=(8, 3, 4)).astype("float32"), np.arange(8) % 2
train_head(HeadConfig(units=2), TrainConfig(epochs=3), x, y, validation=(x, y.astype("float32")), progress=True)
"""


def test_one_bar_with_epoch_and_validation():
    _, err = said(BAR)
    last = err.rstrip().replace("\r", "\n").splitlines()
    assert any("3/3" in line and "loss=" in line and "validation=" in line for line in last), err
    assert "━" not in err and not NOISE.search("\n".join(line for line in last if not line.startswith("head:"))), err
