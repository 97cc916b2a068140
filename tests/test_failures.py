"""One failure: the same four fields wherever it is told, codes from one table, and one opinion on which of them pass."""
import ast, json, sqlite3

import pytest
from conftest import ROOT

from aivd_nb import Failure, VideoError
from aivd_nb.core import CODES
from aivd_nb.synth import BROKEN, make_broken

FIELDS = ("code", "problem", "remedy")


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    return {c: make_broken(folder, c) for c in sorted(BROKEN)}


@pytest.fixture(scope="module")
def failures(broken):
    "What the reader says"
    from aivd_nb.video import probe
    found = {}
    for code, path in broken.items():
        with pytest.raises(VideoError) as e: probe(path)
        found[code] = Failure.of(path, e.value)
    return found


def named_codes():
    "Codes that the package's errors are raised with, as (module, line, code)"
    for path in sorted((ROOT/"aivd_nb").glob("*.py")):
        for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(n, ast.Call) or not ast.unparse(n.func).endswith(("Error", "Failure")): continue
            given = [a for a in n.args[3:4] if ast.unparse(n.func).endswith("Error")] + [k.value for k in n.keywords if k.arg == "code"]
            yield from ((path.name, n.lineno, a.value) for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str))


def test_every_code_stands_in_the_table():
    codes = list(named_codes())
    assert len(codes) > 20 and [c for c in codes if c[2] not in CODES] == []


def test_a_message_is_made_of_the_fields(failures):
    for path, f in ((f.file, f) for f in failures.values()):
        assert f.message == f"{path}: {f.problem}. {f.remedy}" and path not in f.problem + f.remedy
        assert list(f.to_dict()) == ["file", *FIELDS]


def test_server_and_scan_agree_on_what_passes():
    from aivd_nb.job_store import _PASSING
    from aivd_nb.scan_store import PASSING
    assert set(PASSING) == set(_PASSING) == {c for c, code in CODES.items() if code.passes} and "stalled" in PASSING


def test_the_command_line_tells_the_fields(broken, failures):
    from click.testing import CliRunner
    from aivd_nb.cli import main
    asked = {c: str(p) for c, p in broken.items() if c != "folder"} # of a folder, the command takes what lies in it
    done = CliRunner().invoke(main, ["predict", *asked.values(), "--json", "--no-cache", "--bundle", "efficientnet_lite0"])
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert rows == [failures[c].to_dict() for c in asked]


def test_a_table_tells_the_fields(tmp_path, broken, failures):
    import pandas as pd
    from aivd_nb.scan import scan
    scan([p for c, p in broken.items() if c not in ("missing", "folder")], tmp_path/"out", bundle="efficientnet_lite0", workers=1)
    table = pd.read_parquet(tmp_path/"out").set_index("path")
    assert {p: tuple(table.loc[p, list(FIELDS)]) for p in table.index} == {f.file: (f.code, f.problem, f.remedy) for f in failures.values() if f.file in table.index}


def test_a_table_of_an_older_version_goes_on(tmp_path):
    "Its columns `error` and `message` are read as `code` and `problem`"
    import pyarrow as pa, pyarrow.parquet as pq
    from aivd_nb.scan_store import ScanStore
    old = {"path": ["/a", "/b"], "digest": ["d1", "d2"], "label": ["Real", None], "probability": [.1, None], "bundle": ["b@1"]*2, "error": [None, "stalled"], "message": [None, "hangs. Copy it"]}
    pq.write_table(pa.table(old), tmp_path/"part-000001.parquet")
    with ScanStore(tmp_path) as store:
        assert store.known("/a", "b@1").settled and not store.known("/b", "b@1").settled
        assert store.row("d1", "b@1")["label"] == "Real"


def test_a_store_of_an_older_version_goes_on(tmp_path):
    from aivd_nb import job_store
    old = job_store._SCHEMA.replace("code text, problem text", "error text, message text")
    db = sqlite3.connect(tmp_path/"jobs.sqlite")
    db.executescript(f"{old} pragma application_id={job_store._MAKE}; pragma user_version=2;")
    db.execute("insert into jobs(id, digest, model, name, size, state, created, error, message, remedy) values('j', 'd', 'm', 'a.mp4', 1, 'failed', 1.0, 'empty', 'is empty', 'Copy it')")
    db.commit()
    db.close()
    store = job_store.JobStore(tmp_path/"jobs.sqlite")
    assert [store.get("j")[k] for k in FIELDS] == ["empty", "is empty", "Copy it"]
    assert store.create("d", "m", "b.mp4", 1, known=True) and not job_store.CODES["empty"].passes
    store.close()
