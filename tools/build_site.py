"""The site without quarto: `python tools/build_site.py [--out _docs]`. nbdev makes `_proc/`, pandoc (Quarto's own engine) renders it.

The published site is made by `quarto render` from the very same `_proc/`; this one needs no program that pip can't install, so tests can look at every page."""
import argparse, base64, json, os, re, shutil, sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = Path(__file__).parent/"site"


def process(root=ROOT, workers=2) -> Path: # _proc/
    "What nbdev_docs does before it calls quarto. Call it under `if __name__ == '__main__'`: its workers are spawned"
    os.chdir(root)
    import nbdev.doclinks, nbdev.serve
    from nbdev.quarto import refresh_quarto_yml
    refresh_quarto_yml()
    nbdev.doclinks._build_modidx()
    return Path(nbdev.serve.proc_nbs(n_workers=workers, force=True))


@dataclass(eq=False)
class Page:
    path: Path # in _proc/
    url: str # in the site
    title: str
    description: str = ""
    label: str = "" # in the navigation
    source: str = "" # in the repository
    text: str = "" # markdown
    fold: bool = False # code is there, behind a click
    files: dict = field(default_factory=dict) # pictures of outputs: name → bytes


# Notebooks and qmd files to markdown

def front(text):
    "What stands between the lines of three dashes, and the rest"
    import yaml
    m = re.match(r"---\n(.*?)\n---\s*(?:\n|$)", text, re.S)
    return (yaml.safe_load(m[1]) or {}, text[m.end():]) if m else ({}, text)


def joined(x): return "".join(x) if isinstance(x, list) else x

def fenced(text, classes):
    ticks = "`"*max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return f"{ticks} {{{classes}}}\n{text}\n{ticks}"

def raw(html): return fenced(html, "=html")

def boxed(content, kind=""): return f"::::: {{.cell-output{kind}}}\n{content}\n:::::"


def unlinked_code(text):
    "nbdev links names in signatures, too, where a link is only noise"
    return re.sub(r"(?ms)^```.*?^```", lambda block: re.sub(r"\[(`[^`]+`)\]\([^)\s]+\)", r"\1", block[0]), text)


def output_md(out, page, asis, alt=""):
    "One output of a cell as markdown; the richest form that a page can hold"
    if out["output_type"] == "error": raise ValueError(f"{page.path} holds an error: {out['ename']}: {out['evalue']}")
    if out["output_type"] == "stream": return boxed(fenced(re.sub(r"\x1b\[[0-9;]*m", "", joined(out["text"])).rstrip("\n"), ".out"), " .stderr" if out["name"] == "stderr" else "")
    data = {k: joined(v) for k, v in out["data"].items() if isinstance(v, (str, list))}
    if "text/markdown" in data: return unlinked_code(data["text/markdown"]) if asis else boxed(data["text/markdown"])
    if "text/html" in data:
        html = re.sub(r"(?s)<style scoped>.*?</style>", "", data["text/html"]).replace(' border="1"', "")
        return boxed(raw(f'<div class="scroll">{html}</div>'))
    if "image/svg+xml" in data: return boxed(raw(data["image/svg+xml"]))
    for kind in ("png", "jpeg"):
        if f"image/{kind}" in data:
            name = f"{page.path.stem}_files/{len(page.files) + 1}.{kind}"
            page.files[name] = base64.b64decode(data[f"image/{kind}"])
            said = alt or out.get("metadata", {}).get("alt") or out.get("metadata", {}).get(f"image/{kind}", {}).get("alt", "")
            return boxed(raw(f'<img src="{name}" alt="{escape(said)}" loading="lazy">'))
    return boxed(fenced(data["text/plain"], ".out"))


def cell_md(cell, page):
    "A cell's share of the page, as its `#|` lines want it"
    src = joined(cell["source"]).strip("\n")
    if cell["cell_type"] == "markdown": return [src]
    if cell["cell_type"] == "raw": return []
    options = dict(re.findall(r"(?m)^#\|\s*([\w-]+):?[ \t]*(.*)$", src))
    code = re.sub(r"(?m)^#\|.*\n?", "", src).strip("\n")
    shown = code and options.get("echo") != "false"
    parts = [fenced(code, ".python")] if shown else []
    tests = is_test(code, cell, page)
    if shown and (page.fold or tests or options.get("code-fold") == "true"):
        parts = [raw(f'<details class="fold"><summary>{"Tests" if tests else "Code"}</summary>'), *parts, raw("</details>")]
    alt = options.get("fig-alt", "").strip('"')
    return parts + [output_md(o, page, options.get("output") == "asis", alt) for o in cell["outputs"]]


