"""The command as a stranger's terminal has it: folders and lists, exit codes, encodings, colour, names that bite, help, completion, the doctor."""
import csv
import io
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from importlib.metadata import requires
from pathlib import Path
import click
import pytest
from click.testing import CliRunner
from conftest import BIN, ROOT
from aivd_nb.cli import main
from aivd_nb.cli_page import command_page
from aivd_nb.doctor import known_variables
from aivd_nb.synth import camera_frames, write_clip
from aivd_nb.terminal import LEFT, SECTIONS, TERMINATED

AIVD = [sys.executable, "-c", "from aivd_nb.cli import main; main(prog_name='aivd')"]
BITES = "\x1b[31mred\x1b]0;owned\x07\nReal é.mp4"
DROPPED = "-dac_override,-dac_read_search"
PLAIN = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "TERM", "PYTHONIOENCODING", "COLUMNS")}


def aivd(*args, stdin=None, cwd=None, **env):
    "Run the command in a pipe; bytes"
    return subprocess.run([*AIVD, *map(str, args)], input=stdin, capture_output=True, env=PLAIN | env, cwd=cwd, timeout=300)


def on_terminal(*args, **env):
    "What a terminal gets of both streams, and the exit code"
    pid, fd = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(1, (40, 100))
        os.execve(AIVD[0], [*AIVD, *map(str, args)], PLAIN | {"TERM": "xterm"} | env)
    said = b""
    while True:
        try: more = os.read(fd, 65536)
        except OSError: break # the other side is closed
        if not more: break
        said += more
    return said.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    "A folder with two clips, one of them deep inside and with a name that bites, a broken one, and what is no video"
    top = tmp_path_factory.mktemp("library")
    clip = write_clip(top/"good.mp4", camera_frames(50, (320, 240)))
    (top/"deep").mkdir()
    shutil.copy(clip, top/"deep"/BITES)
    (top/"broken.mp4").write_bytes(b"no video")
    (top/"readme.txt").write_text("no video")
    return top


def is_plain(text): return all(c.isprintable() or c == "\n" for c in text)


# ---- which clips

def test_a_folder(library):
    done = aivd("predict", library.name, "--json", cwd=library.parent)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["file"] for r in rows] == [f"{library.name}/{n}" for n in ("broken.mp4", "good.mp4", f"deep/{BITES}")]
    assert done.returncode == 1 and done.stderr.decode() == "3 clips to look at\n"


def test_a_list_on_standard_input(library):
    done = aivd("predict", "-", "--csv", stdin=f"{library}/good.mp4\r\n\n{library}/none.mp4\n".encode(), PYTHONIOENCODING="ascii")
    head, good, none = csv.reader(io.StringIO(done.stdout.decode()))
    assert done.returncode == 1 and b"2 clips to look at" in done.stderr
    assert (good[0], good[head.index("problem")]) == (f"{library}/good.mp4", "") and 0 <= float(good[head.index("probability")]) <= 1
    assert none[head.index("label")] == "" and "can't be found" in none[head.index("problem")]


def test_a_table_has_no_formulas(library, tmp_path):
    "A spreadsheet runs what begins with one of these; JSON has the names as they are"
    names = ["=1+1.mp4", "+1.mp4", "@x.mp4", "-1.mp4"]
    (tmp_path/names[0]).write_bytes((library/"good.mp4").read_bytes())
    rows = list(csv.DictReader(io.StringIO(aivd("predict", "--csv", "--", *names, cwd=tmp_path).stdout.decode())))
    assert [r["file"] for r in rows] == [f"'{n}" for n in names] and 0 <= float(rows[0]["probability"]) <= 1
    said = aivd("predict", "--json", "--", *names[1:], cwd=tmp_path).stdout.decode()
    assert [json.loads(line)["file"] for line in said.splitlines()] == names[1:]


@pytest.mark.parametrize("stdin", [b"", b"\n\n"])
def test_an_empty_list_is_wrong_use(stdin):
    done = aivd("predict", "-", stdin=stdin)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"standard input names no clip" in done.stderr


