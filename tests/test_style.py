"""A style that tools can check: names that are there, types that fit, words that are spelt as the dictionary has them."""
import json, re, sys

import pytest
from conftest import BIN, ROOT, run


def notebooks(*folders):
    "Notebooks of some folders of `nbs`, with their cells"
    paths = [ROOT/"nbs"/"index.ipynb", *(p for f in folders for p in sorted((ROOT/"nbs"/f).glob("*.ipynb")))]
    return {p: json.loads(p.read_text(encoding="utf-8"))["cells"] for p in paths}


def python_of(cells):
    "The Python of a page's cells; magics and shell lines are left out"
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    return "\n\n".join(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", c) for c in code if not c.startswith("%%"))


def fenced(text):
    "The Python blocks of a page of Markdown"
    return "\n\n".join(re.findall(r"(?sm)^```python\n(.*?)^```", text))


def test_ruff():
    run(BIN/"ruff", "check", "--quiet", cwd=ROOT)


def test_the_package_is_typed():
    "What users' type checkers see of it: the marker of PEP 561, and every public name of the first line"
    import aivd_nb
    assert (ROOT/"aivd_nb"/"py.typed").is_file()
    code = (ROOT/"aivd_nb"/"__init__.py").read_text(encoding="utf-8")
    assert set(re.findall(r"(?m)^    from \.\w+ import (\w+) as \1$", code)) == set(aivd_nb._PLACES)


@pytest.fixture(scope="module")
def complaints(tmp_path_factory):
    "What pyright says of the package and of the code that readers copy: {file: [line, message]}"
    pages = tmp_path_factory.mktemp("pages")
    (pages/"README.py").write_text(fenced((ROOT/"README.md").read_text(encoding="utf-8")), encoding="utf-8")
    for path, cells in notebooks("tutorials").items(): (pages/f"{path.stem}.py").write_text("from IPython import get_ipython\n" + python_of(cells), encoding="utf-8")
    (pages/"wrong.py").write_text("from aivd_nb import Detector\nDetector.load().predict_all('a.mp4')\n", encoding="utf-8")
    settings = {"include": [str(ROOT/"aivd_nb"), str(pages)], "exclude": [str(ROOT/"aivd_nb"/"_modidx.py")], "extraPaths": [str(ROOT)],
        "typeCheckingMode": "basic", "reportUnusedExpression": False, "reportUnusedCoroutine": False, "reportMissingModuleSource": False}
    (pages/"pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    done = run(BIN/"basedpyright", "--project", pages/"pyrightconfig.json", "--pythonpath", sys.executable, "--outputjson", cwd=pages, check=False)
    found = {}
    for d in json.loads(done.stdout)["generalDiagnostics"]:
        if d["severity"] == "error": found.setdefault(re.split(r"[/\\]", d["file"])[-1], []).append((d["range"]["start"]["line"] + 1, d["message"]))
    return found


def test_types(complaints):
    "Of the package, the README and the tutorials"
    assert {f: c for f, c in complaints.items() if f != "wrong.py"} == {}


def test_types_are_looked_at(complaints):
    "A name that a detector does not have is seen"
    assert "predict_all" in complaints["wrong.py"][0][1]


def test_spelling(tmp_path):
    "Notebooks' prose and code (no outputs, which hold pictures), pages of the checkout, templates"
    for path, cells in notebooks("api", "tutorials", "howto", "explain", "results", "cards").items():
        text = "\n".join("".join(c["source"]) for c in cells)
        (tmp_path/f"{path.parent.name}_{path.stem}.txt").write_text(re.sub(r"[A-Za-z0-9+/=]{60,}", "", text), encoding="utf-8")
    pages = [ROOT/n for n in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "aivd_nb/templates")]
    run(BIN/"codespell", "--toml", ROOT/"pyproject.toml", tmp_path, *pages, cwd=ROOT)
