"use strict";
const root = document.body.dataset.root, $ = s => document.querySelector(s);

// Light, dark: what the system says until somebody chooses.
$(".scheme").addEventListener("click", () => {
  const html = document.documentElement, dark = html.dataset.scheme ? html.dataset.scheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  html.dataset.scheme = dark ? "light" : "dark";
  try { localStorage.setItem("scheme", html.dataset.scheme); } catch {}
});

// The contents on a narrow screen.
$(".menu").addEventListener("click", e => {
  const open = document.body.classList.toggle("open");
  e.currentTarget.setAttribute("aria-expanded", open);
});
const here = $(".nav [aria-current]");
if (here) $(".nav").scrollTop = Math.max(0, here.offsetTop - 200);

// Copy what a block of code says, without the prompt of a shell session.
for (const pre of document.querySelectorAll("div.sourceCode > pre, pre.console, pre.text")) {
  const button = document.createElement("button");
  button.type = "button"; button.className = "copy"; button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const lines = pre.querySelector("code").innerText.split("\n"), typed = lines.filter(l => l.startsWith("$ "));
    await navigator.clipboard.writeText((typed.length ? typed.map(l => l.slice(2)) : lines).join("\n").trimEnd());
    button.textContent = "Copied";
    setTimeout(() => button.textContent = "Copy", 1500);
  });
  let box = pre.parentElement;
  if (!box.matches("div.sourceCode")) { box = document.createElement("div"); pre.replaceWith(box); box.append(pre); }
  box.classList.add("copyable");
  box.append(button);
}

// The heading in view is marked in the table of contents.
const toc = new Map([...document.querySelectorAll(".toc a")].map(a => [decodeURIComponent(a.hash.slice(1)), a]));
if (toc.size) {
  const heads = [...toc.keys()].map(id => document.getElementById(id)).filter(Boolean);
  const mark = () => {
    const now = heads.filter(h => h.getBoundingClientRect().top < 120).pop() || heads[0];
    for (const [id, a] of toc) a.classList.toggle("here", now && id === now.id);
  };
  addEventListener("scroll", mark, {passive: true});
  mark();
}

// Search: the index is a script, so that it loads from a file, too; and only when somebody searches.
const field = $("#site-search"), found = $("#site-found");
let loading, at = -1;
const index = () => loading ||= new Promise((done, fail) => {
  const s = document.createElement("script");
  s.src = root + "site/search.js"; s.onload = () => done(window.SITE_INDEX); s.onerror = fail;
  document.head.append(s);
});
const score = (entry, words) => {
  const [page, head, text] = [entry.t, entry.h, entry.x].map(s => s.toLowerCase());
  let sum = 0;
  for (const w of words) {
    const s = (page === w) * 60 + page.includes(w) * 12 + (head === w) * 50 + head.includes(w) * 14 + text.includes(w) * 3;
    if (!s) return 0;
    sum += s;
  }
  return (sum + (entry.h ? 0 : 4)) * (entry.u.startsWith("api/") ? 1 : 2); // guides before the reference, but for a name itself
};
const around = (text, word) => {
  const i = Math.max(0, text.toLowerCase().indexOf(word) - 40);
  return (i ? "…" : "") + text.slice(i, i + 130) + (text.length > i + 130 ? "…" : "");
};
async function search() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return close();
  const hits = (await index()).map(e => [score(e, words), e]).filter(([s]) => s).sort((a, b) => b[0] - a[0]).slice(0, 12);
  found.replaceChildren(...hits.map(([, e], i) => {
    const li = document.createElement("li"), a = document.createElement("a"), where = document.createElement("b"), text = document.createElement("span");
    li.role = "option"; li.id = "site-hit-" + i; a.href = root + e.u; a.tabIndex = -1;
    where.textContent = e.h ? `${e.t} › ${e.h}` : e.t;
    text.textContent = around(e.x, words.find(w => e.x.toLowerCase().includes(w)) || "");
    a.append(where, text); li.append(a);
    return li;
  }));
  if (!hits.length) { const li = document.createElement("li"); li.className = "none"; li.textContent = "Nothing found"; found.append(li); }
  at = -1; found.hidden = false; field.setAttribute("aria-expanded", "true"); field.removeAttribute("aria-activedescendant");
}
function close() { found.hidden = true; field.setAttribute("aria-expanded", "false"); }
field.addEventListener("input", search);
field.addEventListener("focus", () => field.value && search());
field.addEventListener("keydown", e => {
  const links = [...found.querySelectorAll("a")];
  if (e.key === "Escape") { field.value = ""; close(); }
  if (e.key === "Enter" && links.length && !found.hidden) { e.preventDefault(); links[Math.max(at, 0)].click(); close(); }
  if ((e.key === "ArrowDown" || e.key === "ArrowUp") && links.length) {
    e.preventDefault();
    at = (at + (e.key === "ArrowDown" ? 1 : links.length - (at < 0 ? 0 : 1))) % links.length;
    links.forEach((a, i) => a.parentElement.setAttribute("aria-selected", i === at));
    field.setAttribute("aria-activedescendant", "site-hit-" + at);
    links[at].scrollIntoView({block: "nearest"});
  }
});
document.addEventListener("click", e => { if (!e.target.closest(".find")) close(); });
document.addEventListener("keydown", e => { if (e.key === "/" && !e.target.closest("input, textarea")) { e.preventDefault(); field.focus(); } });