def test_a_folder_without_videos_costs_itself(library, tmp_path):
    done = aivd("predict", tmp_path, library/"good.mp4")
    assert done.returncode == 1 and b"holds no video" in done.stderr and b"1 not analysed" in done.stdout


def test_others_take_folders_too(library, tmp_path):
    for command in (["probe"], ["provenance"], ["frames", "--out", tmp_path/"frames"], ["hash", "--out", tmp_path/"hashes.csv"]):
        done = aivd(command[0], library, *command[1:])
        assert done.returncode == 1 and b"3 clips to look at" in done.stderr and done.stderr.decode().count("✗") == 1, (command, done.stderr)


@pytest.mark.parametrize("command", [["predict"], ["probe"], ["provenance"], ["hash", "--out", "h.csv"], ["frames"], ["scan", "--workers", "1"]])
def test_a_file_that_may_not_be_read_costs_itself(library, tmp_path, command):
    shutil.copy(library/"good.mp4", tmp_path/"closed.mp4")
    (tmp_path/"closed.mp4").chmod(0)
    mine = [] if os.geteuid() else ["setpriv", "--bounding-set", DROPPED, "--inh-caps", DROPPED] # root may read everything
    if mine and not shutil.which("setpriv"): pytest.skip("root, and no setpriv")
    args = [*mine, *AIVD, *command, "closed.mp4", library/"good.mp4"]
    done = subprocess.run(args, capture_output=True, env=PLAIN, cwd=tmp_path, text=True, timeout=300)
    assert done.returncode == 1 and "closed.mp4: can't be read (Permission denied). Check its permissions" in done.stderr, done.stderr
    assert done.stderr.count("✗") == 1 and done.stdout


# ---- exit codes

@pytest.mark.parametrize("args, code", [
    (["predict", "{good}"], 0), (["predict", "{good}", "{broken}"], 1), (["predict", "{good}", "--nonsense"], 2), (["predict", "{good}", "--bundle", "nobody"], 2),
    (["predict", "{good}", "--json", "--csv"], 2), (["predict", "https://example.org/a.mp4", "--shots"], 2), (["predict"], 2), (["nonsense"], 2),
    (["predict", "{good}", "--fail-on", "inconclusive", "--fail-on", "ai"], 3), (["predict", "{broken}", "--fail-on", "error"], 3), (["predict", "{broken}", "--fail-on", "ai"], 1),
    (["explain", "{broken}"], 1), (["explain", "{good}", "--out", "x.txt"], 2), (["probe", "{broken}"], 1), (["probe", "{good}"], 0), (["provenance", "{missing}"], 1),
    (["provenance", "{good}", "--trust", "{broken}"], 2), (["hash", "{broken}", "--out", "{tmp}/h.csv"], 1), (["hash", "{good}"], 2), (["hash", "{good}", "--out", "{tmp}"], 2), (["hash", "{good}", "--out", "{good}/h.csv"], 2), (["scan", "{good}", "--out", "{good}"], 2), (["scan", "{good}", "--workers", "0"], 2), (["labels", "{tmp}"], 2), (["frames", "{broken}", "--out", "{tmp}/f"], 1),
    (["frames", "{good}", "--every", "0"], 2), (["scan", "{broken}", "--out", "{tmp}/r", "--workers", "1"], 1), (["scan", "{good}", "{missing}", "--out", "{tmp}/r2", "--workers", "1"], 1), (["scan", "{missing}/*.mp4", "--out", "{tmp}/r2", "--workers", "1"], 1), (["predict", "{good}", "{missing}"], 1),
    (["serve", "--port", "99999"], 2), (["serve", "--port", "http"], 2), (["evaluate", "{missing}", "--out", "{tmp}/e"], 2), (["train", "{missing}", "--out", "{tmp}/t"], 2), (["card", "nobody"], 2)])
