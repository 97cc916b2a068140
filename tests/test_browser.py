"""The page as people use it, in a real browser (Debian's chromium): every kind of answer, by mouse and by keyboard, narrow and wide.

Where there is no chromium these tests are skipped; `.ci/run` installs it and sets AIVD_NEED_BROWSER, and then its absence is a failure."""
import csv, io, os, re, shutil, threading
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import pytest

from aivd_nb import words
from aivd_nb.app import create_app, make_server
from aivd_nb.app_config import AppConfig
from aivd_nb.clip_report import reported
from aivd_nb.core import file_digest, shared_data
from aivd_nb.detector import Detector
from aivd_nb.synth import camera_frames, generated_frames, make_broken, write_clip
from conftest import ROOT
from faulty import Slow

CHROMIUM = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
ARGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
SHARED = shared_data()
SAMPLE = ROOT/"aivd_nb/static/animated_photograph.mp4"
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
    context = browser.new_context(viewport={"width": 1100, "height": 900}, locale="en-GB")
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
    page.locator("#model", has_text=re.compile("real clips|echten Clips")).wait_for()
    page.set_input_files("#file", [str(p) for p in paths])


def check_result(page):
    "A result that is whole"
    card = page.locator("article").first
    card.locator(".verdict").wait_for(timeout=60_000)
    assert LABELS.match(card.locator(".verdict h3").inner_text())
    assert re.search(r"\d+ % probability of AI: .*(real|AI)", card.locator(".verdict p").inner_text())
    n = card.locator(".strip button").count()
    assert n >= 1 and card.locator("svg .mark").count() == card.locator("svg .window").count() + 1 == n + 1 and card.locator(".same tbody tr").count() == n
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
    page.locator("#model", has_text=re.compile("real clips|echten Clips")).wait_for()
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "file": break
    with page.expect_file_chooser() as chooser: page.keyboard.press("Enter")
    chooser.value.set_files(str(clip))
    check_result(page)
    focus = lambda: page.evaluate("document.activeElement.textContent.trim() + '|' + document.activeElement.tagName")
    def tab_to(text, most=14):
        for _ in range(most):
            page.keyboard.press("Tab")
            if focus().startswith(text): return
        raise AssertionError(f"no way to {text} by keyboard")
    tab_to("0.0 s")
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
    assert re.search("To quote.*SHA-256 [0-9a-f]{64}: ", page.locator(".record").inner_text(), re.S)
    tab_to("Copy as JSON"); page.keyboard.press("Enter")
    page.locator("#status", has_text="Copied").wait_for(state="attached")
    tab_to("Delete the result"); page.keyboard.press("Enter")
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
    page.locator(".verdict, .trouble").nth(2).wait_for(state="attached", timeout=60_000)
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
    assert page.locator("article h2").first.inner_text() == "holiday.mp4" # in the order in which they were chosen
    page.reload()
    page.locator(".trouble").wait_for()
    page.locator(".verdict").wait_for()
    page.get_by_role("button", name="Delete the result").click()
    page.get_by_role("button", name="Remove from the page").click()
    page.locator("article").first.wait_for(state="detached")
    page.reload()
    page.locator("#model", has_text=re.compile("real clips|echten Clips")).wait_for()
    page.wait_for_timeout(500)
    assert page.locator("article").count() == 0



def test_a_change_of_the_language_keeps_what_was_refused(page, serving, clip, tmp_path):
    "Files that were refused before sending, and one that the server refused, are told again in the new language, with their numbers"
    address = serving(tmp_path, max_mb=2, max_seconds=3)
    page.route("**/api/v1/jobs", lambda route: route.fulfill(status=422, json={"code": "not_a_video", "detail": "It is a riddle."}))
    give(page, address, make_broken(tmp_path, "empty"), SAMPLE, clip)
    page.locator(".trouble").nth(2).wait_for()
    page.get_by_role("link", name="Deutsch").click()
    page.locator(".trouble", has_text="zu lang").wait_for()
    told = page.locator(".trouble").all_inner_texts()
    assert [n.inner_text() for n in page.locator("article h2").all()] == ["empty.mp4", SAMPLE.name, "holiday.mp4"]
    assert "Die Datei ist leer" in told[0] and "Er dauert 4,0 s; angenommen werden höchstens 3,0 s" in told[1]
    assert "Das ist kein Video" in told[2] and page.locator(".trouble").nth(2).locator("[lang=en]").inner_text() == "It is a riddle."
    page.get_by_role("button", name="Von der Seite entfernen").first.click()
    page.reload()
    page.locator(".trouble").nth(1).wait_for()
    assert page.locator("article").count() == 2


