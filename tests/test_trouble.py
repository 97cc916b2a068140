"""Full disks, read-only homes and closed streams: one line on standard error, nothing half-written, and the right thing blamed."""
import os
import shutil
import subprocess
import sys
from pathlib import Path
import pyarrow.parquet as pq
import pytest
from aivd_nb.synth import generated_frames, make_dataset, write_clip

CAN = sys.platform == "linux" and bool(shutil.which("unshare")) and subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0
needs_mounts = pytest.mark.skipif(not CAN, reason="this system lets its users mount nothing")
AIVD = [sys.executable, "-c", "from aivd_nb.cli import main; main()"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip")/"clip.mp4", list(generated_frames(48, (320, 240))), fps=24)


def run(script, *args, **env):
    "A shell script in which $@ is the command `aivd` with its arguments"
    return subprocess.run(["sh", "-c", script, "sh", *AIVD, *map(str, args)], capture_output=True, text=True, env=os.environ | env, timeout=400)


def full(folder, size, *args, **env):
    "A command in a namespace in which `folder` is a disk of a few kilobytes; what it left there is listed on standard output"
    script = f'mount -t tmpfs -o size={size} none "{folder}" && cd "{folder}" && "$@"; code=$?; find "{folder}" -type f; cp -r "{folder}" "{folder}.left"; exit $code'
    return subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", *AIVD, *map(str, args)], capture_output=True, text=True, env=os.environ | env, timeout=400)


def one_line(done, *words):
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("Preparing", "WARNING", "I0000", "E0000")) and "videos/s" not in line and "it/s" not in line and line.strip()]
    assert done.returncode == 2 and len(lines) == 1, (done.returncode, done.stderr)
    assert lines[0].startswith(("aivd: ", "✗ ")) and all(w in lines[0] for w in words), lines[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", [["provenance"], ["probe"], ["predict"]])
def test_standard_output_is_full(clip, command):
    one_line(run('"$@" > /dev/full', *command, clip), "can't be written", "No space left")


@pytest.mark.parametrize("how", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(clip, how, tmp_path):
    done = run(f'"$@" {how}', "predict", clip, AIVD_CACHE=str(tmp_path))
    assert done.returncode == 0 and "Traceback" not in done.stderr
    done = run(f'"$@" {how}', "scan", clip, "--out", tmp_path/"found")
    assert done.returncode == 0 and (tmp_path/"found"/"part-000001.parquet").is_file(), done.stderr


def test_a_reader_that_leaves(clip):
    done = run('"$@" | true', "provenance", clip)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


@needs_mounts
def test_full_frames_and_explanations(clip, tmp_path):
    done = full(tmp_path, "64k", "frames", clip, "--out", tmp_path/"frames", TMPDIR="/tmp")
    one_line(done, "can't be written")
    assert ".tmp-" not in done.stdout
    for name in ("why.json", "why.png"):
        done = full(tmp_path, "4k,nr_inodes=1", "explain", clip, "--no-places", "--out", tmp_path/name, TMPDIR="/tmp")
        one_line(done, name, "can't be written")
        assert str(tmp_path/name) not in done.stdout


@needs_mounts
@pytest.mark.parametrize("size", ["4k", "8k", "16k", "32k", "64k"])
def test_full_scan(clip, tmp_path, size):
    done = full(tmp_path, size, "scan", clip, "--out", tmp_path/"found", TMPDIR="/tmp")
    if done.returncode == 0:
        pytest.skip("it fits")
    one_line(done, "can't be written")
    assert "another scan" not in done.stderr and ".tmp-" not in done.stdout
    for part in Path(f"{tmp_path}.left").glob("found/*.parquet"): # written before the index ran out of room: whole
        assert pq.read_table(part).num_rows == 1


@needs_mounts
def test_full_labels_and_report(tmp_path):
    data = make_dataset(tmp_path/"data", 2)
    (tmp_path/"small").mkdir()
    one_line(full(tmp_path/"small", "0k,nr_inodes=1", "labels", data, "--out", tmp_path/"small"/"labels.csv", TMPDIR="/tmp"), "labels.csv")
    assert run('"$@"', "labels", data).returncode == 0
    done = full(tmp_path/"small", "32k", "evaluate", data/"labels.csv", "--out", tmp_path/"small"/"report", "--draws", "10", TMPDIR="/tmp")
    one_line(done, "can't be written")
    assert "report.html" not in done.stdout


@needs_mounts
def test_full_cache_costs_the_cache_only(clip, tmp_path):
    done = full(tmp_path, "4k", "predict", clip, AIVD_CACHE=str(tmp_path), TMPDIR="/tmp")
    assert done.returncode == 0 and "probability of AI" in done.stdout and ".tmp-" not in done.stdout


@needs_mounts
@pytest.mark.parametrize("command", [["predict"], ["explain", "--no-places"], ["provenance"], ["scan", "--out", "{out}"]])
def test_read_only_home(clip, tmp_path, command):
    (tmp_path/"home").mkdir()
    home = tmp_path/"home"
    script = f'mount --bind "{home}" "{home}" && mount -o remount,bind,ro "{home}" && "$@"'
    env = {k: v for k, v in os.environ.items() if k not in ("AIVD_CACHE", "XDG_CACHE_HOME", "MPLCONFIGDIR")} | {"HOME": str(home)}
    args = [a.format(out=tmp_path/"found") for a in command]
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", *AIVD, args[0], clip, *args[1:]], capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert list(home.iterdir()) == []


@needs_mounts
def test_full_onnx_export(clip, tmp_path):
    "The export of a CNN is larger than this disk: told in a line, or made where there is room; never half of it in the cache"
    from aivd_nb.core import WeightsError
    from aivd_nb.featurizers import find_weights
    try:
        find_weights("mobilenetv2", download=False)
    except WeightsError:
        pytest.skip("the CNN weights are not here")
    done = full(tmp_path, "1m", "predict", clip, "--bundle", "mobilenetv2", AIVD_CACHE=str(tmp_path), TMPDIR="/tmp", TF_CPP_MIN_LOG_LEVEL="3")
    assert ".onnx" not in done.stdout and ".tmp-" not in done.stdout and "Traceback" not in done.stderr
    assert done.returncode == 2 and "can't be written (No space left on device)" in done.stderr