def is_test(code, cell, page):
    "Whether a cell of the reference only asserts: whoever looks a name up reads past it, so it is folded, and search leaves it out"
    asserts = re.search(r"(?m)^\s*(?:.*; ?)?(?:test_\w+\(|assert\b)", code)
    return page.source.startswith("nbs/api/") and bool(asserts) and not cell["outputs"] and "print(" not in code


def include(text, folder):
    "Quarto's include: another file's text in the place of the line that names it"
    return re.sub(r"(?m)^\{\{< include (\S+) >\}\}$", lambda m: (folder/m[1]).resolve().read_text(encoding="utf-8"), text)


def read(path, proc, root) -> Page:
    "A page of _proc/"
    if path.suffix == ".ipynb":
        nb = json.loads(path.read_text(encoding="utf-8"))
        meta, _ = front(joined(nb["cells"][0]["source"]).strip() + "\n")
    else: meta, text = front(path.read_text(encoding="utf-8"))
    rel = path.relative_to(proc)
    page = Page(path, (rel.parent/meta.get("output-file", rel.with_suffix(".html").name)).as_posix(), str(meta.get("title", "")), str(meta.get("description", "")), source=f"nbs/{rel.as_posix()}", fold=bool(meta.get("code-fold")))
    page.text = "\n\n".join(p for c in nb["cells"] for p in cell_md(c, page) if p) if path.suffix == ".ipynb" else include(text, path.parent)
    if not page.title: # Quarto, too, takes the first heading then
        m = re.search(r"(?m)\A\s*(?:<!--.*?-->\s*)?# (.+)\n", page.text)
        page.title, page.text = m[1], page.text[m.end():]
    page.label = page.title
    return page


# Navigation, as sidebar.yml has it

def navigation(proc, pages):
    "[(section or None, [Page])]; a file that is named and missing is an error"
    import yaml
    by_path = {p.path.relative_to(proc).as_posix(): p for p in pages}
    def find(entry):
        if isinstance(entry, dict):
            found = find(entry["href"])
            found[0].label = entry.get("text", found[0].label)
            return found
        if "*" in entry: return [by_path[k] for k in sorted(by_path) if Path(k).match(entry)]
        if entry not in by_path: raise FileNotFoundError(f"sidebar.yml names {entry}, which is not there")
        return [by_path[entry]]
    nav = []
    for entry in yaml.safe_load((proc/"sidebar.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]:
        if not (isinstance(entry, dict) and "section" in entry): nav.append((None, find(entry)))
        else:
            contents = entry["contents"] if isinstance(entry["contents"], list) else [entry["contents"]]
            nav.append((entry["section"], [p for c in contents for p in find(c)]))
    return nav


# Markdown to pages

def to_html(text):
    "Pandoc, with Quarto's reading of markdown"
    import pypandoc
    html = pypandoc.convert_text(text, "html5", format="markdown+lists_without_preceding_blankline-implicit_figures", extra_args=["--wrap=none", f"--lua-filter={PARTS/'site.lua'}"])
    return re.sub(r'<(h[234]) (?:[^>]* )?id="([^"]+)"[^>]*>(.*?)</\1>', r'<\1 id="\2">\3<a class="anchor" href="#\2" aria-label="Link to this section">#</a></\1>', html, flags=re.S)


def unlink(html, site, anchors):
    "nbdev links every name in backticks that it knows, private and generic ones, too. Where no heading of that name exists, the name stays and the link goes"
    made = lambda m: m[0] if m[1].lstrip("/") in anchors else m[2]
    return re.sub(rf'(?s)<a href="{re.escape(site["url"])}([^"]*#[^"]*)"[^>]*>(.*?)</a>', made, html)


def relink(html, page, pages, site):
    "Links to notebooks become links to their pages, the published site's address becomes this site"
    root = "../"*page.url.count("/")
    urls = {p.source: p.url for p in pages}
    folder = Path(page.source).parent
    def target(t):
        if t.startswith(site["url"]): return root + t[len(site["url"]):].lstrip("/")
        path, anchor = (t.split("#", 1) + [""])[:2]
        if not re.search(r"\.(ipynb|qmd)$", path) or re.match(r"\w+:", path): return t
        found = urls.get(os.path.normpath(folder/path))
        return (root + found if found else t) + (f"#{anchor}" if anchor else "")
    tag = lambda m: re.sub(r'\b(href|src)="([^"]*)"', lambda a: f'{a[1]}="{escape(target(unescape(a[2])))}"', m[0])
    return re.sub(r"<(?:a|img|source|video)\b[^>]*>", tag, html)


def plain(html): return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html))).strip()

