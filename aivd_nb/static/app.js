// The page: checks a file, sends it, follows its job, shows the verdict. Plain JavaScript; nothing is loaded from elsewhere, and no text of a file or server becomes HTML.
// It has no words of its own: they are in words.LANGUAGE.json, and the server puts those of the reader's language into the page.
"use strict";

const BASE = new URL("../", document.currentScript.src).pathname; // below a prefix, too: this file lies in BASE/static
const API = `${BASE}api/v1/jobs`;
const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const WORDS = JSON.parse($("words").textContent), LANG = document.documentElement.lang, TITLE = document.title;
let about = null, limits = { max_bytes: 200 * 2 ** 20, max_seconds: Infinity, max_pixels: Infinity, key_needed: false };
let cards = [], batch = [], waiting = [], busy = false, made = 0; // all in the order in which they stand on the page; batch: those given since all was done

function el(tag, attrs = {}, ...children) {
  const node = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) {
    if (k.startsWith("on")) node.addEventListener(k.slice(2), v);
    else if (v !== null && v !== undefined && v !== false) node.setAttribute(k, v === true ? "" : v);
  }
  node.append(...children.flat().filter(c => c !== null && c !== undefined && c !== ""));
  return node;
}

function draw(parent, tag, attrs = {}, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [k, v] of Object.entries(attrs)) node.setAttribute(k, v);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

// ---- words

function t(key, values = {}) {
  if (!(key in WORDS)) throw new Error(key); // a mistake of ours
  return WORDS[key].replace(/{(\w+)}/g, (_, name) => values[name]);
}
// What detector and server say is English. Its translation stands under the sentence itself, or under its pattern, whose places are filled with the numbers and names of the sentence.
const english = text => LANG === "en" ? text : el("span", { lang: "en" }, text);
const HOLE = /\\\{(\w+)\\\}/g, escaped = text => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const PATTERNS = Object.keys(WORDS).filter(k => k.startsWith("told.")).sort((a, b) => b.length - a.length).map(k => [new RegExp(`^${escaped(k.slice(5)).replace(HOLE, "(?<$1>(?:(?![.;] ).)+?)")}$`), k]);
const figures = text => WORDS.decimal === "." ? text : text.replace(/(?<=\d)[.,](?=\d)/g, c => c === "." ? "," : ".");

function filled(sentence) {
  for (const [pattern, key] of PATTERNS) {
    const found = sentence.match(pattern);
    if (found) return t(key, Object.fromEntries(Object.entries(found.groups ?? {}).map(([k, v]) => [k, carried(v)])));
  }
  return null;
}

function carried(value) {
  const parts = value.split(/ and |, (?=\D)/).filter(Boolean).map(p => /^[\d.,:–×% ]+( s)?$/.test(p) ? figures(p) : filled(p));
  if (parts.includes(null)) return filled(value) ?? value;
  return parts.length < 2 ? parts[0] : parts.slice(0, -1).join(", ") + WORDS.and + parts.at(-1);
}

function retold(text) {
  if (LANG === "en" || !text) return text;
  const whole = text.replace(/\.$/, ""), parts = (filled(whole) === null ? whole.split(". ") : [whole]).map(filled);
  return parts.includes(null) ? null : parts.join(". ") + text.slice(whole.length);
}

const told = text => retold(text) ?? english(text);
const said = (kind, text) => WORDS[`${kind}.${text}`] ?? told(text);
const begin = text => text.charAt(0).toUpperCase() + text.slice(1);
const label = v => t(`label.${v.label}`);
const reason = v => `${begin(retold(v.reason) ?? WORDS[`reason.${v.reason_code}`] ?? v.reason)}.`;