def test_files_of_one_name_are_told_apart(page, url, clip, tmp_path):
    "By the beginning of the SHA-256, on the cards and in the table; a name that is there once stands alone"
    (tmp_path/"x").mkdir()
    twins = [clip, tmp_path/"x"/clip.name]
    write_clip(twins[1], generated_frames(60, (320, 240)))
    give(page, url, twins[0])
    check_result(page)
    assert page.locator("article h2").inner_text() == clip.name
    page.set_input_files("#file", str(twins[1]))
    page.locator(".verdict").nth(1).wait_for(state="attached", timeout=60_000)
    names = [f"{clip.name} ({file_digest(p)[:8]})" for p in reversed(twins)]
    assert [n.inner_text() for n in page.locator("article h2").all()] == names == page.locator("#rows a").all_inner_texts()
    page.get_by_role("button", name="Delete the result").first.click()
    page.locator("article").nth(1).wait_for(state="detached")
    assert page.locator("article h2").inner_text() == clip.name


def test_the_sample(page, url):
    "On the empty page alone; it plays from the reader's own copy, and a window of the timeline leads there by mouse and by keyboard"
    sent = []
    page.on("request", lambda r: sent.append(r.url) if r.method == "POST" else None)
    give(page, url)
    page.get_by_role("button", name="Try a sample").click()
    card = check_result(page)
    assert not page.locator("#sample").is_visible() and len(sent) == 1
    video = card.locator("figure.plays video")
    video.wait_for()
    at = lambda: video.evaluate("v => v.seeking ? new Promise(r => v.addEventListener('seeked', () => r(v.currentTime), { once: true })) : v.currentTime")
    assert video.evaluate("v => v.src").startswith("blob:") and not card.locator("figure img").is_visible()
    start = 2.0
    card.locator("svg .window").nth(1).click(position={"x": 20, "y": 120})
    assert at() == pytest.approx(start, abs=0.05) and card.locator("svg .head").count() == 1
    card.locator(".strip button").first.focus()
    page.keyboard.press("Enter")
    assert at() == pytest.approx(0, abs=0.05)
    card.locator(".strip button").nth(1).click()
    assert at() == pytest.approx(start, abs=0.05) and len(sent) == 1


def test_a_file_that_the_browser_cannot_play_keeps_its_frames(page, url, clip):
    give(page, url, clip)
    card = check_result(page)
    card.locator(".unplayable", has_text="can’t play the file").wait_for()
    assert card.locator("video").count() == 0 and card.locator("figure img").is_visible()


def test_the_table_of_several(page, url, clip, tmp_path):
    "Rows as they come, the title, collapsed cards and the way to them, the whole as text and as CSV (without formulas)"
    evil = tmp_path/"=1+1.mp4"
    shutil.copy(clip, evil)
    give(page, url, evil, make_broken(tmp_path, "truncated"), SAMPLE)
    assert re.match(r"\d of 3 · aivd", page.title())
    page.locator(".verdict, .trouble").nth(2).wait_for(state="attached", timeout=60_000)
    page.wait_for_function("document.title.startsWith('✓ 3 of 3 · ')")
    rows = [r.inner_text().split("\t") for r in page.locator("#rows tr").all()]
    assert [r[0] for r in rows] == ["=1+1.mp4", "truncated.mp4", SAMPLE.name]
    assert rows[1][1:] == ["Not analysed", "", "The file was cut off"] and re.match(r"\d+ %", rows[0][2]) and rows[2][3].startswith("Unlike anything")
    assert not page.locator(".verdict").first.is_visible() and page.locator(".chip").first.is_visible()
    page.locator("#rows a").first.click()
    assert page.locator(".verdict").first.is_visible() and page.evaluate("document.activeElement.textContent") == "=1+1.mp4"
    page.get_by_role("button", name="Hide").first.click()
    assert not page.locator(".verdict").first.is_visible()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy all").click()
    page.get_by_role("button", name="Copied").wait_for()
    told = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert told[0] == "File\tVerdict\tAI\tReason" and told[2].startswith("truncated.mp4\tNot analysed\t")
    with page.expect_download() as got: page.get_by_role("button", name="CSV").click()
    table = list(csv.DictReader(io.StringIO(got.value.path().read_text(encoding="utf-8-sig"))))
    assert [r["file"] for r in table] == ["'=1+1.mp4", "truncated.mp4", SAMPLE.name] and [len(r["sha256"]) for r in table] == [64]*3
    assert LABELS.match(table[0]["label"]) and 0 <= float(table[0]["probability"]) <= 1 and table[0]["code"] == ""
    assert table[1]["reason"] == "" and table[1]["code"] == "truncated" and "cut off" in table[1]["problem"] and "again" in table[1]["remedy"]
    page.set_input_files("#file", [str(make_broken(tmp_path, "not_a_video"))])
    page.locator(".trouble").nth(1).wait_for(state="attached")
    with page.expect_download() as got: page.get_by_role("button", name="CSV").click()
    table = list(csv.DictReader(io.StringIO(got.value.path().read_text(encoding="utf-8-sig"))))
    assert table[0]["code"] == "not_a_video" and table[0]["problem"] and "mp4" in table[0]["remedy"]