def test_exit_codes(library, tmp_path, args, code):
    places = {"good": library/"good.mp4", "broken": library/"broken.mp4", "missing": library/"missing.mp4", "tmp": tmp_path}
    done = aivd(*[a.format(**places) for a in args], cwd=tmp_path)
    assert done.returncode == code and b"Traceback" not in done.stderr, (done.returncode, done.stderr.decode())


def test_what_was_mistyped_is_named(library):
    done = aivd("predict", library/"good.mp4", AIVD_BUNDLE="zzz")
    assert done.returncode == 2 and done.stderr.startswith(b"aivd: AIVD_BUNDLE=zzz: is neither a bundle folder")
    assert b"given as ./-name, or after --" in aivd("predict", "-dash.mp4").stderr


def test_interrupted(library):
    child = subprocess.Popen([*AIVD, "predict", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=PLAIN)
    time.sleep(1.5) # it waits for its list
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert (child.returncode, said) == (130, b"aivd: stopped\n")


def test_terminated_and_left(library):
    "What a shell is told is what the table of exit codes says"
    child = subprocess.Popen([*AIVD, "predict", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=PLAIN)
    time.sleep(1.5)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)
    assert 128 - child.returncode == TERMINATED
    script = 'set -o pipefail; "$@" | head -1; exit ${PIPESTATUS[0]}'
    done = subprocess.run(["bash", "-c", script, "sh", *AIVD, "provenance", *[library/"good.mp4"]*5], capture_output=True, env=PLAIN)
    assert done.stdout.count(b"\n") == 1 and done.returncode in (0, LEFT) and done.stderr == b""


@pytest.mark.parametrize("command", ["predict", "probe", "provenance"])
def test_failures_are_objects_too(library, command):
    "With --json, each clip has one, and standard error stays empty"
    places = [library/"good.mp4", library/"broken.mp4", library/"none.mp4", "s3://films/a.mp4"]
    done = aivd(command, "--json", *places)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and not done.stderr and [r["file"] for r in rows] == list(map(str, places))
    assert all(list(r) == ["file", "code", "problem", "remedy"] for r in rows[1:]) and "aivd scan" in rows[-1]["remedy"]


def test_every_row_that_is_wrong_has_its_line(library, tmp_path):
    for label in ("real", "ai"):
        (tmp_path/label).mkdir()
        shutil.copy(library/"good.mp4", tmp_path/label)
    assert aivd("labels", tmp_path).returncode == 0
    done = aivd("evaluate", tmp_path/"labels.csv", "--out", tmp_path/"report")
    assert done.returncode == 2 and [line.strip()[:5] for line in done.stderr.decode().splitlines()][1:] == ["row 3"], done.stderr


def test_a_reader_that_leaves(library):
    done = subprocess.run(["sh", "-c", '"$@" | true', "sh", *AIVD, "card"], capture_output=True, env=PLAIN)
    assert done.stderr == b""
    both = 'set -o pipefail; "$@" | true'
    done = subprocess.run(["bash", "-c", both, "sh", *AIVD, "card"], capture_output=True, env=PLAIN)
    assert done.returncode in (0, 141) and done.stderr == b"" # 1 would be a clip that can't be analysed


# ---- encodings, colour, names

@pytest.mark.parametrize("encoding", ["cp1252", "latin1", "cp437", "ascii", "utf-8"])
def test_every_encoding_gives_a_verdict(library, encoding):
    done = aivd("predict", library, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    said = done.stdout.decode(encoding)
    assert done.returncode == 1 and b"Traceback" not in done.stderr and said.count("probability of AI") == 2, done.stderr
    bar, other = ("█", "#") if encoding in ("cp437", "utf-8") else ("#", "█")
    assert bar in said and other not in said
    if encoding == "ascii": of_others(library)


def of_others(library):
    "The other commands in the poorest encoding"
    for command in (["card"], ["probe", library/"good.mp4"], ["provenance", library], ["doctor"], ["serve", "--settings"]):
        assert b"Traceback" not in aivd(*command, PYTHONIOENCODING="ascii", PYTHONUTF8="0").stderr, command


def test_json_is_exact_in_every_encoding(library):
    said = [json.loads(aivd("predict", library, "--json", PYTHONIOENCODING=e, PYTHONUTF8="0").stdout.splitlines()[2]) for e in ("ascii", "cp1252", "utf-8")]
    assert len({(r["file"], r["words"], str(r["warnings"]), r["how_often_wrong"]) for r in said}) == 1 and said[0]["file"].endswith(BITES)


@pytest.mark.parametrize("command", [["predict"], ["predict", "--csv"], ["predict", "--json"], ["predict", "--shots"], ["probe"], ["probe", "--json"], ["provenance"], ["provenance", "--json"], ["explain", "--no-places"],
    ["frames", "--out", "{tmp}/frames"], ["hash", "--out", "{tmp}/h\x1b.csv"], ["labels"], ["card"], ["evaluate", "--out", "{tmp}/e"], ["train", "--out", "{tmp}/t"], ["scan", "--out", "{tmp}/s\x1b[2J"], ["serve", "--config"], ["nonsense"]])
def test_names_are_spelled(library, tmp_path, command):
    "In answers and in errors, of files that are there and of files that aren't"
    for name in (library/"deep"/BITES, tmp_path/"none\x1b[2J\n.mp4"):
        done = aivd(*[a.format(tmp=tmp_path) for a in command], name)
        said = (done.stdout + done.stderr).decode()
        assert said and is_plain(said) and "Traceback" not in said, repr(said)
        assert not any(line.startswith(("Real é", ".mp4")) for line in said.splitlines()), said


def test_a_name_that_is_no_text(tmp_path):
    "Bytes that are no UTF-8"
    file = os.fsencode(tmp_path) + b"/\xff.mp4"
    try: Path(os.fsdecode(file)).write_bytes(b"no video")
    except OSError: pytest.skip("this file system takes valid names only")
    for args in ([file], [os.fsencode(tmp_path)], [b"-"]):
        done = subprocess.run([*AIVD, "predict", *args], input=file + b"\n", capture_output=True, env=PLAIN)
        assert done.returncode == 1 and b"not valid text" in done.stderr and b"Traceback" not in done.stderr, done.stderr


def test_colour_is_for_terminals(library):
    clip = library/"good.mp4"
    assert b"\x1b[" not in aivd("predict", clip).stdout and b"\x1b[" in aivd("predict", clip, FORCE_COLOR="1").stdout
    assert b"\x1b[" not in aivd("predict", clip, FORCE_COLOR="1", NO_COLOR="1").stdout
    styled = "\x1b[1m"
    assert styled in on_terminal("predict", clip)[0]
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}): assert styled not in on_terminal("predict", clip, **env)[0]