const number = (n, digits = 0) => n.toLocaleString(LANG, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const percent = p => `${Math.round(100 * p)} %`;
const two = n => String(n).padStart(2, "0");
const clock = s => { const w = Math.round(s), m = Math.floor(w / 60); return m < 60 ? `${m}:${two(w % 60)}` : `${Math.floor(m / 60)}:${two(m % 60)}:${two(w % 60)}`; };
const seconds = (s, duration = 0) => Math.max(s, duration) < 60 ? `${number(s, 1)} s` : clock(s); // as the package writes it
const bytes = n => n < 1024 ? `${n} B` : n < 1024 ** 2 ? `${number(n / 1024)} KiB` : `${number(n / 1024 ** 2, 1)} MiB`;
const moment = s => `${new Date(1000 * s).toISOString().slice(0, 16).replace("T", " ")} UTC`;
const say = text => { $("status").textContent = text; };
const pause = ms => new Promise(r => setTimeout(r, ms));

// ---- the server, its key, and what a reload must not lose

const needsKey = () => limits.key_needed && !sessionStorage.getItem("aivd-key");
const auth = () => sessionStorage.getItem("aivd-key") ? { Authorization: `Bearer ${sessionStorage.getItem("aivd-key")}` } : {};
const ask = (url, options = {}) => fetch(url, { ...options, headers: { ...auth(), ...(options.headers || {}) } });
const memory = () => JSON.parse(sessionStorage.getItem("aivd-jobs") || "[]"); // {key, name, size} of each card, in order; with href once the server has the file, with why where it was refused
const keep = entries => sessionStorage.setItem("aivd-jobs", JSON.stringify(entries.slice(0, 50)));
const forget = c => keep(memory().filter(m => m.key !== c.key));
const note = (c, more) => keep(memory().map(m => m.key === c.key ? { ...m, ...more } : m));

function askKey(text) {
  sessionStorage.removeItem("aivd-key");
  $("key").hidden = false;
  $("key-hint").textContent = text;
  say(text);
}

async function useKey(key) {
  sessionStorage.setItem("aivd-key", key);
  const r = await ask(`${API}/none`).catch(() => null); // 404 with the right key
  if (!r || r.status === 401) return askKey(t(r ? "key.wrong" : "key.unreachable"));
  $("key").hidden = true;
  say(t("key.accepted"));
  $("file").focus();
  restore();
}

// ---- what can be told before sending

// What a file is by its first bytes; the server looks again.
function sniff(b) {
  const at = (i, n) => String.fromCharCode(...b.slice(i, i + n)), head = at(0, 4);
  if (head === "RIFF") return { "AVI ": "video", "WAVE": "audio", "WEBP": b[20] & 2 && at(12, 4) === "VP8X" ? "webp" : "image" }[at(8, 4)] || null;
  if (at(4, 4) === "ftyp") return ["heic", "heix", "mif1", "avif"].includes(at(8, 4)) ? "image" : at(8, 3) === "M4A" || at(8, 3) === "M4B" ? "audio" : "video";
  if (["moov", "mdat", "wide", "free", "skip", "pnot", "uuid", "styp", "moof", "mfra", "sidx", "emsg", "prft", "meta"].includes(at(4, 4))) return "video";
  if (["\x1aE\xdf\xa3", "\x1f\x43\xb6\x75", "OggS", "FLV\x01", "GIF8", "\x30\x26\xb2\x75", "\x06\x0e\x2b\x34", "nut/", "DKIF", "YUV4"].includes(head)) return "video";
  if (at(0, 3) === "\0\0\x01" && [0xba, 0xb3, 0xb0, 0x06, 0x09, 0x27, 0x47, 0x67, 0x40, 0x42, 0x46].includes(b[3]) || at(0, 4) === "\0\0\0\x01" || at(0, 3) === "\x12\0\x0a" || at(0, 3) === "\x1f\x07\0") return "video";
  if (at(1, 3) === "PNG") return at(0, 4096).split("IDAT")[0].includes("acTL") ? "video" : "image";
  if ([188, 192, 204].some(step => b.slice(0, step).some((x, i) => b.length > i + step && b.every((y, j) => j < i || (j - i) % step || y === 0x47)))) return "video";
  if (at(0, 3) === "ID3" || head === "fLaC") return "audio";
  return at(0, 3) === "\xff\xd8\xff" ? "image" : null;
}

// Length and size of the picture, where this browser can read them.
function metadata(url) {
  return new Promise(resolve => {
    const video = el("video", { preload: "metadata", muted: true });
    const done = found => { clearTimeout(timer); video.removeAttribute("src"); resolve(found); };
    const timer = setTimeout(done, 4000, null);
    video.addEventListener("loadedmetadata", () => done({ duration: video.duration, width: video.videoWidth, height: video.videoHeight }));
    video.addEventListener("error", () => done(null));
    video.src = url;
  });
}

// Why a file is not sent, as two texts; null where nothing is wrong with it. A text is kept as its key and its values, so that it can be said again in another language.
const phrase = (key, values = {}) => ({ key, values });
const UNITS = { bytes, seconds, number };

function spoken({ key, values, said }) {
  if (said !== undefined) return told(said);
  const value = v => Array.isArray(v) ? UNITS[v[0]](v[1]) : v;
  return key in WORDS ? t(key, Object.fromEntries(Object.entries(values).map(([k, v]) => [k, value(v)]))) : t("error.other");
}

async function refusal(c) {
  const { file } = c;
  if (c.link) return null;
  if (!file.size) return [phrase("error.empty"), phrase("refused.empty")];
  if (file.size > limits.max_bytes) return [phrase("error.too_large"), phrase("refused.too_large", { size: ["bytes", file.size], most: ["bytes", limits.max_bytes] })];
  const head = await file.slice(0, 4096).arrayBuffer().catch(() => null);
  if (!head) return [phrase("refused.unread"), phrase("refused.unread.text")];
  const kind = sniff(new Uint8Array(head));
  if (["audio", "webp", "image"].includes(kind)) return [phrase(`refused.${kind}`), phrase(`refused.${kind}.text`)];
  if (kind !== "video") return [phrase("error.not_a_video"), phrase("refused.not_a_video")];
  const found = await metadata(c.url);
  if (!found) return null;
  if (isFinite(found.duration) && found.duration > limits.max_seconds + .5) return [phrase("error.too_long"), phrase("refused.too_long", { length: ["seconds", found.duration], most: ["seconds", limits.max_seconds] })];
  if (found.width * found.height > limits.max_pixels) return [phrase("error.too_many_pixels"), phrase("refused.too_many_pixels", { width: found.width, height: found.height, most: ["number", limits.max_pixels] })];
  return null;
}

// Its code is the one that the server would have given.
const CODE = { audio: "no_video", webp: "not_a_video", image: "not_a_video", unread: "unreadable" };
function refused(c, why) {
  const [code, problem, remedy] = [why[0].key.split(".")[1], ...why.map(spoken).map(s => s.textContent ?? s)];
  trouble(c, ...why.map(spoken));
  c.why = { code: CODE[code] ?? code, problem, remedy: why[1].said ?? remedy };
}

// A refused file stays on the page, through reloads and changes of the language, until it is removed.
function refuse(c, why) {
  note(c, { why });
  refused(c, why);
}

// ---- cards

const STEPS = ["sending", "queued", "probing", "decoding", "features", "verdict"];

function card({ file = null, link = null, name = link ?? file.name, size = file?.size ?? 0, key = `${Date.now()}-${made++}` }) {
  const c = { file, link, name, size, key, url: file && URL.createObjectURL(file), gone: false, finished: false, sent: .1, digits: "", digests: [el("span"), el("span")] };
  c.message = el("p", { class: "message" }, t("status.waiting"));
  c.bar = el("progress", { max: 1, value: 0, "aria-label": t("progress.of", { name }) });
  c.steps = el("ol", { class: "steps", "aria-label": t("steps") }, STEPS.map(id => el("li", { "data-step": id }, t(`step.${id}`))));
  c.cancel = el("button", { class: "button", type: "button", onclick: () => cancel(c) }, t("cancel"));
  c.title = el("h2", { tabindex: "-1", id: `clip-${key}`, translate: "no" }, name, c.digests[0]);
  c.work = el("div", {}, el("div", { class: "work" }, c.message, c.cancel), c.bar, c.steps);
  c.body = el("div", { id: `body-${key}` }, c.work);
  c.chip = el("p", { class: "chip" });
  c.folder = el("button", { class: "link", type: "button", "aria-controls": c.body.id, "aria-describedby": c.title.id, "aria-expanded": "true", hidden: true, onclick: () => fold(c, c.body.hidden) }, t("fold"));
  c.node = el("article", { class: "card", "aria-labelledby": c.title.id }, el("div", { class: "job-head" }, c.title, c.chip, el("p", { class: "hint" }, size ? bytes(size) : ""), c.folder), c.body);
  const jump = el("a", { href: `#${c.title.id}`, translate: "no", onclick: e => { e.preventDefault(); fold(c, true); c.node.scrollIntoView(); c.title.focus({ preventScroll: true }); } }, name, c.digests[1]);
  c.cells = [el("td"), el("td"), el("td")];
  c.row = el("tr", {}, el("th", { scope: "row" }, jump), c.cells);
  enter(c, c.message.textContent);
  return c;
}

function fold(c, open) {
  c.body.hidden = !open;
  c.node.classList.toggle("folded", !open);
  c.folder.textContent = t(open ? "fold" : "unfold");
  c.folder.setAttribute("aria-expanded", String(open));
}

// What the table of all files says of one.
function enter(c, ...texts) { c.cells.forEach((cell, i) => { cell.textContent = texts[i] ?? ""; }); }

// Files of one name are told apart by what they hold: the SHA-256 begins with these digits.
function tellApart() {
  for (const c of cards) {
    c.digits = c.job && cards.some(x => x !== c && x.name === c.name) ? c.job.sha256.slice(0, 8) : "";
    for (const place of c.digests) place.textContent = c.digits && ` (${c.digits})`;
  }
}
const named = c => c.digits ? `${c.name} (${c.digits})` : c.name;

// The table, the sample and the title follow the cards.
function tidy() {
  tellApart();
  const n = batch.filter(c => !c.gone).length, done = batch.filter(c => c.finished && !c.gone).length, now = batch.find(c => !c.finished && !c.gone);
  $("all").hidden = cards.length < 2;
  $("sample").hidden = cards.length > 0;
  const told = n > 1 ? t("progress.title", { done, n }) : now ? percent(now.bar.value) : "";
  document.title = [n && done === n ? "✓" : "", told].filter(Boolean).join(" ") + (n ? " · " : "") + TITLE;
}

function step(c, stage, message, share) {
  const place = STEPS.indexOf(stage);
  [...c.steps.children].forEach((li, i) => { li.className = i < place ? "past" : ""; i === place ? li.setAttribute("aria-current", "step") : li.removeAttribute("aria-current"); });
  if (c.stage !== stage) say(`${named(c)}: ${message}`);
  c.stage = stage;
  c.message.textContent = message;
  c.bar.value = share && Math.max(share, c.bar.value); // it goes back only where sending begins anew
  enter(c, message);
  tidy();
}

function close(c, ...content) {
  const had = c.node.contains(document.activeElement) || document.activeElement === document.body && batch.length < 2;
  c.finished = true;
  c.work.remove();
  c.body.append(...content);
  c.folder.hidden = false;
  if (had) c.title.focus({ preventScroll: content[0].className === "trouble" });
  tidy();
}

function trouble(c, title, ...detail) {
  const remove = el("button", { class: "button", type: "button", onclick: () => { leave(c); $("file").focus(); } }, t("trouble.remove"));
  c.error = { title, text: detail.map(d => d.textContent ?? d).join("") };
  close(c, el("div", { class: "trouble" }, el("h3", {}, title), el("p", {}, detail)), el("div", { class: "actions" }, remove));
  enter(c, t("all.trouble"), "", title);
  c.chip.textContent = t("all.trouble");
  say(`${named(c)}: ${title}. ${c.error.text}`);
}

// The card goes from the page and from its memory.
function leave(c) {
  c.gone = true;
  forget(c);
  if (c.url) URL.revokeObjectURL(c.url);
  off(c);
}

function off(c) {
  cards = cards.filter(x => x !== c);
  waiting = waiting.filter(x => x !== c);
  c.node.remove();
  c.row.remove();
  tidy();
}

async function cancel(c) {
  c.gone = true;
  if (c.xhr) c.xhr.abort();
  if (c.job) await ask(c.job.links.self, { method: "DELETE" }).catch(() => {});
  leave(c);
  say(`${named(c)}: ${t("cancelled")}`);
  $("file").focus();
}

// ---- sending

const LATER = 4; // seconds that the analysis of a clip is taken to need, next to which sending gets its share of the bar

// XMLHttpRequest, because fetch tells nothing about how much of a body has been sent.
function send(c) {
  return new Promise((resolve, reject) => {
    const xhr = c.xhr = new XMLHttpRequest(), form = new FormData(), start = performance.now();
    form.append("file", c.file, c.name);
    xhr.open("POST", API);
    for (const [k, v] of Object.entries(auth())) xhr.setRequestHeader(k, v);
    xhr.upload.onprogress = e => {
      if (!e.lengthComputable || !e.loaded) return;
      const part = e.loaded / e.total, spent = (performance.now() - start) / 1000;
      c.sent = spent / (spent / part + LATER);
      step(c, "sending", `${t("status.sending")}: ${percent(part)}`, c.sent);
    };
    xhr.onload = () => { let body = {}; try { body = JSON.parse(xhr.responseText); } catch { } resolve({ status: xhr.status, body, again: Number(xhr.getResponseHeader("Retry-After")) }); };
    xhr.onerror = () => reject(new Error(t("trouble.unreachable")));
    xhr.onabort = () => resolve({ status: 0 });
    xhr.send(form);
  });
}

// A link that this server may fetch: it does so at once, and then has the clip as if it had been sent.
async function fetchLink(c) {
  const r = await ask(`${BASE}api/v1/links`, { method: "POST", body: JSON.stringify({ url: c.link }), headers: { "Content-Type": "application/json" } }).catch(() => { throw new Error(t("trouble.unreachable")); });
  return { status: r.status, body: await r.json().catch(() => ({})), again: Number(r.headers.get("Retry-After")) };
}

const isLink = text => /^https?:\/\/\S+$/i.test(text) && URL.canParse(text);
const mayFetch = text => isLink(text) && (limits.link_hosts ?? []).some(h => `.${new URL(text).hostname}`.endsWith(`.${h}`));

async function upload(c) {
  for (let tries = 0; !c.gone && tries < 30; tries++) {
    while (needsKey() && !c.gone) { step(c, "sending", t("status.key"), 0); await pause(300); }
    if (c.gone) return false;
    step(c, "sending", t(c.link ? "status.fetching" : "status.sending"), 0);
    const r = await (c.link ? fetchLink(c) : send(c));
    c.xhr = null;
    if (c.gone) return false;
    if (r.status === 202) { c.job = r.body; note(c, { href: c.job.links.self }); return true; }
    if (r.status === 401) { askKey(t("key.wrong")); continue; }
    if (r.status !== 429 && r.status !== 503) { refuse(c, [phrase(`error.${r.body.code}`), { said: r.body.detail || r.body.title || String(r.status) }]); return false; }
    for (let left = Math.max(1, Math.ceil(r.again || 2)); left > 0 && !c.gone; left--) { step(c, "sending", t("status.again", { seconds: left }), 0); await pause(1000); }
  }
  if (!c.gone) refuse(c, [phrase("error.busy"), phrase("trouble.later")]);
  return false;
}

// ---- following a job

function status(job) {
  if (job.state === "queued") return job.before ? t("status.queued.behind", { n: job.before }) : t("status.queued");
  return (WORDS[`status.${job.stage}`] ?? t("status.running")) + (job.share ? `: ${percent(job.share)}` : "");
}

function show(c, job) {
  c.job = job;
  if (["queued", "running"].includes(job.state)) step(c, job.stage, status(job), c.sent + (1 - c.sent) * job.progress);
}

// Server-sent events, read with fetch because EventSource can send no key.
async function stream(c) {
  const r = await ask(c.job.links.events);
  if (!r.ok || !r.body) return;
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; !c.gone;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const data = text.slice(0, end).split("\n").filter(l => l.startsWith("data: ")).map(l => l.slice(6)).join("");
      if (data && data !== "{}") show(c, JSON.parse(data));
    }
  }
  reader.cancel();
}