def contents(body): return [(int(n), i, plain(re.sub(r'<a class="anchor".*?</a>', "", t))) for n, i, t in re.findall(r'(?s)<h([23]) id="([^"]+)">(.*?)</h\1>', body)]


def entries(page, body):
    "What search knows: one entry a section"
    body = re.sub(r'(?s)<a class="anchor".*?</a>|<svg.*?</svg>|<details class="fold">.*?</details>', "", body)
    first, *rest = re.split(r'(?s)<h[23] id="([^"]+)">(.*?)</h[23]>', body)
    yield {"u": page.url, "t": page.title, "h": "", "x": f"{page.description} {plain(first)}".strip()[:1500]}
    for i in range(0, len(rest), 3): yield {"u": f"{page.url}#{rest[i]}", "t": page.title, "h": plain(rest[i + 1]), "x": plain(rest[i + 2])[:1500]}


def style():
    "The site's style with the colours of the product's own page"
    css = (ROOT/"aivd_nb/static/app.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css)[:2]
    return f":root {{{light} color-scheme: light dark; }}\n@media (prefers-color-scheme: dark) {{ :root:not([data-scheme=light]) {{{dark}}} }}\n:root[data-scheme=dark] {{{dark} color-scheme: dark; }}\n:root[data-scheme=light] {{ color-scheme: light; }}\n" + (PARTS/"site.css").read_text(encoding="utf-8")


def render(proc, out, root=ROOT):
    "Every page of _proc/ into `out`, which is emptied"
    import yaml
    from jinja2 import Environment, FileSystemLoader
    website = yaml.safe_load((proc/"nbdev.yml").read_text(encoding="utf-8"))["website"]
    site = {"title": website["title"], "description": website["description"], "url": website["site-url"], "repo": website["repo-url"], "branch": website["repo-branch"]}
    paths = [p for p in sorted(proc.rglob("*")) if p.suffix in (".ipynb", ".qmd") and not any(x.startswith(("_", ".")) for x in p.relative_to(proc).parts)]
    pages = [read(p, proc, root) for p in paths]
    nav = navigation(proc, pages)
    order = [p for _, ps in nav for p in ps]
    template = Environment(loader=FileSystemLoader(PARTS), autoescape=True).get_template("page.html")
    shutil.rmtree(out, ignore_errors=True)
    with ThreadPoolExecutor(2) as pool: bodies = list(pool.map(to_html, [p.text for p in pages]))
    anchors = {f"{p.url}#{i}" for p, b in zip(pages, bodies) for i in re.findall(r'\bid="([^"]+)"', b)}
    index = []
    for page, body in zip(pages, bodies):
        body = relink(unlink(body, site, anchors), page, pages, site)
        i = order.index(page) if page in order else None
        around = {"before": order[i - 1] if i else None, "after": order[i + 1] if i is not None and i + 1 < len(order) else None}
        from markupsafe import Markup
        html = template.render(page=page, site=site, nav=nav, root="../"*page.url.count("/"), toc=contents(body), body=Markup(body), **around)
        to = out/page.url
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(html, encoding="utf-8")
        for name, content in page.files.items():
            (to.parent/name).parent.mkdir(exist_ok=True)
            (to.parent/name).write_bytes(content)
        index += entries(page, body)
    assets(proc, out, index)
    return pages


def assets(proc, out, index):
    "Pictures and clips that pages show; style, scripts, the search index"
    for p in proc.rglob("*"):
        if p.suffix in (".png", ".jpg", ".svg", ".mp4", ".csv"):
            (out/p.relative_to(proc)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(p, out/p.relative_to(proc))
    (out/"site").mkdir()
    for name in ("site.js", "theme.js"): shutil.copy2(PARTS/name, out/"site"/name)
    shutil.copy2(ROOT/"aivd_nb/static/mark.svg", out/"site"/"mark.svg")
    (out/"site"/"site.css").write_text(style(), encoding="utf-8")
    (out/"site"/"search.js").write_text(f"window.SITE_INDEX = {json.dumps(index, ensure_ascii=False)};\n", encoding="utf-8")
    (out/".nojekyll").write_text("")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT/"_docs", help="folder of the site; emptied first")
    parser.add_argument("--keep-proc", action="store_true", help="render the _proc/ that is there")
    args = parser.parse_args()
    out = args.out.resolve()
    proc = ROOT/"_proc" if args.keep_proc else process()
    pages = render(proc, out)
    from check_site import problems
    found = problems(out, ROOT/"nbs")
    print(f"{len(pages)} pages in {args.out}")
    for p in found: print(p, file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__": main()
