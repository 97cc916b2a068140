// The page: checks a file, sends it, follows its job, shows the verdict. Plain JavaScript; nothing is loaded from elsewhere, and no text of a file or server becomes HTML.
"use strict";

const BASE = new URL("../", document.currentScript.src).pathname; // below a prefix, too: this file lies in BASE/static
const API = `${BASE}api/v1/jobs`;
const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
let about = null, limits = { max_bytes: 200 * 2 ** 20, key_needed: false }, waiting = [], busy = false;

function el(tag, attrs = {}, ...children) {
  const node = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) {
    if (k.startsWith("on")) node.addEventListener(k.slice(2), v);
    else if (v !== null && v !== undefined && v !== false) node.setAttribute(k, v === true ? "" : v);
  }
  node.append(...children.filter(c => c !== null && c !== undefined));
  return node;
}

function draw(parent, tag, attrs = {}, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [k, v] of Object.entries(attrs)) node.setAttribute(k, v);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

const percent = p => `${Math.round(100 * p)} %`;
const two = n => String(n).padStart(2, "0");
const clock = s => { const t = Math.round(s), m = Math.floor(t / 60); return m < 60 ? `${m}:${two(t % 60)}` : `${Math.floor(m / 60)}:${two(m % 60)}:${two(t % 60)}`; };
const seconds = (s, duration = 0) => Math.max(s, duration) < 60 ? `${s.toFixed(1)} s` : clock(s); // as the package writes it
const bytes = n => n < 1024 ? `${n} bytes` : n < 1024 ** 2 ? `${Math.round(n / 1024)} KiB` : `${(n / 1024 ** 2).toFixed(1)} MiB`;
const say = text => { $("status").textContent = text; };
const needsKey = () => limits.key_needed && !sessionStorage.getItem("aivd-key");
const auth = () => sessionStorage.getItem("aivd-key") ? { Authorization: `Bearer ${sessionStorage.getItem("aivd-key")}` } : {};
const ask = (url, options = {}) => fetch(url, { ...options, headers: { ...auth(), ...(options.headers || {}) } });
const memory = () => JSON.parse(sessionStorage.getItem("aivd-jobs") || "[]"); // so that reloading the page keeps its results
const remember = jobs => sessionStorage.setItem("aivd-jobs", JSON.stringify(jobs.slice(-50)));
const forget = c => remember(memory().filter(m => !c.job || m.href !== c.job.links.self));
const pause = ms => new Promise(r => setTimeout(r, ms));

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

async function refusal(file) {
  if (!file.size) return ["The file is empty", "Copy or download it again."];
  if (file.size > limits.max_bytes) return ["The file is too large", `It has ${bytes(file.size)}; at most ${bytes(limits.max_bytes)} are accepted. Cut out the part that matters, or export it smaller.`];
  const kind = sniff(new Uint8Array(await file.slice(0, 4096).arrayBuffer()));
  if (kind === "audio") return ["This is sound without a picture", "Give a file with a video track."];
  if (kind === "webp") return ["This is an animated WebP, which is not read", "Convert it to a GIF first, for example with Pillow (save_all=True)."];
  if (kind === "image") return ["This is a still image", "Give a video: mp4, mov, avi, mkv, webm and others."];
  if (kind !== "video") return ["This is not a video, whatever its name says", "Give an mp4, mov, avi, mkv, webm, gif, wmv, flv, ogv or mpeg file."];
  return null;
}

const STEPS = [["sending", "Sent"], ["queued", "Received"], ["probing", "File read"], ["decoding", "Frames"], ["features", "Features"], ["verdict", "Verdict"]];

function card(file) {
  const c = { file, gone: false };
  c.message = el("p", { class: "message" }, "Waiting for its turn");
  c.bar = el("progress", { max: 1, value: 0, "aria-label": `Progress of ${file.name}` });
  c.steps = el("ol", { class: "steps", "aria-label": "Steps" }, ...STEPS.map(([id, text]) => el("li", { "data-step": id }, text)));
  c.cancel = el("button", { class: "button", type: "button", onclick: () => cancel(c) }, "Cancel");
  c.title = el("h2", { tabindex: "-1" }, file.name);
  c.work = el("div", {}, el("div", { class: "work" }, c.message, c.cancel), c.bar, c.steps);
  c.node = el("article", { class: "card" }, el("div", { class: "job-head" }, c.title, el("p", { class: "hint" }, bytes(file.size))), c.work);
  $("jobs").prepend(c.node);
  return c;
}