const finished = c => !["queued", "running"].includes(c.job.state);

async function follow(c) {
  if (!finished(c)) await stream(c).catch(() => {});
  for (let bad = 0; !finished(c) && !c.gone;) {
    await pause(700);
    const r = await ask(c.job.links.self).catch(() => null);
    if (r && r.ok) { show(c, await r.json()); bad = 0; }
    else if (r && r.status === 404 || ++bad > 20) throw new Error(t(r ? "trouble.gone" : "trouble.unreachable"));
  }
}

async function finish(c) {
  show(c, c.job);
  await follow(c);
  if (c.gone) return;
  const { job } = c;
  if (job.state === "done") return result(c);
  trouble(c, WORDS[`error.${job.error.code}`] ?? t("error.other"), told(`${job.message}. ${job.error.remedy}.`));
}

async function guarded(c, work) {
  try { await work(); }
  catch (e) { if (!c.gone) trouble(c, e instanceof TypeError ? t("trouble.other") : e.message || t("trouble.other"), t("trouble.later")); }
}

// After a reload: results are fetched again, what was refused is said again, and a file that had not been sent to its end says so.
function restore() {
  for (const m of memory().filter(m => !cards.some(c => c.key === m.key))) {
    const c = card(m);
    cards.push(c);
    $("jobs").append(c.node);
    $("rows").append(c.row);
    if (m.why) refused(c, m.why);
    else if (!m.href) trouble(c, t("trouble.reloaded"), t("trouble.reloaded.text"));
    else guarded(c, async () => {
      const r = await ask(m.href).catch(() => null);
      if (!r) throw new Error(t("trouble.unreachable"));
      if (r.status === 401) { off(c); return askKey(t("key.wrong")); }
      if (!r.ok) return trouble(c, t("trouble.gone"), t("trouble.gone.text"));
      c.job = await r.json();
      await finish(c);
    });
  }
  tidy();
}

