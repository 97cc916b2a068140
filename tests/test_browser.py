"""The page as people use it, in a real browser (Debian's chromium): every kind of answer, by mouse and by keyboard, narrow and wide.

Where there is no chromium these tests are skipped; `.ci/run` installs it and sets AIVD_NEED_BROWSER, and then its absence is a failure."""
import csv, os, re, shutil, threading
from functools import partial

import pytest

from aivd_nb.app import create_app, make_server
from aivd_nb.app_config import AppConfig
from aivd_nb.core import shared_data
from aivd_nb.synth import camera_frames, generated_frames, make_broken, write_clip
from faulty import Slow

CHROMIUM = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
ARGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
SHARED = shared_data()
pytestmark = pytest.mark.skipif(CHROMIUM is None and not os.environ.get("AIVD_NEED_BROWSER"), reason="no chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def serving():
    "Run an app on a free port: its address"
    started = []
    def start(folder, detector="efficientnet_lite0", **config):
        app = create_app(detector, AppConfig(data=str(folder), port=0, workers=1, rate="", **config), open(os.devnull, "w"))
        server = make_server(app)
        threading.Thread(target=server.run, daemon=True).start()
        started.append((server, app.extensions["aivd"]))
        return f"http://127.0.0.1:{server.effective_port}/"
    yield start
    for server, service in started: server.close(); service.close()


@pytest.fixture(scope="module")
def url(serving, tmp_path_factory): return serving(tmp_path_factory.mktemp("data"), max_mb=24)


@pytest.fixture(scope="module")
def browser():
    assert CHROMIUM, "AIVD_NEED_BROWSER is set, but there is no chromium"
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGS)
        yield b
        b.close()


@pytest.fixture
def page(browser):
    "A page that must not complain: no script error, no breach of the content policy, no request to elsewhere"
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page, said = context.new_page(), []
    page.on("console", lambda m: said.append(m.text) if m.type == "error" and "responded with a status of" not in m.text else None)
    page.on("pageerror", lambda e: said.append(str(e)))
    page.on("request", lambda r: said.append(r.url) if not r.url.startswith(("http://127.0.0.1:", "blob:")) else None)
    yield page
    context.close()
    assert said == []


@pytest.fixture(scope="module")
def clip(tmp_path_factory): return write_clip(tmp_path_factory.mktemp("clip")/"holiday.mp4", camera_frames(75, (320, 240), seed=4))


LABELS = re.compile("^(Real|AI-Generated|Inconclusive)$")


def give(page, url, *paths):
    page.goto(url)
    page.locator("#model", has_text="real clips").wait_for()
    page.set_input_files("#file", [str(p) for p in paths])


def check_result(page):
    "A result that is whole"
    card = page.locator("article").first
    card.locator(".verdict").wait_for(timeout=60_000)
    assert LABELS.match(card.locator(".verdict h3").inner_text())
    assert re.search(r"\d+ % probability of AI: .*(real|AI)", card.locator(".verdict p").inner_text())
    n = card.locator(".strip button").count()
    assert n >= 1 and card.locator("svg .mark").count() == n + 1 and card.locator("tbody tr").count() == n
    assert card.locator("figure img").evaluate("e => e.decode().then(() => e.naturalWidth)") > 50
    assert "One signal, not proof." in card.locator(".caveat").inner_text()
    told = card.locator(".caveat").inner_text() + "".join(card.locator(".reason").all_inner_texts())
    assert ("What to do next" in told) == (card.locator(".verdict h3").inner_text() == "Inconclusive") != ("trained on" in told)
    return card


