"""What may be wrong with a built site: pages that are missing, directives that nobody rendered, links that lead nowhere."""
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LEFT_OVER = {":::": r":::", "#|": r"(?m)^\s*#\|", "@fig-": r"@(?:fig|tbl|sec|eq)-\w", "{{<": r"\{\{<"}
MAX_BYTES = 2_000_000
# What libraries say about themselves; on a page it reads like a failure
NOISE = re.compile(
    r"oneDNN custom operations|absl::InitializeLog|^(?:WARNING|INFO|ERROR):(?:absl|tensorflow)|^[IWEF]\d{4} \d\d:\d\d|cudart_stub|cuInit|cpu_feature_guard"
    r"|HDF5 file via|tf\.function retracing|\d+/\d+ .*━|\d(?:ms|s)/(?:step|epoch)|\d+%\|[^|]*\| \d+/\d+", re.M)


class Reader(HTMLParser):
    "Of a page: ids, targets of links and pictures, text outside of code and inside blocks of it, links of the navigation"
    def __init__(self, html):
        super().__init__()
        self.ids, self.targets, self.text, self.code, self.nav, self.open = [], [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if attrs.get("id"): self.ids.append(attrs["id"])
        for name in ("href", "src", "poster"):
            if name in attrs: self.targets.append((tag, attrs[name] or ""))
        if tag == "img" and not attrs.get("alt") and "header" not in self.open: self.targets.append(("img without alt", attrs.get("src", "")))
        if tag == "a" and "nav" in self.open: self.nav.append(attrs.get("href", ""))
        if tag in ("pre", "code", "script", "style", "nav", "header"): self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open: del self.open[len(self.open) - 1 - self.open[::-1].index(tag):]

    def handle_data(self, data):
        if "script" in self.open or "style" in self.open: return
        if "pre" in self.open: self.code.append(data)
        elif "code" not in self.open: self.text.append(data) # a directive may be spoken of, in backticks


def page_of(source, nbs) -> str: # the address that nbdev (`output-file`) and Quarto give it
    "Where a notebook or qmd file stands in the site"
    rel = source.relative_to(nbs)
    name = re.sub(r"^\d+[a-z]?_", "", rel.stem) if rel.suffix == ".ipynb" else rel.stem
    return (rel.parent/f"{name}.html").as_posix()


def sources(nbs): return [p for p in sorted(Path(nbs).rglob("*")) if p.suffix in (".ipynb", ".qmd") and not any(x.startswith(("_", ".")) for x in p.relative_to(nbs).parts)]


def link_problem(page, tag, target, pages, out):
    "What is wrong with a link; nothing, if nothing is"
    if tag == "img without alt": return f"{page}: the picture {target[:60]} has no description"
    url = urlsplit(target)
    if url.scheme or url.netloc:
        if url.scheme in ("http", "https") and re.fullmatch(r"[\w.-]+(:\d+)?", url.netloc) and not re.search(r"\s", target): return
        if url.scheme == "mailto" and "@" in url.path or url.scheme == "data" and tag in ("img", "source", "video"): return
        return f"{page}: {target[:80]!r} is no address"
    path = (out/page).parent/unquote(url.path) if url.path else out/page
    path = path/"index.html" if path.is_dir() else path
    if not path.is_file() or not path.resolve().is_relative_to(out.resolve()): return f"{page}: {target!r} leads nowhere"
    other = path.resolve().relative_to(out.resolve()).as_posix()
    if url.fragment and other in pages and unquote(url.fragment) not in pages[other].ids: return f"{page}: {target!r} names an anchor that is not there"


def page_problems(name, reader, size):
    "What is wrong with a page in itself"
    if size > MAX_BYTES: yield f"{name}: {size:,} bytes, over {MAX_BYTES:,}"
    twice = {i for i in reader.ids if reader.ids.count(i) > 1}
    if twice: yield f"{name}: ids that stand twice: {sorted(twice)}"
    texts = ["".join(reader.text)]
    for m in NOISE.finditer("".join(reader.code)): yield f"{name}: a library's noise: {m[0]!r}"
    for what, pattern in LEFT_OVER.items():
        hay = texts + ["".join(reader.code)] if what == "#|" else texts
        for t in hay:
            if m := re.search(pattern, t): yield f"{name}: {what} was left over: {t[max(0, m.start() - 30):m.end() + 30].strip()!r}"


def problems(out, nbs) -> list[str]: # one a line; empty where all is well
    "Everything that is wrong with the site in `out`, made from the notebooks in `nbs`"
    out, nbs = Path(out), Path(nbs)
    files = {p.relative_to(out).as_posix(): p for p in sorted(out.rglob("*.html"))}
    pages = {name: Reader(p.read_text(encoding="utf-8")) for name, p in files.items()}
    wanted = {page_of(s, nbs): s for s in sources(nbs)}
    found = [f"{s.relative_to(nbs)}: no page {name}" for name, s in wanted.items() if name not in pages]
    listed = {unquote(t) for t in pages["index.html"].nav} if "index.html" in pages else set()
    found += [f"{s.relative_to(nbs)}: not in the navigation" for name, s in wanted.items() if name in pages and name not in listed]
    for name, reader in pages.items():
        found += page_problems(name, reader, files[name].stat().st_size)
        found += filter(None, dict.fromkeys(link_problem(name, tag, t, pages, out) for tag, t in reader.targets))
    return found