async function run(c) {
  await guarded(c, async () => {
    const why = await refusal(c);
    if (c.gone) return;
    if (why) return refuse(c, why);
    if (await upload(c)) await finish(c);
  });
}

async function next() {
  if (busy) return;
  busy = true;
  while (waiting.length) await run(waiting.shift());
  busy = false;
}

function add(files) { give(files.map(file => ({ file }))); }

function give(things) {
  if (!things.length) return;
  answer("");
  if (!busy) batch = [];
  const given = things.map(card);
  cards = [...given, ...cards];
  batch.push(...given);
  waiting.push(...given);
  $("jobs").prepend(...given.map(c => c.node));
  $("rows").prepend(...given.map(c => c.row));
  keep([...given.map(({ key, name, size }) => ({ key, name, size })), ...memory()]);
  tidy();
  next();
}

// ---- all files

async function copy(button, text) {
  try { await navigator.clipboard.writeText(text); }
  catch { const area = el("textarea", { class: "visually-hidden" }); area.value = text; document.body.append(area); area.select(); document.execCommand("copy"); area.remove(); }
  const before = button.dataset.text ||= button.textContent;
  button.textContent = t("copied");
  say(t("copied"));
  setTimeout(() => { button.textContent = before; }, 2000);
}

function download(content, type, name) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const rows = () => cards.map(c => [named(c), ...c.cells.map(cell => cell.textContent)]);
const titles = () => [...document.querySelectorAll("table.all thead th")].map(th => th.textContent);