def test_a_clip_from_choice_to_verdict(page, url, tmp_path):
    "The status messages come by in their order (the clip is large enough to take a while); the result has all its parts"
    clip = write_clip(tmp_path/"holiday.mp4", generated_frames(90, (960, 540)), fps=15)
    page.goto(url)
    page.evaluate("""() => { window.told = []; new MutationObserver(ms => window.told.push(...ms.flatMap(m => [...m.addedNodes].map(n => n.textContent)))).observe(document.getElementById('status'), {childList: true}); }""")
    page.set_input_files("#file", str(clip))
    card = check_result(page)
    told = [t.removeprefix("holiday.mp4: ") for t in page.evaluate("window.told")]
    order = [next(i for i, t in enumerate(told) if t.startswith(s)) for s in ("Sending", "Reading frames")]
    assert order == sorted(order) and "probability of AI" in told[-1], told
    assert card.locator("h2").inner_text() == "holiday.mp4" and "960 × 540" in card.locator(".facts").inner_text()


def test_timeline_shows_the_frame_under_the_pointer(page, url, clip):
    give(page, url, clip)
    card = check_result(page)
    marks, caption = card.locator(".chart .mark"), card.locator("figcaption")
    seen = set()
    for i in range(marks.count()):
        marks.nth(i).hover()
        seen.add(caption.inner_text())
    assert len(seen) == marks.count()


def test_a_long_clip_shows_what_was_looked_at_and_leaves_gaps(page, url, tmp_path):
    clip = write_clip(tmp_path/"long.mp4", [f for k in range(9) for f in generated_frames(50, (256, 256), seed=k)], fps=5)
    give(page, url, clip)
    card = check_result(page)
    marks, lines = card.locator(".chart .mark").count(), card.locator(".chart line.line").count()
    assert marks > 8 and lines < marks - 1
    assert re.search(r"Looked at \d+.* of 1:30", card.inner_text()) and re.match(r"0:0\d", card.locator(".strip button").first.inner_text())
    assert not {"most like AI", "most like real"} & set(card.locator(".tell").all_inner_texts())


@pytest.mark.skipif(SHARED is None, reason="the collection of real clips is not at hand")
def test_real_clips_of_each_class(page, serving, tmp_path, monkeypatch):
    "A camera's clip and a generator's, the first of the test part of each: both get a whole answer"
    monkeypatch.setenv("AIVD_WEIGHTS", str(SHARED/"weights"))
    rows = [r for r in csv.DictReader(open(SHARED/"data"/"labels.csv", encoding="utf-8")) if r["split"] == "test"]
    url = serving(tmp_path, None)
    for label in ("0", "1"):
        give(page, url, next(SHARED/"data"/r["file_path"] for r in rows if r["label"] == label))
        check_result(page)


def test_keyboard_alone(page, url, clip):
    "Choose, wait, walk through the frames, open the table, copy, delete: without a mouse"
    page.goto(url)
    page.locator("#model", has_text="real clips").wait_for()
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "file": break
    with page.expect_file_chooser() as chooser: page.keyboard.press("Enter")
    chooser.value.set_files(str(clip))
    check_result(page)
    focus = lambda: page.evaluate("document.activeElement.textContent.trim() + '|' + document.activeElement.tagName")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.parentElement.className") == "strip": break
    page.keyboard.press("Home"); first = focus()
    page.keyboard.press("ArrowRight")
    assert focus() != first and page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    page.keyboard.press("Tab")
    assert focus().endswith("|SUMMARY")
    page.keyboard.press("Enter")
    assert page.locator("details table").first.is_visible()
    page.keyboard.press("Tab"); page.keyboard.press("Enter")
    assert "container: mp4" in page.locator(".entries").inner_text()
    page.keyboard.press("Tab"); page.keyboard.press("Enter")
    page.locator("#status", has_text="Copied").wait_for(state="attached")
    page.keyboard.press("Tab"); page.keyboard.press("Tab"); page.keyboard.press("Enter")
    page.locator("article").wait_for(state="detached")
    assert page.evaluate("document.activeElement.id") == "file"


BAD = {"not_a_video": "This is not a video, whatever its name says", "empty": "The file is empty", "truncated": "cut off", "too_few_frames": "single frame", "no_video": "sound without a picture", "too_many_pixels": "over the limit", "large": "The file is too large"}