def test_limits_are_told_and_checked_before_sending(page, serving, tmp_path):
    sent = []
    page.on("request", lambda r: sent.append(r.url) if r.method == "POST" else None)
    give(page, serving(tmp_path, max_mb=1, max_seconds=3), SAMPLE)
    assert "up to 1 MiB and 3 s" in page.locator("#limits").inner_text()
    page.locator(".trouble").wait_for()
    told = page.locator(".trouble").inner_text()
    assert "too long" in told and "4.0 s" in told and "at most 3.0 s" in told and "Cut out" in told and sent == []


def test_sending_has_its_share_of_the_bar(page, serving, clip, tmp_path):
    "Over a slow line most of the time is sending, and most of the bar"
    large = tmp_path/"large.mp4"
    large.write_bytes(clip.read_bytes() + bytes(1 << 20))
    give(page, serving(tmp_path/"data"))
    line = page.context.new_cdp_session(page)
    line.send("Network.emulateNetworkConditions", {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 400 << 10})
    page.evaluate("""() => { window.seen = []; new MutationObserver(() => { const m = document.querySelector('.message'), b = document.querySelector('progress'); if (m && b) window.seen.push([m.textContent, b.value]); }).observe(document.getElementById('jobs'), {childList: true, subtree: true, characterData: true}); }""")
    page.set_input_files("#file", str(large))
    check_result(page)
    seen = page.evaluate("window.seen")
    sending = [v for text, v in seen if text.startswith("Sending")]
    assert len(sending) > 3 and 0.4 < max(sending) < 0.9 and [v for _, v in seen] == sorted(v for _, v in seen), seen


DROP = """([kind, text]) => { const data = new DataTransfer(); data.setData(kind, text); document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })); }"""

@pytest.mark.parametrize("kind, text, told", [("text/uri-list", "https://example.org/clip", "That is a link"), ("text/plain", "https://example.org/clip", "That is a link"), ("text/plain", "some words", "That is text")])
def test_a_dropped_link_gets_an_answer(page, url, clip, kind, text, told):
    give(page, url)
    page.evaluate(DROP, [kind, text])
    answer = page.locator("#answer")
    answer.wait_for()
    assert told in answer.inner_text() and page.locator("article").count() == 0
    page.set_input_files("#file", str(clip))
    answer.wait_for(state="hidden")


def test_a_dropped_link_is_fetched_where_the_operator_allows_its_host(page, serving, tmp_path, monkeypatch):
    "From that host and those below it, no other"
    monkeypatch.setattr("aivd_nb.app.fetched", lambda url, *_: nullcontext(SimpleNamespace(file=SAMPLE, address=url)))
    give(page, serving(tmp_path, link_hosts="example.org"))
    assert "Links to clips on example.org" in page.locator("#drop").inner_text()
    page.evaluate(DROP, ["text/uri-list", "https://badexample.org/clip"])
    page.locator("#answer", has_text="That is a link").wait_for()
    page.evaluate(DROP, ["text/uri-list", "https://video.example.org/clip"])
    card = check_result(page)
    assert card.locator("h2").inner_text() == "https://video.example.org/clip" and card.locator("video").count() == 0


def test_a_reload_while_sending_keeps_the_card(page, url, clip, tmp_path):
    give(page, url)
    page.route("**/api/v1/jobs", lambda route: None) # an upload that comes to no end
    page.set_input_files("#file", [str(clip), str(SAMPLE)])
    page.locator(".message", has_text="Sending").wait_for()
    page.reload()
    page.locator(".trouble").nth(1).wait_for()
    assert page.locator("h2", has_text="holiday.mp4").count() == 1 and "Choose the file again" in page.locator(".trouble").first.inner_text()
    page.get_by_role("button", name="Remove from the page").first.click()
    page.reload()
    page.locator(".trouble").wait_for()
    assert page.locator("article").count() == 1