// For machines: the words of the API and not of the page. A spreadsheet takes what begins with = + - @ for a formula, and names are strangers' words.
function csv() {
  const value = v => { const s = String(v ?? ""); return `"${(/^[=+\-@\t\r]/.test(s) ? `'${s}` : s).replaceAll('"', '""')}"`; };
  const failed = ({ job, error, why = job?.error }) => why ? [why.code, why.problem, why.remedy] : error ? ["", error.title, error.text] : [];
  const of = c => { const { name, job } = c, v = job?.verdict; return v ? [name, v.label, v.probability, v.reason, job.sha256, job.model.name, "", "", ""] : [name, "", "", "", job?.sha256, "", ...failed(c)]; };
  return "\ufeff" + [["file", "label", "probability", "reason", "sha256", "model", "code", "problem", "remedy"], ...cards.map(of)].map(r => r.map(value).join(",")).join("\r\n") + "\r\n";
}

// ---- the result

const SIGN = { real: "●", ai: "▲", unsure: "■" };
const KIND = { "Real": "real", "AI-Generated": "ai", "Inconclusive": "unsure" };
const band = () => about && about.band ? [about.band.real, about.band.ai] : [0.5, 0.5];
const beside = p => [0, 1].find(digits => ![...band(), 0, 1].some(b => number(100 * p, digits) === number(100 * b, digits))) ?? 2; // digits that tell a score apart from the bounds and from certainty
const score = p => `${number(100 * Math.min(Math.max(p, 1e-4), 1 - 1e-4), beside(p))} %`;
const side = p => p >= band()[1] ? "ai" : p <= band()[0] ? "real" : "unsure";

function shape(svg, kind, x, y, r, extra = "") {
  const cls = `mark ${kind} ${extra}`;
  if (kind === "real") return draw(svg, "circle", { cx: x, cy: y, r, class: cls });
  if (kind === "ai") return draw(svg, "path", { d: `M${x} ${y - r * 1.15}l${r * 1.15} ${r * 2}h${-r * 2.3}z`, class: cls });
  return draw(svg, "rect", { x: x - r * .9, y: y - r * .9, width: r * 1.8, height: r * 1.8, class: cls });
}

function scale(p, kind) {
  const svg = document.createElementNS(SVG, "svg"), box = el("div", { class: "scale" });
  const paint = () => {
    const w = Math.max(240, box.clientWidth || 560), x = v => 10 + v * (w - 20), [low, high] = band();
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${w} 40`);
    svg.setAttribute("aria-hidden", "true");
    draw(svg, "rect", { x: 10, y: 18, width: w - 20, height: 10, rx: 5, class: "track" });
    if (high > low) for (const v of [low, high]) draw(svg, "line", { x1: x(v), x2: x(v), y1: 12, y2: 34, class: "edge" });
    if (high > low) draw(svg, "text", { x: x((low + high) / 2), y: 12, "text-anchor": "middle" }, t("scale.close"));
    shape(svg, kind, x(p), 23, 9);
  };
  box.append(svg, el("p", { class: "ends" }, el("span", {}, t("scale.real")), el("span", {}, t("scale.ai"))));
  new ResizeObserver(paint).observe(box);
  return box;
}