def test_progress_is_for_terminals(library):
    said, code = on_terminal("predict", library)
    assert code == 1 and "0/3" in said and r"\u001b[31mred" in said and "\x1b[31mred" not in said
    done = aivd("predict", library)
    assert b"0/3" not in done.stderr and b"\r" not in done.stderr + done.stdout


# ---- help, completion, the page

def test_help_is_whole():
    said = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    assert [s for s in SECTIONS if f"\n{s}:\n" not in said] == [] and "..." not in said.partition("Use:")[2] and "…" not in said
    for name, command in main.commands.items(): assert re.search(rf"(?m)^  {name} +{re.escape(command.get_short_help_str())}$", said), name
    assert "_AIVD_COMPLETE" in said and "130" in said
    assert said.isascii() and all(CliRunner().invoke(main, [n, "--help"]).output.isascii() for n in main.commands), "click writes UTF-8 where ASCII was asked for"


@pytest.mark.parametrize("name", sorted(main.commands))
def test_examples(name):
    "Each help ends with one, and click can read it"
    command = main.commands[name]
    assert command.help and f"Example:\n  {command.example}\n" in CliRunner().invoke(main, [name, "--help"]).output
    words = command.example.split(" > ")[0].split()
    assert words[:2] == ["aivd", name]
    command.make_context(name, words[2:])
    assert all(p.help for p in command.params if isinstance(p, click.Option)), "an option without a help"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    assert b"_AIVD_COMPLETE" in aivd(_AIVD_COMPLETE=f"{shell}_source").stdout
    done = aivd(_AIVD_COMPLETE=f"{shell}_complete", COMP_WORDS="aivd do", COMP_CWORD="1" if shell != "fish" else "do")
    assert b"doctor" in done.stdout
    done = aivd(_AIVD_COMPLETE=f"{shell}_complete", COMP_WORDS="aivd predict c", COMP_CWORD="2" if shell != "fish" else "c")
    assert b"file" in done.stdout, "the shell completes names of files"