def test_a_report_to_keep(page, url, clip, tmp_path, browser):
    "Saved, opened as a file without a network, whole"
    give(page, url, clip)
    check_result(page)
    with page.expect_download() as got: page.get_by_role("button", name="Save report").click()
    assert got.value.suggested_filename == "holiday.mp4.aivd.html"
    got.value.save_as(tmp_path/"kept.html")
    context = browser.new_context(offline=True)
    kept, said = context.new_page(), []
    kept.on("console", lambda m: said.append(m.text))
    kept.on("request", lambda r: said.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    kept.goto((tmp_path/"kept.html").as_uri())
    text = kept.locator("main").inner_text()
    assert page.locator(".verdict").inner_text().split("\n")[-1] in text and re.search("SHA-256 [0-9a-f]{64}:", text) and "How often this model is wrong" in text and "digest" in text
    assert kept.locator("img").evaluate_all("all => Promise.all(all.map(e => e.decode().then(() => e.naturalWidth > 50)))") == [True]*kept.locator("img").count()
    assert kept.locator("img").count() >= 2 and kept.locator(".plot svg").bounding_box()["height"] > 100 and said == []
    context.close()


def test_a_report_on_several_clips_fits_a_phone_and_paper(browser, clip, tmp_path):
    "The summary scrolls inside its card. On paper, it and what holds for all clips have a page, and each clip that was analysed has one"
    detector = Detector.load("efficientnet_lite0", threads=1)
    shutil.copy(clip, tmp_path/f"{'long_name_'*9}.mp4")
    list(reported(detector.predict_many([clip, SAMPLE, tmp_path/f"{'long_name_'*9}.mp4", make_broken(tmp_path, "truncated")]), tmp_path/"report.html", detector))
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto((tmp_path/"report.html").as_uri())
    assert page.locator("table.all tbody tr").count() == 4 and page.evaluate("document.documentElement.scrollWidth") <= 360
    assert [pages_of(page.pdf(format=f)) for f in ("A4", "Letter")] == [4, 4]
    context.close()


def pages_of(pdf): return len(re.findall(rb"/Type\s*/Page\b", pdf))


def test_a_report_prints_on_two_pages(page, url, browser, tmp_path):
    "Of a long clip with as many frames as are shown, on both sizes of paper that are in use; the frames stand in one row, and nothing is left out"
    clip = write_clip(tmp_path/"long.mp4", [f for k in range(9) for f in generated_frames(50, (256, 256), seed=k)], fps=5)
    give(page, url, clip)
    check_result(page)
    with page.expect_download() as got: page.get_by_role("button", name="Save report").click()
    got.value.save_as(tmp_path/"kept.html")
    context = browser.new_context(viewport={"width": 700, "height": 900})
    kept = context.new_page()
    kept.goto((tmp_path/"kept.html").as_uri())
    assert [pages_of(kept.pdf(format=f)) for f in ("A4", "Letter")] == [2, 2]
    shown = kept.locator("main").inner_text().split()
    kept.emulate_media(media="print")
    assert sorted(kept.locator("main").inner_text().split()) == sorted(shown)
    tops = {round(i.bounding_box()["y"]) for i in kept.locator(".frames figure").all()}
    assert kept.locator(".frames figure").count() >= 6 and len(tops) == 1 and kept.evaluate("document.documentElement.scrollWidth") <= 700
    context.close()


def test_printing_shows_all_from_the_first_page_on(page, url, clip):
    "What is folded is open on paper, the choosing is gone, and the verdict stands on the first page"
    give(page, url, SAMPLE)
    check_result(page)
    page.locator("figure.plays").wait_for()
    page.get_by_role("button", name="Hide").click()
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".verdict").bounding_box()["y"] < 300 and page.locator("article").evaluate("e => getComputedStyle(e).breakInside") == "auto"
    assert page.locator(".record").is_visible() and page.locator(".entries").is_visible() and page.locator("figure img").is_visible()
    assert not page.locator("#drop").is_visible() and not page.locator("figure video").is_visible() and not page.locator(".actions").is_visible()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert not page.locator(".verdict").is_visible()