function chart(rows, pick, go, verdict) {
  const svg = document.createElementNS(SVG, "svg"), box = el("div", { class: "chart" });
  let chosen = -1, head = null;
  const paint = () => {
    const w = Math.max(240, box.clientWidth || 560), h = 190, [left, right, top, foot] = [40, 14, 12, 30], [low, high] = band();
    const t0 = 0, t1 = Math.max(verdict.duration_s || 0, ...rows.map(r => r.end_s), .1);
    const x = s => left + (s - t0) / (t1 - t0) * (w - left - right), y = p => top + (1 - p) * (h - top - foot);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
    svg.setAttribute("aria-hidden", "true");
    if (high > low) draw(svg, "rect", { x: left, y: y(high), width: w - left - right, height: y(low) - y(high), class: "band" });
    for (const [p, text] of [[0, t("chart.real")], [.5, "½"], [1, t("chart.ai")]]) { draw(svg, "line", { x1: left, x2: w - right, y1: y(p), y2: y(p), class: "grid" }); draw(svg, "text", { x: left - 8, y: y(p) + 4, "text-anchor": "end" }, text); }
    for (let i = 0, n = w < 420 ? 3 : 5; i <= n; i++) { const s = t0 + (t1 - t0) * i / n; draw(svg, "text", { x: x(s), y: h - 8, "text-anchor": i === 0 ? "start" : i === n ? "end" : "middle" }, seconds(s, t1)); }
    if (verdict.passages.length > 1) for (const p of verdict.passages) draw(svg, "rect", { x: x(p.start_s), y: h - foot - 5, width: Math.max(2, x(p.end_s) - x(p.start_s) - 1), height: 6, class: `piece ${KIND[p.label]}` });
    rows.slice(1).forEach((r, i) => { // a line only between windows that follow one another: what lies between others was not looked at
      const a = rows[i];
      if (r.start_s - a.end_s <= a.end_s - a.start_s) draw(svg, "line", { x1: x((a.start_s + a.end_s) / 2), y1: y(a.probability), x2: x((r.start_s + r.end_s) / 2), y2: y(r.probability), class: "line" });
    });
    if (head !== null) draw(svg, "line", { x1: x(Math.min(head, t1)), x2: x(Math.min(head, t1)), y1: top, y2: h - foot, class: "head" });
    const wide = rows.map(r => draw(svg, "rect", { x: x(r.start_s), y: top, width: Math.max(2, x(r.end_s) - x(r.start_s)), height: h - top - foot, class: "window" })); // a place to point at that is larger than its mark
    rows.forEach((r, i) => {
      const kind = side(r.probability), mid = x((r.start_s + r.end_s) / 2), parts = [wide[i], draw(svg, "line", { x1: x(r.start_s), x2: x(r.end_s), y1: y(r.probability), y2: y(r.probability), class: `span ${kind}` }), shape(svg, kind, mid, y(r.probability), 8)];
      if (i === chosen) draw(svg, "circle", { cx: mid, cy: y(r.probability), r: 14, class: "at" });
      for (const n of parts) { n.addEventListener("pointerenter", () => pick(i)); n.addEventListener("click", () => go(i)); }
    });
  };
  box.append(svg);
  new ResizeObserver(paint).observe(box);
  return { box, choose(i, at = head) { if (i !== chosen || at !== head) { [chosen, head] = [i, at]; paint(); } } };
}

async function pictures(job) {
  return Promise.all(job.frames.map(async f => {
    const r = await ask(f.href).catch(() => null);
    return r && r.ok ? URL.createObjectURL(await r.blob()) : null;
  }));
}

// The clip itself, from the reader's own file; null after a reload, which leaves no file. Where the browser can't play it, the frames stay and a line says why.
function player(c, figure) {
  if (!c.url) return null;
  const video = el("video", { controls: true, preload: "metadata", playsinline: true, "aria-label": t("over.player") });
  video.addEventListener("loadedmetadata", () => { if (video.videoWidth) { figure.classList.add("plays"); figure.hidden = false; } });
  video.addEventListener("error", () => { video.remove(); figure.after(el("p", { class: "hint unplayable" }, t("over.unplayable"))); });
  video.src = c.url;
  figure.prepend(video);
  return video;
}