def test_the_page_is_what_the_commands_say():
    assert (ROOT/"nbs/howto/command_line.qmd").read_text(encoding="utf-8") == command_page(), "run: python -m aivd_nb.cli_page"


def test_the_page_lacks_nothing():
    page = (ROOT/"nbs/howto/command_line.qmd").read_text(encoding="utf-8")
    options = {o for c in main.commands.values() for p in c.params if isinstance(p, click.Option) for o in (*p.opts, *p.secondary_opts)}
    assert [n for n in main.commands if f"### aivd {n}\n" not in page] == [] and [o for o in options if not re.search(rf"[` ]{o}[`, ]", page)] == []
    named = {v for p in (ROOT/"aivd_nb").rglob("*.py") for v in re.findall(r"(?<!_)AIVD_[A-Z][A-Z0-9_]*[A-Z0-9]", p.read_text(encoding="utf-8"))} - {"AIVD_SERVE", "AIVD_BUNDEL"}
    assert {"AIVD_WEIGHTS", "AIVD_SERVE_CONFIG"} <= named and sorted(named - known_variables().keys()) == [], "add it to ENVIRONMENT in 84_doctor"
    assert [v for v in known_variables() if f"| `{v}` |" not in page] == []


# ---- the doctor, probe, serve

def test_doctor(tmp_path):
    done = aivd("doctor", AIVD_CACHE=str(tmp_path), AIVD_BUNDEL="mine")
    assert done.returncode == 0 and "Predicting works." in done.stdout.decode() and "Did you mean AIVD_BUNDLE?" in done.stdout.decode()
    found = json.loads(aivd("doctor", "--json", AIVD_CACHE=str(tmp_path)).stdout)
    assert found["works"] and {"topic", "name", "state", "says", "remedy"} == set(found["checks"][0])


@pytest.mark.parametrize("env, words", [({"AIVD_BUNDLE": "nobody"}, "neither a bundle folder"), ({"AIVD_WEIGHTS": "nowhere"}, "Correct the path")])
def test_doctor_finds_what_is_wrong(env, words):
    done = aivd("doctor", **env)
    assert done.returncode == 1 and words in done.stdout.decode() and "Predicting does not work." in done.stdout.decode() and not done.stderr
    assert not json.loads(aivd("doctor", "--json", **env).stdout)["works"]


ABSENT = "import sys\nfor m in {names!r}: sys.modules[m] = None\nfrom aivd_nb.cli import main\nmain()"

@pytest.mark.parametrize("names, works", [(["tensorflow", "keras", "tf2onnx", "ray", "yt_dlp", "mcp"], True), (["onnxruntime"], False), (["av"], False), (["cv2"], False), (["numpy"], False)])
def test_doctor_with_things_missing(names, works):
    "Without what is optional it works; without what is not it says so, and never by a traceback"
    done = subprocess.run([sys.executable, "-c", ABSENT.format(names=names), "doctor"], capture_output=True, text=True, env=PLAIN)
    assert done.returncode == (0 if works else 1) and not done.stderr, done.stderr
    assert works or names[0] in done.stdout


