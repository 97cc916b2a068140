"""Every command of the README is run. Its bash and console blocks run in order in one copy of the checkout; its python blocks as one program.

Two blocks are not run here: those marked `<!-- ci:setup -->` and `<!-- ci:test -->`. `.ci/run` executes exactly these two (a test can't
make the environment that it runs in, and running pytest from pytest would never end).
"""
import os, re, sys

import pytest
from conftest import ROOT, run

BLOCK = re.compile(r"(?ms)^(?:<!--\s*ci:(?P<mark>\w+)\s*-->\s*)?^```[ ]*\{?\.?(?P<lang>\w*)[^\n]*\n(?P<code>.*?)\n```[ ]*$")
BLOCKS = [m.groupdict() for m in BLOCK.finditer((ROOT/"README.md").read_text(encoding="utf-8"))]
SHELL = ("bash", "sh", "shell", "console")


def commands(block):
    "What a person would type: in a console block, the lines after `$ ` and those that continue them"
    if block["lang"] != "console": return block["code"]
    return "\n".join(re.findall(r"(?m)^\$ ((?:.*\\\n)*.*)$", block["code"]))


def shown(i):
    "The output that the README shows for block i: the console's other lines, or the text block right after it"
    if BLOCKS[i]["lang"] == "console": return re.sub(r"(?m)^\$ (?:.*\\\n)*.*$", "", BLOCKS[i]["code"])
    return BLOCKS[i + 1]["code"] if i + 1 < len(BLOCKS) and BLOCKS[i + 1]["lang"] == "text" else ""


def words(text): return set(re.findall(r"[^\W\d_]{3,}", text))


def environ(tmp):
    "No collection and no weights: the README is for people who have neither"
    return {k: v for k, v in os.environ.items() if k not in ("AIVD_SHARED", "AIVD_WEIGHTS")} | {"AIVD_CACHE": str(tmp/"cache")}


RUN = [i for i, b in enumerate(BLOCKS) if b["lang"] in SHELL and b["mark"] not in ("setup", "test")]


def test_both_commands_of_the_gate_are_marked():
    assert sorted(b["mark"] for b in BLOCKS if b["mark"]) == ["setup", "test"]


def test_every_block_says_what_it_is():
    "A fence without a language would be run by nobody"
    assert [b["code"] for b in BLOCKS if b["lang"] not in (*SHELL, "python", "text", "json", "csv", "bibtex")] == []


@pytest.mark.parametrize("i", RUN, ids=lambda i: commands(BLOCKS[i]).splitlines()[0][:60])
def test_commands(copy, tmp_path, i):
    out = run("bash", "-euo", "pipefail", "-c", commands(BLOCKS[i]), cwd=copy, env=environ(tmp_path)).stdout
    assert words(shown(i)) - words(out) == set(), f"the README shows words that the command doesn't say:\n{out}"


def test_python_blocks(copy, tmp_path):
    code = "\n\n".join(b["code"] for b in BLOCKS if b["lang"] == "python")
    assert code, "the README has no Python"
    run(sys.executable, "-c", code, cwd=copy, env=environ(tmp_path))