function timeline(c, images) {
  const { job } = c, rows = job.verdict.timeline, length = job.verdict.duration_s, at = s => seconds(s, length), best = f => rows.reduce((b, r, i) => f(r.probability, rows[b].probability) ? i : b, 0);
  const top = best((a, b) => a > b), low = best((a, b) => a < b), apart = rows.length > 1 && rows[top].probability - rows[low].probability >= 0.03;
  const img = el("img", { alt: "" }), caption = el("figcaption"), figure = el("figure", {}, img, caption), video = player(c, figure);
  const words = i => t("over.window", { start: at(rows[i].start_s), end: at(rows[i].end_s), p: score(rows[i].probability) });
  const choose = (i, head) => {
    buttons.forEach((b, j) => { b.setAttribute("aria-pressed", j === i); b.tabIndex = j === i ? 0 : -1; });
    if (images[i]) { img.src = images[i]; img.alt = t("over.frame", { time: at(job.frames[i].time_s) }); } else figure.hidden = !figure.classList.contains("plays");
    caption.replaceChildren(`${SIGN[side(rows[i].probability)]} ${words(i)}`, images[i] ? el("span", { class: "still" }, `. ${t("over.shown", { time: at(job.frames[i].time_s) })}`) : "");
    plot.choose(i, head);
  };
  const pick = i => choose(i);
  const go = i => { if (video) video.currentTime = rows[i].start_s; choose(i, video && rows[i].start_s); };
  const tell = i => apart && i === top ? t("over.highest") : apart && i === low ? t("over.lowest") : null;
  const buttons = rows.map((r, i) => el("button", { type: "button", "aria-pressed": "false", "aria-label": `${words(i)}${tell(i) ? `, ${tell(i)}` : ""}`, onclick: () => go(i), onfocus: () => pick(i), onpointerenter: () => pick(i) },
    images[i] ? el("img", { src: images[i], alt: "" }) : null, el("span", {}, `${at(r.start_s)} · ${score(r.probability)}`), tell(i) ? el("span", { class: "tell" }, tell(i)) : null));
  const strip = el("div", { class: "strip", role: "group", "aria-label": t("over.frames"), onkeydown: e => {
    const now = buttons.indexOf(document.activeElement), to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: rows.length - 1 }[e.key];
    if (now >= 0 && to !== undefined && buttons[to]) { e.preventDefault(); buttons[to].focus(); }
  } }, buttons);
  const plot = chart(rows, pick, go, job.verdict);
  if (video) video.addEventListener("timeupdate", () => {
    const s = video.currentTime, now = rows.findIndex(r => r.start_s <= s && s < r.end_s), chosen = buttons.findIndex(b => b.tabIndex === 0);
    choose(video.paused || now < 0 ? chosen : now, s);
  });
  const cells = r => [at(r.start_s), at(r.end_s), score(r.probability), `${SIGN[side(r.probability)]} ${t(`side.${side(r.probability)}`)}`];
  const table = el("details", { class: "same" }, el("summary", {}, t("table.same")), el("table", {}, el("thead", {}, el("tr", {}, ["from", "to", "probability", "side"].map(k => el("th", { scope: "col" }, t(`table.${k}`))))),
    el("tbody", {}, rows.map(r => el("tr", {}, cells(r).map(text => el("td", {}, text)))))));
  choose(job.verdict.leans === "Real" ? low : top);
  if (video) video.addEventListener("loadedmetadata", () => { video.currentTime = job.frames[buttons.findIndex(b => b.tabIndex === 0)]?.time_s ?? 0; }, { once: true });
  const looked = t("over.looked", { seconds: seconds(Math.min(job.verdict.looked_at_s, length)), length: seconds(length) }), hint = video ? el("span", { class: "screen" }, ` ${t("over.hint")}`) : null;
  return el("div", { class: "block" }, el("h4", {}, t("over.title")), el("p", { class: "hint" }, looked, hint), el("div", { class: "look" }, el("div", {}, plot.box, strip), el("div", {}, figure)), table);
}

