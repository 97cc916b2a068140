"""Copies of known clips are found by a scan, though encoded again, cropped or given a logo; strangers are not."""
from pathlib import Path
import pandas as pd
import pytest
from click.testing import CliRunner
from aivd_nb.cli import main
from aivd_nb.hashes import read_hashes
from aivd_nb.synth import camera_frames, encode, ffmpeg, generated_frames

H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")


def aivd(*args):
    return CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    d = tmp_path_factory.mktemp("library")
    encode(d/"known.mp4", camera_frames(40, (320, 240)), *H264)
    encode(d/"stranger.mp4", generated_frames(40, (320, 240)), *H264)
    (d/"found").mkdir()
    for name, change in {"again": "scale=160:120", "cropped": "crop=iw:ih*0.9:0:0", "logo": "drawbox=x=200:y=10:w=90:h=30:color=white:t=fill"}.items():
        ffmpeg("-i", d/"known.mp4", "-vf", change, "-crf", "32", d/"found"/f"{name}.mp4")
    (d/"stranger.mp4").rename(d/"found"/"stranger.mp4")
    return d


def test_hash_and_scan(library, tmp_path):
    r = aivd("hash", library/"known.mp4", library/"none.mp4", "--out", tmp_path/"hashes.csv")
    assert r.exit_code == 1 and "none.mp4" in r.stderr and [Path(c.path).name for c in read_hashes(tmp_path/"hashes.csv")] == ["known.mp4"]
    r = aivd("scan", library/"found", "--out", tmp_path/"out", "--known", tmp_path/"hashes.csv", "--workers", "1")
    assert r.exit_code == 0 and "3 seen before" in r.output, r.output
    table = pd.read_parquet(tmp_path/"out").astype({"near": object}).fillna({"near": ""})
    near = {Path(p).name: Path(n).name for p, n in zip(table.path, table.near)}
    assert near == {"again.mp4": "known.mp4", "cropped.mp4": "known.mp4", "logo.mp4": "known.mp4", "stranger.mp4": ""}


def test_one_another_also_after_a_restart(library, tmp_path):
    (tmp_path/"empty.csv").write_text("file_path,hashes_v1\n")
    aivd("scan", library/"found"/"again.mp4", "--out", tmp_path/"out", "--known", tmp_path/"empty.csv", "--workers", "1")
    aivd("scan", library/"found", "--out", tmp_path/"out", "--known", tmp_path/"empty.csv", "--workers", "1")
    table = pd.read_parquet(tmp_path/"out").fillna({"near": ""}).set_index("path")
    near = {Path(p).name: Path(n).name for p, n in table.near.items()}
    assert near["again.mp4"] == "" and near["stranger.mp4"] == "" and near["cropped.mp4"] in ("again.mp4", "logo.mp4") and near["logo.mp4"] in ("again.mp4", "cropped.mp4")


def test_a_bad_list_is_one_line(library, tmp_path):
    (tmp_path/"bad.csv").write_text("no,list\n1,2\n")
    r = aivd("scan", library/"found", "--out", tmp_path/"out", "--known", tmp_path/"bad.csv")
    assert r.exit_code == 2 and r.stderr.count("\n") == 1 and "aivd hash" in r.stderr
