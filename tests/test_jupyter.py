"""The widget as people use it: a real JupyterLab, a real browser, real uploads.

Where there is no chromium or no JupyterLab these tests are skipped; `.ci/run` sets AIVD_NEED_BROWSER, and then their absence is a failure."""
import csv, importlib.util, json, os, re, secrets, subprocess, sys, time

import pytest
from conftest import ROOT

from aivd_nb.core import shared_data
from aivd_nb.synth import camera_frames, generated_frames, make_broken, write_clip
from aivd_nb.widget import UPLOAD_LIMIT_MIB
from test_browser import ARGS, CHROMIUM, LABELS, browser  # noqa: F401 (a fixture)

SHARED = shared_data()
LAB = importlib.util.find_spec("jupyterlab")
pytestmark = pytest.mark.skipif(not (CHROMIUM and LAB) and not os.environ.get("AIVD_NEED_BROWSER"), reason="no chromium or no JupyterLab here: apt-get install chromium, pip install jupyterlab")
FLAGS = ("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.extension_manager=readonly", "--LabApp.news_url=")
CELL = "from aivd_nb.widget import DetectorWidget\nDetectorWidget()"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    "A JupyterLab of its own, with no settings of the user's: its folder, and the address of a notebook in it"
    assert LAB, "AIVD_NEED_BROWSER is set, but there is no JupyterLab"
    home, token = tmp_path_factory.mktemp("jupyter"), secrets.token_hex(16)
    (home/"root").mkdir()
    notebook(home/"root"/"widget.ipynb", CELL)
    places = {f"JUPYTER_{k}_DIR": str(home/k.lower()) for k in ("CONFIG", "DATA", "RUNTIME")} | {"IPYTHONDIR": str(home/"ipython"), "PYTHONPATH": str(ROOT)}
    if SHARED: places["AIVD_WEIGHTS"] = str(SHARED/"weights")
    with open(home/"log", "w") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *FLAGS, f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={home/'root'}"], env=os.environ | places, stdout=log, stderr=log, cwd=home)
    yield home/"root", lambda name: f"{address(home, server)}doc/tree/{name}?token={token}"
    server.terminate()
    try: server.wait(30)
    except subprocess.TimeoutExpired: server.kill()


def notebook(path, *cells):
    "A notebook with these code cells"
    code = [{"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": c} for i, c in enumerate(cells)]
    path.write_text(json.dumps({"cells": code, "metadata": {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}, "nbformat": 4, "nbformat_minor": 5}))


def address(home, server, patience=60):
    "Where the server listens, as it writes down itself"
    end = time.monotonic() + patience
    while time.monotonic() < end:
        assert server.poll() is None, (home/"log").read_text()
        found = list((home/"runtime").glob("jpserver-*.json"))
        try: return json.loads(found[0].read_text())["url"]
        except (IndexError, ValueError): time.sleep(0.1)
    raise AssertionError((home/"log").read_text())


@pytest.fixture
def page(browser):
    "A page that asks nobody but this machine"
    context = browser.new_context(viewport={"width": 1100, "height": 1000})
    page, said = context.new_page(), []
    page.on("request", lambda r: said.append(r.url) if not r.url.startswith(("http://127.0.0.1:", "blob:", "data:")) else None)
    page.on("pageerror", lambda e: said.append(str(e)))
    yield page
    context.close()
    assert said == []


def open_widget(page, url):
    "Open the notebook, run its first cell, wait for the controls"
    page.goto(url)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(state="attached", timeout=90_000)
    ran = page.locator(".jp-InputPrompt", has_text=re.compile(r"[*\d]")).first
    for _ in range(20): # a page that is still being laid out may lose the focus, and the key with it
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(1000)
        if ran.count(): break
    page.get_by_role("button", name="Upload videos").wait_for(timeout=90_000)


def upload(page, *paths):
    with page.expect_file_chooser() as chooser: page.get_by_role("button", name="Upload videos").click()
    chooser.value.set_files([str(p) for p in paths])


def results(page): return page.locator("section[aria-label^='Verdict on'], section[aria-label^='Error with']")


def newest(page, n):
    "The result on top, once there are n"
    results(page).nth(n - 1).wait_for(timeout=120_000)
    return results(page).first


def check_verdict(section, name):
    "A verdict that is whole: label, number, words, timeline, frames, who says so"
    text = section.inner_text()
    label = next(line for line in (re.sub(r"^\W+", "", line) for line in text.splitlines()) if LABELS.match(line))
    assert name in text and re.search(r"\d+ % probability of AI: .*(real|AI)", text), text
    assert "One signal, not proof." in text and ("What to do next" in text) == (label == "Inconclusive") != ("trained on" in text) and ("Why no verdict?" in text) == (label == "Inconclusive")
    drawn = section.locator("svg[role=img]")
    assert drawn.count() == 1 and "%" in drawn.get_attribute("aria-label") and drawn.bounding_box()["width"] > 200
    pictures = section.locator("img")
    assert pictures.count() >= 1
    for i in range(pictures.count()): assert pictures.nth(i).evaluate("e => e.decode().then(() => e.naturalWidth)") > 50 and pictures.nth(i).get_attribute("alt")
    section.get_by_text("The same as a table").click()
    assert section.locator("tbody tr").count() >= 1
    return label


def clip_of_each_class(folder):
    "A real clip of each class where the collection is at hand, else a drawn one of each kind"
    if SHARED is None: return [write_clip(folder/"camera.mp4", camera_frames(75, (320, 240), seed=4)), write_clip(folder/"drawn.mp4", generated_frames(75, (320, 240)))]
    rows = [r for r in csv.DictReader(open(SHARED/"data"/"labels.csv", encoding="utf-8")) if r["split"] == "test"]
    return [next(SHARED/"data"/r["file_path"] for r in rows if r["label"] == label) for label in ("0", "1")]