def test_doctor_knows_every_extra():
    extras = {m[1] for r in requires("aivd-nb") if (m := re.search(r"extra\s*==\s*['\"](.+?)['\"]", r))} - {"dev"}
    told = {c["name"] for c in json.loads(aivd("doctor", "--json").stdout)["checks"] if c["topic"] == "extras"}
    assert extras <= told


def test_probe_reads_as_text(library):
    said = aivd("probe", library/"good.mp4").stdout.decode()
    assert re.search(r"mp4, mpeg4, 320×240 pixels, 25 frames/s, 50 frames, 2.0 s, \d+ KiB", said), said
    assert json.loads(aivd("probe", library/"good.mp4", "--json").stdout)["n_frames"] == 50


def test_settings_are_text():
    said = aivd("serve", "--settings").stdout.decode()
    assert "|" not in said and all(v in said for v in known_variables() if v.startswith("AIVD_SERVE_") and v != "AIVD_SERVE_CONFIG")


def test_out_never_replaces_another_file(tmp_path):
    "`hash --out` had written its list over the video; the explanation's place is looked at before the work"
    clip = tmp_path/"clip.mp4"
    clip.write_bytes((ROOT/"nbs/samples/animated_photograph.mp4").read_bytes())
    other = tmp_path/"notes.json"
    other.write_text("{}")
    before = clip.read_bytes()
    for command in (["hash", clip, "--out", clip], ["hash", clip, "--out", other], ["explain", clip, "--out", other], ["explain", clip, "--out", clip/"x.json"]):
        done = subprocess.run([BIN/"aivd", *map(str, command)], capture_output=True, text=True)
        assert done.returncode == 2 and "Name another file" in done.stderr or "Name a file in a folder" in done.stderr, done.stderr
        assert done.stdout == "" and clip.read_bytes() == before and other.read_text() == "{}"


def test_what_was_written_is_told_beside_the_answers(library, tmp_path):
    "A pipe gets answers alone; where the report is stands on standard error, and a name that bites is spelled"
    page = tmp_path/"a\x1b.html"
    done = aivd("predict", library/"good.mp4", "--json", "--report", page)
    assert json.loads(done.stdout)["label"] and page.is_file()
    assert done.stderr.decode() == f"wrote {tmp_path}/a\\u001b.html\n"
    done = aivd("explain", library/"good.mp4", "--no-places", "--out", tmp_path/"why.json")
    assert done.stderr.decode() == f"wrote {tmp_path}/why.json\n" and b"why.json" not in done.stdout


def test_fewer_windows_are_fewer(tmp_path):
    said = [json.loads(subprocess.run([BIN/"aivd", "predict", "--no-cache", "--json", "--windows", n, ROOT/"nbs/samples/animated_photograph.mp4"], capture_output=True, text=True).stdout) for n in "123"]
    assert [len(v["timeline"]) for v in said] == [1, 2, 2]


# ---- one clip, a port that is taken

def test_explain_takes_one_clip(library):
    done = aivd("explain", library)
    assert done.returncode == 1 and done.stderr.decode() == f"aivd: {library}: is a folder, where one clip is wanted. Name a file in it\n"


@pytest.mark.parametrize("command", ["predict", "probe", "provenance"])
def test_what_is_no_video_is_answered_with_what_is_read(library, command):
    done = aivd(command, library/"broken.mp4")
    assert done.returncode == 1 and b"is not a video, whatever its name says. Give an mp4, mov, avi, mkv, webm, " in done.stderr


def test_a_port_that_is_taken_is_told_by_its_address(tmp_path):
    "Before a data folder is taken, which another server may hold, and before a detector is loaded"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = aivd("serve", "--port", port, "--data", tmp_path/"data")
    assert done.returncode == 2 and done.stderr.decode().startswith(f"aivd: 127.0.0.1:{port}: can't be used (Address already in use). Choose another port with --port"), done.stderr
    assert not (tmp_path/"data").exists()