@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_told_in_words(page, url, clip, tmp_path, kind):
    if kind == "large":
        path = tmp_path/"large.mp4"
        path.write_bytes(clip.read_bytes() + bytes(25 << 20))
    else: path = make_broken(tmp_path, kind)
    give(page, url, path)
    trouble = page.locator(".trouble")
    trouble.wait_for(timeout=60_000)
    assert BAD[kind] in trouble.inner_text()
    assert str(tmp_path) not in page.content()
    assert BAD[kind] in page.locator("#status").inner_text()


def test_several_in_a_row_and_names_are_only_text(page, url, clip, tmp_path):
    evil = tmp_path/"<img src=x onerror=alert(1)>.mp4"
    shutil.copy(clip, evil)
    other = write_clip(tmp_path/"other.mp4", camera_frames(50, (256, 256), seed=9))
    give(page, url, evil, make_broken(tmp_path, "truncated"), other)
    page.locator(".verdict, .trouble").nth(2).wait_for(timeout=60_000)
    assert page.locator(".verdict").count() == 2 and page.locator(".trouble").count() == 1
    assert page.locator("h2", has_text="<img src=x").count() == 1 and page.locator("article img[src=x]").count() == 0


def test_cancel(page, serving, clip, tmp_path):
    "While a clip is worked on: it goes from the page and from the server"
    page.goto(serving(tmp_path, partial(Slow, 60)))
    page.set_input_files("#file", str(clip))
    page.locator(".message", has_text="Measuring the frames: 30 %").wait_for(timeout=30_000)
    page.get_by_role("button", name="Cancel").click()
    page.locator("article").wait_for(state="detached")
    assert "cancelled" in page.locator("#status").inner_text()


def test_polling_where_streams_are_used_up(page, serving, clip, tmp_path):
    page.goto(serving(tmp_path, streams=0))
    page.set_input_files("#file", str(clip))
    check_result(page)


def test_key(page, serving, clip, tmp_path):
    page.goto(serving(tmp_path, api_key="0123456789abcdef"))
    page.set_input_files("#file", str(clip))
    page.locator(".message", has_text="Waiting for the server").wait_for()
    page.locator("#key-field").fill("fedcba9876543210")
    page.get_by_role("button", name="Use it").click()
    page.locator("#key-hint", has_text="not the key").wait_for()
    page.locator("#key-field").fill("0123456789abcdef")
    page.get_by_role("button", name="Use it").click()
    check_result(page)


def test_a_reload_keeps_results_and_a_deleted_one_stays_away(page, serving, clip, tmp_path):
    give(page, serving(tmp_path), clip, make_broken(tmp_path, "truncated"))
    page.locator(".trouble").wait_for(timeout=60_000)
    assert page.locator("h2").first.inner_text() == "holiday.mp4" # in the order in which they were chosen
    page.reload()
    page.locator(".trouble").wait_for()
    page.locator(".verdict").wait_for()
    page.get_by_role("button", name="Delete the result").click()
    page.get_by_role("button", name="Remove from the page").click()
    page.locator("article").first.wait_for(state="detached")
    page.reload()
    page.locator("#model", has_text="real clips").wait_for()
    page.wait_for_timeout(500)
    assert page.locator("article").count() == 0


@pytest.mark.parametrize("width, scheme", [(360, "light"), (360, "dark"), (1100, "dark")])
def test_fits_and_contrasts(browser, url, clip, width, scheme):
    "Nothing sticks out at 360 px; text stands out against what is behind it by 4.5 to 1"
    context = browser.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme)
    page = context.new_page()
    give(page, url, clip)
    check_result(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    context.close()


CONTRAST = """() => {
  const rgb = s => (s.match(/[\\d.]+/g) || []).map(Number), lum = c => { const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const bad = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.checkVisibility() || e.closest('svg, .visually-hidden, noscript')) continue;
    const [a, b] = [lum(rgb(getComputedStyle(e).color)), lum(behind(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) bad.push(e.textContent.trim().slice(0, 40));
  }
  return bad;
}"""
