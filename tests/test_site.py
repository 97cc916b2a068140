"""The site, built from this checkout without quarto, and looked at page by page; and the look itself, on a small site that is broken."""
import os, re, sys, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from check_site import page_of, problems, sources
from conftest import ROOT, run
from test_browser import CONTRAST as OPAQUE, browser, pytestmark as needs_browser # noqa: F401


@pytest.fixture(scope="module")
def site(copy):
    "Built in a copy, whose package is the one that is described"
    done = run(sys.executable, "tools/build_site.py", "--out", copy/"_docs", cwd=copy, env={"PYTHONPATH": str(copy)} | os.environ, check=False)
    assert (copy/"_docs/index.html").is_file(), done.stderr[-4000:]
    return copy/"_docs", done


def test_nothing_is_wrong_with_it(site):
    out, done = site
    assert problems(out, ROOT/"nbs") == []
    assert done.returncode == 0, done.stderr[-4000:]


def test_every_module_has_a_page(site):
    out, _ = site
    assert {p.stem for p in (ROOT/"aivd_nb").glob("*.py")} - {"__init__", "_modidx"} <= {p.stem for p in (out/"api").glob("*.html")}


def test_quarto_reads_the_same_files(site):
    "The page addresses that nbdev tells Quarto are the ones that links and this site use; `_quarto.yml` is the top-level one"
    out, _ = site
    assert {page_of(s, ROOT/"nbs") for s in sources(ROOT/"nbs")} == {p.relative_to(out).as_posix() for p in out.rglob("*.html")}
    assert (out.parent/"_proc/_quarto.yml").read_bytes() == (ROOT/"_quarto.yml").read_bytes()


# The checker can fail

GOOD = "<nav><a href='index.html'>Home</a> <a href='a.html'>A</a></nav><h2 id='x'>X</h2> <a href='a.html#y'>y</a> <a href='https://example.org/z'>z</a> <code>:::</code>"
A = "<h2 id='y'>Y</h2> <img src='p.png' alt='p'> <a href='#y'>y</a>"
BROKEN = {
    "no page a.html": {"a.html": None},
    "not in the navigation": {"index.html": GOOD.replace("<a href='a.html'>A</a>", "")},
    "::: was left over": {"a.html": A + "<p>::: {.callout-note}</p>"},
    "#| was left over": {"a.html": A + "<pre><code>#| hide\nx = 1</code></pre>"},
    "@fig- was left over": {"a.html": A + "<p>see @fig-one</p>"},
    "{{< was left over": {"a.html": A + "<p>{{< include x.md >}}</p>"},
    "'gone.html' leads nowhere": {"a.html": A + "<a href='gone.html'>x</a>"},
    "'b.ipynb' leads nowhere": {"a.html": A + "<a href='b.ipynb'>x</a>"},
    "'../out.txt' leads nowhere": {"a.html": A + "<a href='../out.txt'>x</a>"},
    "'index.html#nowhere' names an anchor": {"a.html": A + "<a href='index.html#nowhere'>x</a>"},
    "'#nowhere' names an anchor": {"a.html": A + "<a href='#nowhere'>x</a>"},
    "'q.png' leads nowhere": {"a.html": A + "<img src='q.png' alt='q'>"},
    "has no description": {"a.html": A + "<img src='p.png'>"},
    "the picture p.png has no description": {"a.html": A + "<img src='p.png' alt=''>"},
    "is no address": {"a.html": A + "<a href='https//example.org'>x</a><a href='https://'>x</a>"},
    "over 2,000,000": {"a.html": A + "<p>" + "x"*2_000_000},
    "ids that stand twice": {"a.html": A + "<h2 id='y'>again</h2>"},
}

NOISE = [
    "I0000 00:00:1795708426.098485   28012 port.cc:153] oneDNN custom operations are on.",
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "2026-11-26 10:00:00.1: I tensorflow/core/platform/cpu_feature_guard.cc:227] This TensorFlow binary is optimized",
    "E0000 00:00:1795708434.479998   28012 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error",
    "WARNING:absl:You are saving your model as an HDF5 file via `model.save()`",
    "WARNING:tensorflow:5 out of the last 5 calls to <function> triggered tf.function retracing.",
    "1/1 ━━━━━━━━━━━━━━━━━━━━ 1s 1s/step - loss: 0.2",
    "head:  50%|#####     | 10/20 [00:01<00:01]",
]