function step(c, stage, message, share) {
  const place = STEPS.findIndex(([id]) => id === stage);
  [...c.steps.children].forEach((li, i) => { li.className = i < place ? "past" : ""; i === place ? li.setAttribute("aria-current", "step") : li.removeAttribute("aria-current"); });
  if (c.stage !== stage) say(`${c.file.name}: ${message}`);
  c.stage = stage;
  c.message.textContent = message;
  c.bar.value = share;
}

function close(c, ...content) {
  const had = c.node.contains(document.activeElement) || document.activeElement === document.body;
  c.work.remove();
  c.node.append(...content);
  if (had) c.title.focus({ preventScroll: content[0].className === "trouble" });
}

function trouble(c, title, detail) {
  close(c, el("div", { class: "trouble" }, el("h3", {}, title), el("p", {}, detail)), el("div", { class: "actions" }, el("button", { class: "button", type: "button", onclick: () => { forget(c); c.node.remove(); } }, "Remove from the page")));
  say(`${c.file.name}: ${title}. ${detail}`);
}

async function cancel(c) {
  c.gone = true;
  if (c.xhr) c.xhr.abort();
  if (c.job) await ask(c.job.links.self, { method: "DELETE" }).catch(() => {});
  forget(c);
  waiting = waiting.filter(x => x !== c);
  c.node.remove();
  say(`${c.file.name}: cancelled`);
  $("file").focus();
}

// XMLHttpRequest, because fetch tells nothing about how much of a body has been sent.
function send(c) {
  return new Promise((resolve, reject) => {
    const xhr = c.xhr = new XMLHttpRequest(), form = new FormData();
    form.append("file", c.file);
    xhr.open("POST", API);
    for (const [k, v] of Object.entries(auth())) xhr.setRequestHeader(k, v);
    xhr.upload.onprogress = e => { if (e.lengthComputable) step(c, "sending", `Sending: ${percent(e.loaded / e.total)}`, 0.1 * e.loaded / e.total); };
    xhr.onload = () => { let body = {}; try { body = JSON.parse(xhr.responseText); } catch { } resolve({ status: xhr.status, body, again: Number(xhr.getResponseHeader("Retry-After")) }); };
    xhr.onerror = () => reject(new Error("The server can’t be reached"));
    xhr.onabort = () => resolve({ status: 0 });
    xhr.send(form);
  });
}

function askKey(text) {
  sessionStorage.removeItem("aivd-key");
  $("key").hidden = false;
  $("key-hint").textContent = text;
  say(text);
}

async function useKey(key) {
  sessionStorage.setItem("aivd-key", key);
  const r = await ask(`${API}/none`).catch(() => null); // 404 with the right key
  if (!r || r.status === 401) return askKey(r ? "This is not the key of this server." : "The server can’t be reached. Try again.");
  $("key").hidden = true;
  say("The key is kept until you close this tab");
  $("file").focus();
  restore();
}

async function upload(c) {
  for (let tries = 0; !c.gone && tries < 30; tries++) {
    while (needsKey() && !c.gone) { step(c, "sending", "Waiting for the server’s key", 0); await pause(300); }
    if (c.gone) return false;
    step(c, "sending", "Sending", 0);
    const r = await send(c);
    c.xhr = null;
    if (r.status === 202) { c.job = r.body; remember([...memory(), { href: c.job.links.self, name: c.file.name, size: c.file.size }]); return true; }
    if (r.status === 401) { askKey("This is not the key of this server."); continue; }
    if (r.status !== 429 && r.status !== 503) { if (!c.gone) trouble(c, r.body.title || "The server refused it", r.body.detail || `Status ${r.status}.`); return false; }
    for (let left = Math.max(1, Math.ceil(r.again || 2)); left > 0 && !c.gone; left--) { step(c, "sending", `The server is busy. Next try in ${left} s`, 0); await pause(1000); }
  }
  if (!c.gone) trouble(c, "The server is busy", "Try again later.");
  return false;
}

function show(c, job) {
  c.job = job;
  if (["queued", "running"].includes(job.state)) step(c, job.stage, job.message, 0.1 + 0.9 * job.progress);
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
    else if (r && r.status === 404 || ++bad > 20) throw new Error(r ? "The job is gone" : "The server can’t be reached");
  }
}

async function finish(c) {
  show(c, c.job);
  await follow(c);
  if (c.gone) return;
  if (c.job.state === "done") await result(c);
  else trouble(c, c.job.message, `${c.job.error.remedy}.`);
}

async function restore() {
  for (const m of memory().reverse()) {
    const r = await ask(m.href).catch(() => null);
    if (!r || !r.ok) continue;
    const c = card(m);
    $("jobs").append(c.node);
    c.job = await r.json();
    finish(c).catch(e => trouble(c, e.message, "Try it again in a while."));
  }
}

