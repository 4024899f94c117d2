// What a page can do with a script: stay live, keys, readings of charts, ages. All of it reads
// without: the server draws every state.
"use strict";

/** Parts of a page that are drawn anew: sections with an id and `data-part`. */
const parts = (root) => [...root.querySelectorAll("[data-part][id]")];

/** What a part says, without what changes by itself. */
function said(part) {
  const copy = part.cloneNode(true);
  copy.querySelectorAll("[data-since], [data-reading]").forEach((e) => { e.textContent = ""; });
  copy.querySelectorAll("details").forEach((e) => e.removeAttribute("open"));
  copy.querySelectorAll("input[data-who]").forEach((e) => e.removeAttribute("value"));
  copy.querySelectorAll(".dim, .at, .fresh").forEach((e) => e.classList.remove("dim", "at", "fresh"));
  copy.querySelectorAll("[class='']").forEach((e) => e.removeAttribute("class"));
  copy.querySelectorAll(".cursor").forEach((e) => e.setAttribute("visibility", "hidden"));
  return copy.innerHTML;
}

/** Fetches this page and replaces the parts that say something else. */
async function refresh(hash) {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const now of parts(page)) {
    const before = document.getElementById(now.id);
    if (!before || said(before) === said(now)) continue;
    keep(before, now);
    before.replaceWith(now);
    now.classList.add("fresh");
    prepare(now);
  }
  document.title = page.title;
  document.getElementById("main").dataset.hash = page.getElementById("main").dataset.hash || hash;
}

/** What a person has begun stays: typed words, opened details, how far a list was scrolled. */
function keep(before, now) {
  before.querySelectorAll("details[open] > summary").forEach((summary) => {
    const same = [...now.querySelectorAll("summary")].find((s) => s.textContent === summary.textContent);
    if (same) same.parentElement.open = true;
  });
  before.querySelectorAll("input[name]:not([type=hidden])").forEach((input) => {
    const same = now.querySelector(`input[name="${input.name}"]:not([type=hidden])`);
    if (same) same.value = input.value;
  });
  const scrolled = before.querySelector(".timeline");
  if (scrolled) requestAnimationFrame(() => {
    const list = now.querySelector(".timeline");
    const wasAtEnd = scrolled.scrollTop + scrolled.clientHeight >= scrolled.scrollHeight - 8;
    list.scrollTop = wasAtEnd ? list.scrollHeight : scrolled.scrollTop;
  });
}

function live(address) {
  const status = document.getElementById("status");
  const events = new EventSource(address);
  let queue = Promise.resolve();
  const tell = (text, kind) => { status.textContent = text; status.className = `status ${kind}`; };
  events.onopen = () => tell("live", "on");
  events.onerror = () => tell("not connected, trying again", "off");
  events.onmessage = (event) => {
    if (event.data === document.getElementById("main").dataset.hash) return;
    queue = queue.then(() => refresh(event.data)).catch(() => tell("not connected", "off"));
  };
  addEventListener("pagehide", () => events.close());
}

/** `8 s`, `4 min`, as the server says it. */
function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 90) return `${s} s`;
  if (s < 600 && s % 60) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 5400) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d`;
}

/** Ages count on, by the server's clock. */
function ages() {
  const ahead = Number(document.body.dataset.now) - performance.timeOrigin;
  setInterval(() => {
    const now = performance.timeOrigin + performance.now() + ahead;
    document.querySelectorAll("[data-since]").forEach((e) => {
      const text = span(now - Number(e.dataset.since));
      if (e.textContent !== text) e.textContent = text;
    });
  }, 1000);
}

/** j, k, enter in the list; / to the filter; Ctrl-Enter runs a query. */
function keys(event) {
  const typing = event.target.matches("input, textarea");
  if (event.target.id === "sql" && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.target.form.requestSubmit();
  } else if (typing && event.key === "Escape") {
    event.target.blur();
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const rows = [...document.querySelectorAll(".incidents .row")];
  if (event.key === "/" && document.getElementById("q")) {
    event.preventDefault();
    document.getElementById("q").focus();
  } else if ((event.key === "j" || event.key === "k") && rows.length) {
    const at = rows.indexOf(document.activeElement);
    const to = event.key === "j" ? Math.min(at + 1, rows.length - 1) : Math.max(at - 1, 0);
    rows[to].focus();
  }
}

/** The reading under the pointer. */
function chart(figure) {
  const data = figure.querySelector("script[type='application/json']");
  const points = data ? JSON.parse(data.textContent) : [];
  const svg = figure.querySelector("svg");
  const cursor = figure.querySelector(".cursor");
  const reading = figure.querySelector("[data-reading]");
  const last = reading.textContent;
  if (!points.length) return;
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 400;
    const near = points.reduce((a, b) => (Math.abs(b.x - x) < Math.abs(a.x - x) ? b : a));
    cursor.setAttribute("x1", near.x);
    cursor.setAttribute("x2", near.x);
    cursor.setAttribute("visibility", "visible");
    reading.textContent = `${near.time}  ${near.value}  (expected ${near.band})`;
  });
  svg.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    reading.textContent = last;
  });
}

/** A node under the pointer: what is not beside it steps back. */
function network(svg) {
  const lines = [...svg.querySelectorAll("line")];
  const nodes = [...svg.querySelectorAll(".node")];
  const place = (node) => node.getAttribute("transform").match(/[\d.]+/g).map(Number);
  const ends = (line) => [["x1", "y1"], ["x2", "y2"]].map((p) => p.map((a) => Number(line.getAttribute(a))));
  const same = (a, b) => Math.abs(a[0] - b[0]) < 1 && Math.abs(a[1] - b[1]) < 1;
  nodes.forEach((node) => {
    node.addEventListener("pointerenter", () => {
      const mine = lines.filter((line) => ends(line).some((end) => same(end, place(node))));
      const near = (other) => mine.some((line) => ends(line).some((end) => same(end, place(other))));
      lines.forEach((line) => line.classList.toggle("dim", !mine.includes(line)));
      nodes.forEach((other) => other.classList.toggle("dim", other !== node && !near(other)));
    });
    node.addEventListener("pointerleave", () => {
      [...lines, ...nodes].forEach((e) => e.classList.remove("dim"));
    });
  });
}

/** Who speaks is asked once on this machine. */
function remember(root) {
  root.querySelectorAll("input[data-who]").forEach((input) => {
    if (!input.value) input.value = localStorage.getItem("gannet-who") || "";
    input.form.addEventListener("submit", () => localStorage.setItem("gannet-who", input.value));
  });
}

function prepare(root) {
  root.querySelectorAll("[data-chart]").forEach(chart);
  root.querySelectorAll("svg.net").forEach(network);
  remember(root);
}

prepare(document);
ages();
addEventListener("keydown", keys);
if (document.body.dataset.live) live(document.body.dataset.live);