def test_uploads_of_each_class_and_a_broken_file(page, lab, tmp_path):
    "One after the other, in one widget: two verdicts and an error, read from the page"
    open_widget(page, lab[1]("widget.ipynb"))
    for n, clip in enumerate(clip_of_each_class(tmp_path), 1):
        upload(page, clip)
        check_verdict(newest(page, n), clip.name)
        assert re.search(r"(Real|AI-Generated|Inconclusive)\. \d+ % probability of AI", page.locator("[role=status]").inner_text())
    upload(page, make_broken(tmp_path, "truncated"))
    text = newest(page, 3).inner_text()
    assert "truncated.mp4" in text and "it was cut off" in text and "What to do: Copy or download it again." in text
    assert str(tmp_path) not in page.content()


def test_several_at_once_and_the_same_again(page, lab, tmp_path):
    "A selection of two, then one of them again: the button has let go of it"
    open_widget(page, lab[1]("widget.ipynb"))
    a, b = (write_clip(tmp_path/f"{n}.mp4", camera_frames(50, (256, 256), seed=i)) for i, n in enumerate("ab"))
    upload(page, a, b)
    newest(page, 2)
    upload(page, b)
    newest(page, 3)
    assert [check_verdict(results(page).nth(i), name) is not None for i, name in enumerate(("b.mp4", "b.mp4", "a.mp4"))] == [True]*3
    page.get_by_role("button", name="Clear the results").click()
    results(page).first.wait_for(state="detached")


def test_paths(page, lab, tmp_path):
    "Typed, with Enter and with the button: a clip beside the notebook, and one that is not there"
    open_widget(page, lab[1]("widget.ipynb"))
    write_clip(lab[0]/"beside.mp4", camera_frames(50, (256, 256), seed=3))
    box = page.get_by_placeholder("clips/holiday.mp4")
    box.fill("beside.mp4")
    box.press("Enter")
    check_verdict(newest(page, 1), "beside.mp4")
    box.fill("nowhere.mp4")
    page.get_by_role("button", name="Analyse the path").click()
    text = newest(page, 2).inner_text()
    assert "nowhere.mp4" in text and "can't be found" in text and "Check the path" in text


def test_status_on_the_way(page, lab, tmp_path):
    "A clip that takes a while: the web page's sentences come by, in their order"
    open_widget(page, lab[1]("widget.ipynb"))
    clip = write_clip(lab[0]/"large.mp4", generated_frames(120, (1280, 720)), fps=15)
    page.evaluate("""() => { window.told = []; new MutationObserver(() => { const e = document.querySelector('[role=status]'); if (e) window.told.push(e.textContent); }).observe(document.body, {childList: true, subtree: true, characterData: true}); }""")
    box = page.get_by_placeholder("clips/holiday.mp4")
    box.fill("large.mp4")
    box.press("Enter")
    check_verdict(newest(page, 1), clip.name)
    told = page.evaluate("window.told")
    order = [next((i for i, t in enumerate(told) if s in t), None) for s in ("Looking at what the file is", "Reading frames", "probability of AI")]
    assert None not in order and order == sorted(order), told


@pytest.mark.parametrize("width", [400, 1100])
def test_fits(browser, lab, width):
    "The limit of uploads is told beside the button, and nothing sticks out of a narrow page"
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    open_widget(page, lab[1]("widget.ipynb"))
    assert "10 MiB" in page.locator(".jp-OutputArea").first.inner_text() and "websocket_max_message_size" in page.locator(".jp-OutputArea").first.inner_text()
    wide = page.evaluate("() => [...document.querySelectorAll('.jp-OutputArea-output *')].filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))")
    assert wide == []
    context.close()


def drop(page, onto, path):
    "Drop a file on a place of the page, as from a file manager"
    box, browser = onto.bounding_box(), page.context.new_cdp_session(page)
    place = {"x": box["x"] + box["width"]/2, "y": box["y"] + box["height"] - 20}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for what in ("dragEnter", "dragOver", "drop"): browser.send("Input.dispatchDragEvent", {"type": what, "data": data, **place})


def wait_for_size(path, size, patience=60):
    "Wait until all pieces of a file are there"
    end = time.monotonic() + patience
    while not path.exists() or path.stat().st_size != size:
        assert time.monotonic() < end, os.listdir(path.parent)
        time.sleep(0.2)


def test_a_clip_that_the_button_loses_comes_by_the_file_browser(page, lab, tmp_path):
    "Over 10 MiB nothing comes through the button, as the hint says; what is dropped on the file browser is listed, chosen and analysed"
    clip = write_clip(tmp_path/"listed.mp4", camera_frames(50, (256, 256), seed=5))
    padding = UPLOAD_LIMIT_MIB << 20
    clip.write_bytes(clip.read_bytes() + (8 + padding).to_bytes(4, "big") + b"free" + bytes(padding))
    open_widget(page, lab[1]("widget.ipynb"))
    upload(page, clip)
    page.wait_for_timeout(5000)
    assert results(page).count() == 0 and clip.name not in page.locator(".jp-OutputArea").first.inner_text()
    files = page.locator(".jp-DirListing-content")
    if not files.is_visible(): page.get_by_role("tab", name=re.compile("File Browser")).click()
    files.wait_for()
    drop(page, files, clip)
    wait_for_size(lab[0]/clip.name, clip.stat().st_size)
    open_widget(page, lab[1]("widget.ipynb")) # a new widget: the button of the old one waits for ever
    page.get_by_role("button", name="Videos in this folder").click()
    page.locator(".jp-OutputArea select").select_option(clip.name)
    page.get_by_role("button", name="Analyse the path").click()
    check_verdict(newest(page, 1), clip.name)