const terms = (kind, entries) => el("dl", { class: kind }, entries.map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", {}, v))));

function pieces(v) {
  if (v.passages.length < 2) return null;
  const row = p => el("tr", {}, el("td", {}, `${seconds(p.start_s, v.duration_s)} – ${seconds(p.end_s, v.duration_s)}`), el("td", {}, `${SIGN[KIND[p.label]]} ${label(p)}`), el("td", {}, score(p.probability)));
  return el("div", { class: "block" }, el("h4", {}, t("passages.title")), el("table", {}, el("tbody", {}, v.passages.map(row))));
}

function facts(job) {
  const f = job.facts, turned = f.rotation ? `, ${t("facts.turned", { degrees: f.rotation })}` : "";
  const found = { length: seconds(f.duration_s), picture: `${f.width} × ${f.height}${turned}`, frames: t("facts.rate", { n: number(f.n_frames), fps: number(Math.round(100 * f.fps) / 100, f.fps % 1 ? 2 : 0) }), container: `${f.container}, ${f.codec}`, size: bytes(f.size_bytes) };
  return el("div", { class: "block" }, el("h4", {}, t("facts.title")), terms("facts", Object.entries(found).map(([k, v]) => [t(`facts.${k}`), v])), el("p", { class: "hint" }, t("facts.note")));
}

function origin(job) {
  const p = job.provenance, all = el("details", {}, el("summary", {}, t("origin.all")), el("ul", { class: "entries", lang: "en", translate: "no" }, p.lines.map(l => el("li", {}, l))));
  return el("div", { class: "block" }, el("h4", {}, t("origin.title")), el("p", {}, told(`${p.sentence}.`)), p.lines.length ? all : null, el("p", { class: "hint" }, t("origin.note")));
}

// What makes a verdict one that others can check; the same as in the report.
function record(job) {
  const m = job.model, v = job.verdict, model = m.digest ? t("record.digest", m) : m.name, b = about?.band ?? {};
  const quote = t("quote", { version: m.version, model, date: moment(job.finished), sha: job.sha256, label: label(v), p: score(v.probability), words: WORDS[`words.${job.in_words}`] ?? retold(job.in_words) ?? job.in_words });
  const wrong = [["false_alarms", b.n_real], ["missed", b.n_ai]].filter(([, n]) => n && m.name === about.name).map(([k, n]) => [t(`report.${k}`), t("report.of", { k: number(b[k]), n: number(n), p: percent(b[k] / n) })]);
  const entries = [["when", moment(job.finished)], ["by", `aivd-nb ${m.version}`], ["model", model], ["sha", job.sha256], ["quote", quote]].map(([k, text]) => [t(`record.${k}`), text]);
  const limits = wrong.length ? el("p", { class: "hint" }, `${t("report.band", Object.fromEntries(["real", "ai"].map(k => [k, `${number(100 * b[k], beside(v.probability))} %`])))} ${t("report.band.whence")}`) : null;
  return el("details", { class: "block" }, el("summary", {}, t("record.title")), terms("record", [...entries, ...wrong]), limits);
}

async function save(c) {
  const r = await ask(`${c.job.links.report}?lang=${LANG}`).catch(() => null);
  if (r && r.ok) download(await r.blob(), "text/html", `${named(c)}.aivd.html`);
  say(t(r && r.ok ? "saved" : "save.failed"));
  c.told.textContent = r && r.ok ? "" : t("save.failed");
}

function printOne(c) {
  document.body.classList.add("one");
  c.node.classList.add("chosen");
  print();
  document.body.classList.remove("one");
  c.node.classList.remove("chosen");
}

function actions(c) {
  const button = (key, work) => el("button", { class: "button", type: "button", onclick: e => work(e.currentTarget) }, t(key));
  const drop = async () => { await ask(c.job.links.self, { method: "DELETE" }).catch(() => {}); leave(c); say(t("deleted")); $("file").focus(); };
  c.told = el("p", { class: "hint", role: "alert" });
  return el("div", { class: "actions" }, button("save", () => save(c)), button("copy", b => copy(b, JSON.stringify(c.job, null, 1))), button("print", () => printOne(c)), button("delete", drop), c.told);
}

async function result(c) {
  const { job } = c, v = job.verdict, images = await pictures(job), kind = KIND[v.label], strong = text => el("strong", {}, text);
  const head = el("div", { class: `verdict ${kind}` }, el("span", { class: "sign", "aria-hidden": "true" }, SIGN[kind]), el("h3", {}, label(v)), el("p", {}, strong(t("probability", { p: score(v.probability) })), ": ", said("words", job.in_words)));
  const why = v.reason ? el("p", { class: "reason" }, strong(t("why")), " ", reason(v)) : null;
  const after = v.what_next.length ? el("div", { class: "reason" }, strong(t("what.next")), el("ul", {}, v.what_next.map(text => el("li", {}, said("next", text))))) : null;
  const beside = job.provenance.says_ai ? el("p", { class: "reason" }, strong(t("beside")), " ", told(`${job.provenance.sentence}.`)) : null;
  const notes = v.warnings.map(w => el("p", { class: "reason hint" }, `${t("note")} `, told(`${w}.`)));
  const caveat = el("p", { class: "caveat" }, strong(t("caveat")), ` ${t("about.model", { name: v.bundle })} `, told(v.how_often_wrong));
  close(c, ...[head, why, after, beside, ...notes, scale(v.probability, kind), timeline(c, images), pieces(v), facts(job), origin(job), record(job), caveat, actions(c)].filter(Boolean));
  enter(c, `${SIGN[kind]} ${label(v)}`, score(v.probability), v.reason ? reason(v) : "");
  c.chip.textContent = `${SIGN[kind]} ${label(v)} · ${t("chip", { p: score(v.probability) })}`;
  if (cards.length > 2) fold(c, false);
  say(`${named(c)}: ${label(v)}. ${t("probability", { p: score(v.probability) })}`);
}

// ---- the page

function answer(key) {
  $("answer").textContent = key && t(key);
  $("answer").hidden = !key;
}

function dropped(data) {
  const given = [...data.items].filter(i => i.kind === "file"), isFolder = given.map(i => i.webkitGetAsEntry?.()?.isDirectory ?? false); // to be asked before anything is awaited
  const files = [...data.files].filter((_, i) => !isFolder[i]), text = (data.getData("text/uri-list") || data.getData("text/plain")).trim();
  add(files);
  if (isFolder.some(Boolean)) answer("drop.folder");
  else if (files.length) return;
  else if (mayFetch(text)) give([{ link: text }]);
  else answer(/^[a-z]+:\/\/\S+/i.test(text) ? "drop.link" : "drop.text");
}

async function sample() {
  const name = "animated_photograph.mp4", r = await fetch(`${BASE}static/${name}`).catch(() => null);
  if (!r || !r.ok) return answer("sample.gone");
  add([new File([await r.blob()], name, { type: "video/mp4" })]);
}

$("file").addEventListener("change", e => { add([...e.target.files]); e.target.value = ""; });
$("file").addEventListener("keydown", e => { if (e.key === "Enter") { e.preventDefault(); setTimeout(() => e.target.click(), 50); } }); // the browser grants the chooser once the key has been handled
$("drop").addEventListener("submit", e => e.preventDefault());
for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) document.addEventListener(name, e => { e.preventDefault(); $("drop").classList.toggle("over", over); });
document.addEventListener("drop", e => dropped(e.dataTransfer));
$("sample").querySelector("button").addEventListener("click", sample);
$("all-copy").addEventListener("click", e => copy(e.currentTarget, [titles(), ...rows()].map(r => r.join("\t")).join("\n")));
$("all-csv").addEventListener("click", () => download(csv(), "text/csv", "aivd.csv"));
$("key").addEventListener("submit", e => { e.preventDefault(); useKey($("key-field").value); });

// On paper nothing can be opened: all is open while the page is printed.
let closed = [], folded = [];
window.addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("article details:not([open])")];
  folded = cards.filter(c => c.body.hidden);
  for (const d of closed) d.open = true;
  for (const c of folded) fold(c, true);
});
window.addEventListener("afterprint", () => {
  for (const d of closed) d.open = false;
  for (const c of folded) fold(c, false);
});

async function start() {
  tidy();
  for (let r; !about; await pause(2000)) {
    r = await fetch(`${BASE}api/v1/version`).catch(() => null);
    if (!r || !r.ok) continue;
    const found = await r.json();
    about = found.detector; limits = found.limits;
    break;
  }
  $("key").hidden = !needsKey();
  if (!needsKey()) restore();
  const on = about.backbone && about.backbone !== about.name;
  $("model").append(t(on ? "about.model.on" : "about.model", about), " ", told(about.how_often_wrong || ""));
}
start();
