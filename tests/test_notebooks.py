"""Every notebook runs from top to bottom: one case each, so that pytest's last line counts them."""
import json, re

import pytest
from conftest import ROOT, run

NBS = ROOT/"nbs"
NOTEBOOKS = sorted(p for p in NBS.rglob("*.ipynb") if not {".ipynb_checkpoints", "_proc"} & set(p.relative_to(NBS).parts))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: str(p.relative_to(NBS)))
def test_runs(path):
    done = run("nbdev_test", "--path", path.relative_to(ROOT), cwd=ROOT, timeout=900)
    assert "Success." in done.stdout, f"nbdev_test ran nothing: {done.stdout}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: str(p.relative_to(NBS)))
def test_is_not_skipped(path):
    "nbdev passes over these without a word; a notebook that can't run everywhere has to say so in its own cells"
    assert not (path.parent/".notest").exists() and not path.name.startswith("_")
    text = "\n".join("".join(c["source"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"])
    assert not re.search(r"(?m)^\s*-?\s*skip_exec\s*:", text)
    assert not re.search(r"(?m)^#\|\s*notest\b", text)