async function run(c) {
  try {
    const why = await refusal(c.file);
    if (why) return trouble(c, ...why);
    if (await upload(c)) await finish(c);
  } catch (e) { if (!c.gone) trouble(c, e.message || "Something went wrong", "Try it again in a while."); }
}

async function next() {
  if (busy) return;
  busy = true;
  while (waiting.length) await run(waiting.shift());
  busy = false;
}

function add(files) {
  waiting.push(...[...files].reverse().map(card).reverse()); // each card goes on top, so the first file's comes last
  next();
}

// ---- the result

const SIGN = { real: "●", ai: "▲", unsure: "■" };
const KIND = { "Real": "real", "AI-Generated": "ai", "Inconclusive": "unsure" };
const band = () => about && about.band ? [about.band.real, about.band.ai] : [0.5, 0.5];
const side = p => p >= band()[1] ? "ai" : p <= band()[0] ? "real" : "unsure";
const sideText = { ai: "AI-generated", real: "real", unsure: "neither" };

function shape(svg, kind, x, y, r, extra = "") {
  const cls = `mark ${kind} ${extra}`;
  if (kind === "real") return draw(svg, "circle", { cx: x, cy: y, r, class: cls });
  if (kind === "ai") return draw(svg, "path", { d: `M${x} ${y - r * 1.15}l${r * 1.15} ${r * 2}h${-r * 2.3}z`, class: cls });
  return draw(svg, "rect", { x: x - r * .9, y: y - r * .9, width: r * 1.8, height: r * 1.8, class: cls });
}