@pytest.mark.parametrize("line", NOISE, ids=range(len(NOISE)))
def test_checker_hears_noise(tmp_path, line):
    found = small(tmp_path, **{"a.html": A + f"<div class='cell-output'><pre>first\n{line}</pre></div>"})
    assert any("a library's noise" in f for f in found), found


def small(folder, **pages):
    "A site of two pages from two sources"
    (folder/"nbs").mkdir(); (folder/"site").mkdir()
    for name in ("index.qmd", "a.qmd", "_hidden.qmd"): (folder/"nbs"/name).write_text("")
    (folder/"out.txt").write_text("")
    (folder/"site/p.png").write_bytes(b"")
    for name, html in ({"index.html": GOOD, "a.html": A} | pages).items():
        if html is not None: (folder/"site"/name).write_text(html)
    return problems(folder/"site", folder/"nbs")


def test_checker_passes_a_good_site(tmp_path): assert small(tmp_path) == []


@pytest.mark.parametrize("what", BROKEN)
def test_checker_finds(tmp_path, what):
    found = small(tmp_path, **BROKEN[what])
    assert any(what in f for f in found), found


# As people see it

@pytest.fixture(scope="module")
def address(site):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site[0])))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


# Notebook outputs lay translucent colours over the page's: what is behind a text is all of them, mixed
MIXED = """const behind = e => { const over = []; for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3) { over.push([...c, 1]); break; } if (c[3] > 0) over.push(c); }
    return over.reduceRight((under, c) => under.map((u, i) => u * (1 - c[3]) + c[i] * c[3]), [255, 255, 255]); };"""
CONTRAST = re.sub(r"(?m)^  const behind = .*$", lambda m: MIXED, OPAQUE)

KINDS = ["index.html", "api/labels.html", "results/calibration.html", "tutorials/first_verdict.html", "explain/how_it_decides.html", "cards/mobilenetv2.html", "contributing.html"]

@needs_browser
@pytest.mark.parametrize("width, scheme", [(360, "light"), (360, "dark"), (1300, "dark"), (1300, "light")])
def test_fits_and_contrasts(browser, address, width, scheme): # noqa: F811
    "Nothing sticks out at 360 px; text stands out against what is behind it by 4.5 to 1; no script complains"
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page, said = context.new_page(), []
    page.route("**/*", lambda r: r.continue_() if r.request.url.startswith(address) else r.abort())
    page.on("pageerror", lambda e: said.append(str(e)))
    for name in KINDS:
        page.goto(address + name)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert [t for t in page.evaluate(CONTRAST) if re.search(r"\w", t)] == [], name # signs without words need less
    context.close()
    assert said == []


@needs_browser
def test_search_works_from_a_file(browser, site): # noqa: F811
    "No server: the index is a script. By keyboard alone"
    page = browser.new_page()
    page.goto(f"{site[0].as_uri()}/howto/deploy_web_app.html")
    page.keyboard.press("/")
    page.keyboard.type("find_videos")
    page.locator("#site-found a").first.wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/api/labels.html#find_videos")
    page.keyboard.press("/")
    page.keyboard.type("qqqqq")
    page.locator("#site-found .none").wait_for()
    page.close()


@needs_browser
def test_scheme_and_navigation(browser, address): # noqa: F811
    "The chosen scheme outlasts the page; the contents open on a narrow screen; code can be copied"
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="light", permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(address + "index.html")
    page.get_by_label("Switch between light and dark").click()
    link = page.locator("nav a", has_text="Deploy the web app")
    assert not link.is_visible()
    page.get_by_label("Contents of the site").click()
    link.click()
    page.wait_for_url("**/howto/deploy_web_app.html")
    assert page.evaluate("document.documentElement.dataset.scheme") == "dark"
    page.locator(".copyable:has(pre.console) .copy").first.click()
    assert page.evaluate("navigator.clipboard.readText()") == "aivd serve"
    context.close()