def test_help_card_and_who_runs_it(page, serving, tmp_path):
    page.goto(serving(tmp_path, operator="City Library, clips@example.org"))
    assert "run by City Library" in page.locator("footer").inner_text() and "this computer" not in page.locator("body").inner_text()
    assert page.locator("footer a[href='mailto:clips@example.org']").count() == 1
    page.get_by_role("link", name="What a verdict means, in full").click()
    assert "No sign of generation was found" in page.locator("main").inner_text()
    page.get_by_role("link", name="What the model was trained on").click()
    assert page.locator("h1").inner_text() == "Model card: efficientnet_lite0" and page.locator("table tr").count() > 5
    page.get_by_role("link", name="Deutsch").click()
    page.locator("h1", has_text="Modellkarte: efficientnet_lite0").wait_for()
    assert "nur auf Englisch" in page.locator("main > .lead").inner_text() and page.locator("article[lang=en] table tr").count() > 5
    page.get_by_role("link", name="Zur Startseite").click()
    page.locator("h1", has_text="Ist dieses Video echt").wait_for()


def test_german(browser, url, clip):
    "As the browser asks for it, or by the switch; what only exists in English is marked so"
    context = browser.new_context(viewport={"width": 360, "height": 740}, locale="de-AT")
    page = context.new_page()
    give(page, url, SAMPLE)
    card = page.locator("article")
    card.locator(".verdict").wait_for(timeout=60_000)
    assert page.evaluate("document.documentElement.lang") == "de" and card.locator(".verdict h3").inner_text() == "Unklar"
    assert "Seine Merkmale liegen außerhalb" in card.inner_text() and "3,5 s von 4,0 s" in card.inner_text()
    assert "Die Datei sagt nichts darüber" in card.inner_text() and card.locator("[lang=en]:not(.entries)").count() == 0
    assert "Von 911 echten Clips" in page.locator("#model").inner_text() and page.locator("#model [lang=en]").count() == 0
    several = [k.removeprefix("told.").replace("{where}", "0.0–5.0 s and 7.0–9.5 s looks AI-generated, the rest does not") for k in words.words("en") if k.startswith("told.")]
    several += ["Looked at 10 s of 1:00. What was not looked at may be anything.", "The file holds sound but no picture. Give a file with a video track.", "Something else."]
    assert page.evaluate("all => all.map(retold)", several) == [words.retold("de", text) for text in several]
    assert page.evaluate("[score(0.847), score(0.5)]") == ["84,7 %", "50 %"] # the bound is 85.3 %
    assert page.evaluate("document.documentElement.scrollWidth") <= 360 and page.evaluate(CONTRAST) == []
    page.get_by_role("link", name="English").click()
    page.locator("article .verdict h3", has_text="Inconclusive").wait_for()
    context.close()


OUTSIDE = """() => {
  const bare = s => { for (let before; before !== s;) { before = s; s = s.replace(/⟦[^⟦⟧]*⟧/g, ''); } return s.replace(/\\S+\\.mp4|\\b(s|B|[KM]iB)\\b/g, ''); };
  const data = e => e.closest('[lang=en], [translate=no], .facts dd, .record dd, noscript, script, style') !== null, found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) if (!data(walk.currentNode.parentElement) && /\\p{L}/u.test(bare(walk.currentNode.data))) found.push(walk.currentNode.data.trim());
  for (const e of document.querySelectorAll('body *')) for (const a of ['aria-label', 'title', 'alt', 'placeholder']) if (!data(e) && /\\p{L}/u.test(bare(e.getAttribute(a) ?? ''))) found.push(e.getAttribute(a));
  return found;
}"""

def test_no_word_stands_outside_the_words(page, serving, clip, tmp_path, monkeypatch):
    "With every text in brackets, each word that a person sees is within brackets, is marked as English or as a name, or is a unit"
    bracketed = {k: f"⟦{v}⟧" for k, v in words.words("de").items()}
    for place in ("aivd_nb.words.words", "aivd_nb.app.words"): monkeypatch.setattr(place, lambda language="de": bracketed)
    url = serving(tmp_path/"data")
    page.goto(f"{url}?lang=de")
    page.locator("#model", has_text=re.compile("real clips|echten Clips")).wait_for()
    assert page.evaluate(OUTSIDE) == []
    page.set_input_files("#file", [str(SAMPLE), str(clip), str(make_broken(tmp_path, "truncated")), str(make_broken(tmp_path, "empty"))])
    page.locator(".message").first.wait_for()
    assert page.evaluate(OUTSIDE) == []
    page.locator(".verdict, .trouble").nth(3).wait_for(state="attached", timeout=60_000)
    assert page.evaluate(OUTSIDE) == [] and page.locator(".trouble").count() == 2
    for address in ("help", "card", "nothing"):
        page.goto(f"{url}{address}?lang=de")
        assert page.evaluate(OUTSIDE) == []


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