function scale(p, label) {
  const svg = document.createElementNS(SVG, "svg"), box = el("div", { class: "scale" });
  const paint = () => {
    const w = Math.max(240, box.clientWidth), x = v => 10 + v * (w - 20), [low, high] = band();
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${w} 40`);
    svg.setAttribute("aria-hidden", "true");
    draw(svg, "rect", { x: 10, y: 18, width: w - 20, height: 10, rx: 5, class: "track" });
    if (high > low) for (const v of [low, high]) draw(svg, "line", { x1: x(v), x2: x(v), y1: 12, y2: 34, class: "edge" });
    if (high > low) draw(svg, "text", { x: x((low + high) / 2), y: 12, "text-anchor": "middle" }, "too close to call");
    shape(svg, label, x(p), 23, 9);
  };
  box.append(svg, el("p", { class: "ends" }, el("span", {}, "0 % Real"), el("span", {}, "AI 100 %")));
  new ResizeObserver(paint).observe(box);
  return box;
}

function chart(rows, pick, verdict) {
  const svg = document.createElementNS(SVG, "svg"), box = el("div", { class: "chart" });
  let chosen = -1;
  const paint = () => {
    const w = Math.max(240, box.clientWidth), h = 190, [left, right, top, foot] = [40, 14, 12, 30], [low, high] = band();
    const t0 = 0, t1 = Math.max(verdict.duration_s || 0, ...rows.map(r => r.end_s), .1);
    const x = t => left + (t - t0) / (t1 - t0) * (w - left - right), y = p => top + (1 - p) * (h - top - foot);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
    svg.setAttribute("aria-hidden", "true");
    if (high > low) draw(svg, "rect", { x: left, y: y(high), width: w - left - right, height: y(low) - y(high), class: "band" });
    for (const [p, text] of [[0, "Real"], [.5, "½"], [1, "AI"]]) { draw(svg, "line", { x1: left, x2: w - right, y1: y(p), y2: y(p), class: "grid" }); draw(svg, "text", { x: left - 8, y: y(p) + 4, "text-anchor": "end" }, text); }
    for (let i = 0, n = w < 420 ? 3 : 5; i <= n; i++) { const t = t0 + (t1 - t0) * i / n; draw(svg, "text", { x: x(t), y: h - 8, "text-anchor": i === 0 ? "start" : i === n ? "end" : "middle" }, seconds(t, t1)); }
    if (verdict.passages.length > 1) for (const p of verdict.passages) draw(svg, "rect", { x: x(p.start_s), y: h - foot - 5, width: Math.max(2, x(p.end_s) - x(p.start_s) - 1), height: 6, class: `piece ${KIND[p.label]}` });
    rows.slice(1).forEach((r, i) => { // a line only between windows that follow one another: what lies between others was not looked at
      const a = rows[i];
      if (r.start_s - a.end_s <= a.end_s - a.start_s) draw(svg, "line", { x1: x((a.start_s + a.end_s) / 2), y1: y(a.probability), x2: x((r.start_s + r.end_s) / 2), y2: y(r.probability), class: "line" });
    });
    rows.forEach((r, i) => {
      const kind = side(r.probability), mid = x((r.start_s + r.end_s) / 2), parts = [draw(svg, "line", { x1: x(r.start_s), x2: x(r.end_s), y1: y(r.probability), y2: y(r.probability), class: `span ${kind}` }), shape(svg, kind, mid, y(r.probability), 8)];
      if (i === chosen) draw(svg, "circle", { cx: mid, cy: y(r.probability), r: 14, class: "at" });
      for (const n of parts) { n.addEventListener("pointerenter", () => pick(i)); n.addEventListener("click", () => pick(i)); }
    });
  };
  box.append(svg);
  new ResizeObserver(paint).observe(box);
  return { box, choose(i) { if (i !== chosen) { chosen = i; paint(); } } };
}

async function pictures(job) {
  return Promise.all(job.frames.map(async f => {
    const r = await ask(f.href).catch(() => null);
    return r && r.ok ? URL.createObjectURL(await r.blob()) : null;
  }));
}

function timeline(job, images) {
  const rows = job.verdict.timeline, length = job.verdict.duration_s, moment = s => seconds(s, length), best = (f) => rows.reduce((b, r, i) => f(r.probability, rows[b].probability) ? i : b, 0);
  const top = best((a, b) => a > b), low = best((a, b) => a < b), apart = rows.length > 1 && rows[top].probability - rows[low].probability >= 0.03;
  const img = el("img", { alt: "" }), caption = el("figcaption"), figure = el("figure", {}, img, caption);
  const words = i => `${moment(rows[i].start_s)} to ${moment(rows[i].end_s)}: ${percent(rows[i].probability)} AI`;
  const pick = i => {
    buttons.forEach((b, j) => { b.setAttribute("aria-pressed", j === i); b.tabIndex = j === i ? 0 : -1; });
    if (images[i]) { img.src = images[i]; img.alt = `Frame at ${moment(job.frames[i].time_s)}`; } else figure.hidden = true;
    caption.textContent = `${SIGN[side(rows[i].probability)]} ${words(i)}${images[i] ? `. Shown: the frame at ${moment(job.frames[i].time_s)}` : ""}`;
    plot.choose(i);
  };
  const tell = i => apart && i === top ? "highest" : apart && i === low ? "lowest" : null;
  const buttons = rows.map((r, i) => el("button", { type: "button", "aria-pressed": "false", "aria-label": `${words(i)}${tell(i) ? `, ${tell(i)}` : ""}`, onclick: () => pick(i), onfocus: () => pick(i), onpointerenter: () => pick(i) },
    images[i] ? el("img", { src: images[i], alt: "" }) : null, el("span", {}, `${moment(r.start_s)} · ${percent(r.probability)}`), tell(i) ? el("span", { class: "tell" }, tell(i)) : null));
  const strip = el("div", { class: "strip", role: "group", "aria-label": "Frames of the timeline, arrow keys move", onkeydown: e => {
    const now = buttons.indexOf(document.activeElement), to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: rows.length - 1 }[e.key];
    if (now >= 0 && to !== undefined && buttons[to]) { e.preventDefault(); buttons[to].focus(); }
  } }, ...buttons);
  const plot = chart(rows, pick, job.verdict);
  const table = el("details", {}, el("summary", {}, "The same as a table"), el("table", {}, el("thead", {}, el("tr", {}, ...["From", "To", "Probability of AI", "Speaks for"].map(t => el("th", { scope: "col" }, t)))),
    el("tbody", {}, ...rows.map(r => el("tr", {}, el("td", {}, moment(r.start_s)), el("td", {}, moment(r.end_s)), el("td", {}, percent(r.probability)), el("td", {}, `${SIGN[side(r.probability)]} ${sideText[side(r.probability)]}`))))));
  pick(job.verdict.leans === "Real" ? low : top);
  return el("div", { class: "block" }, el("h4", {}, "Over the clip"), el("p", { class: "hint" }, `Looked at ${seconds(job.verdict.looked_at_s)} of ${seconds(length)}.`), el("div", { class: "look" }, el("div", {}, plot.box, strip), figure), table);
}

function facts(job) {
  const f = job.facts, rows = [["Length", seconds(f.duration_s)], ["Picture", `${f.width} × ${f.height}${f.rotation ? `, turned by ${f.rotation}°` : ""}`], ["Frames", `${f.n_frames} at ${Number(f.fps.toFixed(2))} a second`], ["Container and codec", `${f.container}, ${f.codec}`], ["Size", bytes(f.size_bytes)],
    ["SHA-256", `${job.sha256.slice(0, 12)}…`]];
  return el("div", { class: "block" }, el("h4", {}, "What the file is"), el("dl", { class: "facts" }, ...rows.map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", {}, v)))),
    el("p", { class: "hint" }, "Measured on the file itself. Not part of the score."));
}

function origin(job) {
  const p = job.provenance;
  return el("div", { class: "block" }, el("h4", {}, "What the file says of its origin"), el("p", {}, `${p.sentence}.`),
    ...(p.lines.length ? [el("details", {}, el("summary", {}, "All that it says"), el("ul", { class: "entries" }, ...p.lines.map(l => el("li", {}, l))))] : []),
    el("p", { class: "hint" }, "Anybody can change such entries or leave them out. Only credentials signed by someone you trust are evidence. Not part of the score."));
}

async function copy(button, job) {
  const text = JSON.stringify(job, null, 1);
  try { await navigator.clipboard.writeText(text); }
  catch { const area = el("textarea", { class: "visually-hidden" }); area.value = text; document.body.append(area); area.select(); document.execCommand("copy"); area.remove(); }
  button.textContent = "Copied";
  say("Copied as JSON");
  setTimeout(() => { button.textContent = "Copy as JSON"; }, 2000);
}

async function result(c) {
  const job = c.job, v = job.verdict, images = await pictures(job), label = KIND[v.label];
  const head = el("div", { class: `verdict ${label}` }, el("span", { class: "sign", "aria-hidden": "true" }, SIGN[label]), el("h3", {}, v.label), el("p", {}, el("strong", {}, `${percent(v.probability)} probability of AI`), `: ${job.in_words}`));
  const why = v.reason ? el("p", { class: "reason" }, el("strong", {}, "Why no verdict? "), `${v.reason[0].toUpperCase()}${v.reason.slice(1)}.`) : null;
  const next = v.what_next.length ? el("div", { class: "reason" }, el("strong", {}, "What to do next"), el("ul", {}, ...v.what_next.map(t => el("li", {}, t)))) : null;
  const notes = [...(job.provenance.says_ai ? [el("p", { class: "reason" }, el("strong", {}, "Beside the score: "), `${job.provenance.sentence}.`)] : []), ...v.warnings.map(w => el("p", { class: "reason hint" }, `Note: ${w}.`))];
  const caveat = el("p", { class: "caveat" }, el("strong", {}, "One signal, not proof. "), `Model: ${v.bundle}. ${v.how_often_wrong}`);
  const copyButton = el("button", { class: "button", type: "button", onclick: () => copy(copyButton, job) }, "Copy as JSON");
  const drop = el("button", { class: "button", type: "button", onclick: async () => { await ask(job.links.self, { method: "DELETE" }).catch(() => {}); forget(c); c.node.remove(); say("Deleted"); $("file").focus(); } }, "Delete the result");
  close(c, head, ...[why, next].filter(Boolean), ...notes, scale(v.probability, label), timeline(job, images), facts(job), origin(job), caveat, el("div", { class: "actions" }, copyButton, el("button", { class: "button", type: "button", onclick: () => print() }, "Print"), drop));
  say(`${c.file.name}: ${v.label}. ${percent(v.probability)} probability of AI, ${job.in_words}. ${v.reason || ""}`);
}

// ---- the page

$("file").addEventListener("change", e => { add([...e.target.files]); e.target.value = ""; });
$("file").addEventListener("keydown", e => { if (e.key === "Enter") { e.preventDefault(); setTimeout(() => e.target.click(), 50); } }); // the browser grants the chooser once the key has been handled
$("drop").addEventListener("submit", e => e.preventDefault());
for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) document.addEventListener(name, e => { e.preventDefault(); $("drop").classList.toggle("over", over); });
document.addEventListener("drop", e => add([...e.dataTransfer.files]));
$("key").addEventListener("submit", e => { e.preventDefault(); useKey($("key-field").value); });

async function start() {
  for (let r; !about; await pause(2000)) {
    r = await fetch(`${BASE}api/v1/version`).catch(() => null);
    if (!r || !r.ok) continue;
    const found = await r.json();
    about = found.detector; limits = found.limits;
    break;
  }
  $("key").hidden = !needsKey();
  if (!needsKey()) restore();
  $("model").textContent = `Model: ${about.name}${about.backbone && about.backbone !== about.name ? `, on ${about.backbone}` : ""}. ${about.how_often_wrong || ""}`;
}
start();
