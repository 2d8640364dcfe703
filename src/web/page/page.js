// The landing page: reads the outcomes from the API beside it and draws them. It never computes a
// score or a forecast of its own, and asks no other host.
"use strict";

/** How often the page asks, in milliseconds, and how long it waits for an answer. */
const POLL = 3000, PATIENCE = 10000;
/** Series asked for per signal, and how much past is kept. */
const LIMIT = 50, DAY = 86400000, HOUR = 3600000;
/** Points are asked for again so many steps back: late samples may have corrected them. */
const REREAD = 5;
const SEVERITIES = ["none", "info", "warning", "critical", "emergency"];
/** Columns of a point in the API's answer. */
const AT = 0, VALUE = 1, EXPECTED = 2, LOWER = 3, UPPER = 4, SCORE = 5, ACTIVE = 6;

const $ = (id) => document.getElementById(id);
const state = { hours: 24, now: 0, sections: new Map(), cards: new Map(), timer: 0, polling: false, reached: null, polls: 0 };

// === Words and numbers ===

const spoken = { "-1": "below", 0: "as expected", 1: "above" };
const shape = (direction) => (direction < 0 ? "▼" : direction > 0 ? "▲" : "◆");
const severityText = (series) => `${shape(series.direction)} ${spoken[series.direction] ?? ""} · ${series.severity}`;

function verdictText(series) {
  if (series.active) return severityText(series);
  if (series.score === null) return "not scored";
  return series.score > 1 ? "unusual so far" : "as expected";
}

/** A number in about three significant digits, with k, M or G where it is large. */
function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const [unit, divisor] = size >= 999.5e6 ? ["G", 1e9] : size >= 999.5e3 ? ["M", 1e6] : size >= 9999.5 ? ["k", 1e3] : ["", 1];
  const scaled = value / divisor;
  if (scaled === 0) return "0";
  if (Math.abs(scaled) < 0.001) return scaled.toExponential(1).replace("-", "−");
  const digits = Math.abs(scaled) >= 99.95 ? 0 : Math.abs(scaled) >= 9.995 ? 1 : Math.abs(scaled) >= 0.9995 ? 2 : 3;
  const text = scaled.toFixed(digits);
  return (digits && Number.isInteger(scaled) ? scaled.toFixed(0) : text).replace("-", "−") + unit;
}

const score = (value) => (value === null || value >= 99.5 ? short(value) : value.toFixed(2));
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clockSeconds = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const when = (at) => (Math.abs(state.now - at) > 20 * HOUR ? weekday : clock).format(at);
const plural = (count, word) => `${count} ${word}${count === 1 || word === "series" ? "" : "s"}`;

function span(millis) {
  for (const [unit, size] of [["d", DAY], ["h", HOUR], ["min", 60000], ["s", 1000]]) {
    if (millis >= size && millis % size === 0) return `${millis / size} ${unit}`;
  }
  return `${millis} ms`;
}

// === Elements ===

function element(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function drawn(name, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** The first cell of a row names it. */
function fillTable(table, caption, names, rows) {
  const line = (cells, head) => element("tr", {}, ...cells.map((cell, index) => element(head || index === 0 ? "th" : "td", { scope: head ? "col" : index === 0 ? "row" : null }, cell)));
  table.replaceChildren(element("caption", {}, caption), element("thead", {}, line(names, true)), element("tbody", {}, ...rows.map((cells) => line(cells, false))));
}

/** Whether the keyboard is inside: what has the focus must not be replaced, or whoever moves through the page is thrown back to its top. */
const isHeld = (target) => target.contains(document.activeElement);

// === Points ===

/** Points with newer ones behind them or in their place, as answers may overlap; of a day. */
function joined(former, newer) {
  const first = newer.length ? newer[0][AT] : Infinity;
  const all = former.filter((point) => point[AT] < first).concat(newer);
  return all.filter((point) => point[AT] >= all[all.length - 1][AT] - DAY);
}

/** Where a key takes whoever reads the values at the time `at` (null: now): another time, null, or undefined for a key that means nothing. */
function moved(event, shown, at) {
  if (event.key === "Escape") return null;
  const last = shown.length - 1, found = shown.findIndex((point) => point[AT] >= at);
  const here = at === null || found < 0 ? last : found, far = event.shiftKey ? 10 : 1;
  const moves = { ArrowLeft: here - far, ArrowRight: here + far, Home: 0, End: last };
  return Object.hasOwn(moves, event.key) && last >= 0 ? shown[Math.min(last, Math.max(0, moves[event.key]))][AT] : undefined;
}

// === Asking ===

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE), cache: "no-store", headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`it answered ${answer.status} to ${path}`);
  return answer.json();
}

async function poll() {
  clearTimeout(state.timer);
  if (state.polling || document.hidden) return; // visibilitychange begins again
  state.polling = true;
  try {
    const overview = await ask("api/v1/signals");
    state.now = overview.now;
    showSignals(overview.signals);
    state.reached = Date.now();
    showSummary();
    await workloads.refresh(overview.scaling);
    for (const section of state.sections.values()) {
      if (section.wanted()) await section.refresh();
    }
    if (state.polls++ % 10 === 0) showAbout(await ask("api/v1/status"));
    $("banner").hidden = true;
  } catch (problem) {
    showBanner(problem);
  }
  showSummary();
  document.documentElement.dataset.polls = String(state.polls);
  state.polling = false;
  clearTimeout(state.timer);
  state.timer = setTimeout(poll, POLL);
}

function showBanner(problem) {
  const reason = problem instanceof TypeError ? "no connection" : problem.name === "TimeoutError" ? "no answer in time" : problem.message;
  const since = state.reached ? ` What you see is as of ${clockSeconds.format(state.now)}.` : "";
  setText($("banner"), `forethought at ${location.host} cannot be read: ${reason}. Asking again every ${POLL / 1000} seconds.${since}`);
  $("banner").hidden = false;
}

function showAbout(status) {
  const ready = status.ready ? "ready" : "not ready yet";
  const shard = status.shard ? ` · shard ${status.shard}` : "";
  setText($("about"), `forethought ${status.version}${shard} · ${ready} · times are those of this browser (${Intl.DateTimeFormat().resolvedOptions().timeZone})`);
}

// === The whole ===

function showSignals(signals) {
  const names = new Set(signals.map((signal) => signal.name));
  for (const [name, section] of state.sections) {
    if (!names.has(name)) section.remove();
  }
  let place = $("signals").firstElementChild;
  for (const signal of signals) {
    const section = state.sections.get(signal.name) ?? new Section(signal.name);
    if (section.root === place) place = place.nextElementSibling;
    else $("signals").insertBefore(section.root, place);
    section.update(signal);
  }
}

function showSummary() {
  const signals = [...state.sections.values()].map((section) => section.signal);
  if (!state.reached) return;
  const [series, active] = ["series", "active"].map((key) => signals.reduce((sum, signal) => sum + signal[key], 0));
  const verdict = active === 0 ? "Everything is as expected." : `${active === 1 ? "One is" : `${active} are`} anomalous now.`;
  const text = signals.length === 0 ? "No signal is configured yet." : `Watching ${plural(series, "series")} in ${plural(signals.length, "signal")}. ${verdict}`;
  const time = element("time", { datetime: new Date(state.now).toISOString() }, clockSeconds.format(state.now));
  // The spoken status changes only when the words do; the clock beside it is not announced.
  if ($("summary").dataset.text !== text) {
    $("summary").dataset.text = text;
    $("summary").replaceChildren(`${text} `, element("span", { "aria-hidden": "true" }));
  }
  $("summary").lastElementChild.replaceChildren(time);
  showAttention();
}

function showAttention() {
  const active = [...state.cards.values()].filter((card) => card.series.active);
  active.sort((a, b) => rank(b.series) - rank(a.series) || (a.root.id < b.root.id ? -1 : 1));
  const links = active.slice(0, 6).map((card) => [card.root.id, shape(card.series.direction), card.title.textContent, card.section.name]);
  const rest = active.length - links.length;
  const key = JSON.stringify([links, rest]);
  const list = $("attention");
  if (list.dataset.key === key || isHeld(list)) return;
  list.dataset.key = key;
  list.hidden = active.length === 0;
  list.replaceChildren(
    ...links.map(([id, mark, title, signal]) =>
      element("li", {}, element("a", { href: `#${id}` },
        element("span", { class: "shape", "aria-hidden": "true" }, mark), element("span", {}, title), element("span", { class: "of" }, signal)))),
    ...(rest > 0 ? [element("li", { class: "meta" }, `and ${rest} more`)] : []),
  );
}

const rank = (series) => (series.active ? 10 : 0) + SEVERITIES.indexOf(series.severity);

// === One signal ===

class Section {
  constructor(name) {
    this.name = name;
    this.cards = new Map();
    this.visible = false;
    this.asked = null; // how it stood when its series were asked for
    this.meta = element("p", { class: "meta" });
    this.note = element("p", { class: "note", hidden: "" });
    this.groups = element("ul", { class: "groups", "aria-label": "Farthest off in each group", hidden: "" });
    this.grid = element("div", { class: "cards" });
    const id = `signal-${name}`;
    this.root = element("section", { class: "signal", "aria-labelledby": id, "data-signal": name },
      element("header", {}, element("h2", { id }, name), this.meta), this.note, this.groups, this.grid);
    state.sections.set(name, this);
    watcher.observe(this.root);
  }

  remove() {
    for (const card of this.cards.values()) card.remove();
    watcher.unobserve(this.root);
    this.root.remove();
    state.sections.delete(this.name);
  }

  /**
   * Whether its series are asked for: until all are there, while it is looked at, and while something is wrong. And when how it stands is
   * new: a signal that was still reading its history had neither all of its past nor a forecast.
   */
  wanted() {
    const some = this.cards.size < Math.min(this.signal.series, LIMIT) || this.asked !== this.standing();
    return some || this.visible || this.signal.active > 0 || [...this.cards.values()].some((card) => card.series.active);
  }

  standing() {
    return `${this.signal.phase} ${Boolean(this.signal.silent_because)}`;
  }

  update(signal) {
    this.signal = signal;
    const words = [signal.kind === "panel" ? "panel, " + plural(signal.series, "series") : plural(signal.series, "series"), `every ${span(signal.step_ms)}`];
    if (this.common) words.push(this.common);
    if (signal.phase && signal.phase !== "running") words.push(signal.phase);
    if (this.drift > 1) words.push(`no longer what its forecasts were derived from (drift ${this.drift.toFixed(1)})`);
    const text = words.join(" · ");
    const alarm = signal.active > 0 ? `${signal.active} anomalous` : "";
    if (this.meta.dataset.key !== text + alarm) {
      this.meta.dataset.key = text + alarm;
      this.meta.replaceChildren(text, ...(alarm ? [" · ", element("b", {}, alarm)] : []));
    }
    setText(this.note, signal.silent_because ? `Silent: ${signal.silent_because}` : "");
    this.note.hidden = !signal.silent_because;
  }

  async refresh() {
    const standing = this.standing();
    const newest = Math.max(0, ...[...this.cards.values()].map((card) => card.newest()));
    const since = newest - REREAD * this.signal.step_ms;
    const path = `api/v1/series?signal=${encodeURIComponent(this.name)}&limit=${LIMIT}`;
    let answer = await ask(newest ? `${path}&since=${since}` : path);
    // A series that was not there before is wanted with its past.
    if (newest && answer.series.some((series) => !this.cards.has(keyOf(series)))) answer = await ask(path);
    const shared = sharedLabels(answer.series);
    this.common = shared.map(([name, value]) => `${name}=${value}`).join(", ");
    const seen = new Set();
    for (const series of answer.series) {
      const key = keyOf(series);
      seen.add(key);
      const card = this.cards.get(key) ?? new Card(this, key);
      card.update(series, shared);
    }
    for (const [key, card] of this.cards) {
      if (!seen.has(key)) card.remove();
    }
    this.arrange();
    this.showGroups(answer.groups);
    this.drift = answer.drift;
    this.asked = standing;
    this.update(this.signal);
  }

  /** Who contributes to a group that is anomalous; a single series of no group says so itself. */
  showGroups(all) {
    const told = all.filter((group) => group.active > 1 || Object.keys(group.labels).length > 0);
    const key = JSON.stringify(told);
    if (this.groups.dataset.key === key || isHeld(this.groups)) return;
    this.groups.dataset.key = key;
    this.groups.hidden = told.length === 0;
    this.groups.replaceChildren(...told.map((group) => {
      const names = Object.values(group.labels).join(" · ") || this.name;
      const top = group.top.flatMap((series, index) => [index ? ", " : "", this.linkTo(series, group), ` ${score(series.score)}`]);
      const rest = group.active > group.top.length ? ` and ${group.active - group.top.length} more` : "";
      return element("li", {}, element("b", {}, names), ` ${group.active} of ${group.series} anomalous: `, ...top, rest);
    }));
  }

  /** To the card of a series of a group, where there is one. */
  linkTo(series, group) {
    const own = Object.entries(series.labels).filter(([name]) => !(name in group.labels)).map(([, value]) => value);
    const card = this.cards.get(keyOf(series));
    const name = own.join(" · ") || this.name;
    return card ? element("a", { href: `#${card.root.id}` }, name) : element("span", {}, name);
  }

  /** Anomalous first, then by name; not while the keyboard is inside: focus would be lost. */
  arrange() {
    const sorted = [...this.cards.values()].sort((a, b) => rank(b.series) - rank(a.series) || (a.key < b.key ? -1 : 1));
    const placed = sorted.every((card, index) => this.grid.children[index] === card.root);
    if (!placed && !isHeld(this.grid)) this.grid.replaceChildren(...sorted.map((card) => card.root));
  }
}

const keyOf = (series) => JSON.stringify(Object.entries(series.labels).sort());

function sharedLabels(all) {
  if (all.length < 2) return [];
  return Object.entries(all[0].labels).filter(([name, value]) => all.every((series) => series.labels[name] === value));
}

// === One series ===

class Card {
  constructor(section, key) {
    [this.section, this.key, this.points, this.at] = [section, key, [], null];
    const id = `series-${section.name}-${hash(key)}`;
    this.title = element("h3", { id: `${id}-title` });
    this.badge = element("span", { class: "badge" });
    this.reason = element("p", { class: "reason", hidden: "" });
    this.values = element("dl", { class: "values" });
    this.chart = drawn("svg", { class: "chart", role: "img" });
    this.table = element("table");
    this.details = element("details", {}, element("summary", {}, "Values as a table"),
      element("div", { class: "fallback", tabindex: "0", role: "region", "aria-label": "Values" }, this.table));
    this.root = element("article", { class: "card", id, tabindex: "0", "aria-labelledby": `${id}-title`, "aria-describedby": "hint" },
      element("header", {}, this.title, this.badge), this.reason, this.values, element("figure", {}, this.chart), this.details);
    this.listen();
    section.cards.set(key, this);
    state.cards.set(id, this);
    section.grid.append(this.root);
    resizer.observe(this.chart);
  }

  remove() {
    resizer.unobserve(this.chart);
    this.root.remove();
    this.section.cards.delete(this.key);
    state.cards.delete(this.root.id);
  }

  listen() {
    this.root.addEventListener("keydown", (event) => this.key_pressed(event));
    this.root.addEventListener("blur", () => this.read(null));
    this.chart.addEventListener("pointermove", (event) => {
      if (this.plot) this.read(this.plot.nearest(event.offsetX));
    });
    this.chart.addEventListener("pointerleave", () => this.read(null));
    this.details.addEventListener("toggle", () => this.tabulate());
  }

  newest() {
    return this.points.length ? this.points[this.points.length - 1][AT] : 0;
  }

  update(series, shared) {
    this.series = series;
    this.points = joined(this.points, series.points);
    const own = Object.entries(series.labels).filter(([name]) => !shared.some(([other]) => other === name));
    setText(this.title, own.map(([, value]) => value).join(" · ") || this.section.name);
    this.root.dataset.active = String(series.active);
    this.badge.dataset.severity = series.severity;
    setText(this.badge, verdictText(series));
    const reason = series.reason ? `Since ${when(series.since)}: ${series.reason}.` : "";
    const doubt = series.not_believed ? `Nothing is learned from its newest value. ${series.not_believed}.` : "";
    setText(this.reason, [reason, doubt].filter(Boolean).join(" "));
    this.reason.hidden = !reason && !doubt;
    this.draw();
    this.tabulate();
  }

  draw() {
    const width = this.chart.clientWidth, height = this.chart.clientHeight;
    if (!width || !this.series) return;
    this.plot = new Plot(this.points, this.series.forecasts, this.section.signal.step_ms, width, height);
    this.chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.chart.setAttribute("aria-label", this.described());
    this.chart.replaceChildren(...this.plot.nodes());
    this.read(this.at);
  }

  /** Shows the values at grid time `at`, or the newest ones. */
  read(at) {
    this.at = at;
    const point = (at !== null && this.points.find((one) => one[AT] === at)) || this.points[this.points.length - 1];
    if (!point) return;
    const over = point[SCORE] !== null && point[SCORE] > 1 ? "over" : "";
    const bounds = point[LOWER] === null ? "–" : `${short(point[LOWER])} to ${short(point[UPPER])}`;
    const parts = [[at === null ? "now" : when(point[AT]), short(point[VALUE]), "first"], ["expected", short(point[EXPECTED]), ""], ["range", bounds, ""], ["score", score(point[SCORE]), over]];
    const scoreOnly = this.plot && this.plot.scoresOnly;
    const shown = scoreOnly ? [[parts[0][0], score(point[SCORE]), `first ${over}`], ["threshold", "1", ""]] : parts;
    this.values.replaceChildren(...shown.map(([name, value, kind]) =>
      element("div", { class: kind.includes("first") ? "first" : null }, element("dt", {}, name), element("dd", { class: kind.includes("over") ? "over" : null }, value))));
    if (this.plot) this.plot.point_at(this.chart, at === null ? null : point);
  }

  key_pressed(event) {
    if (event.target !== this.root || !this.plot) return;
    const at = moved(event, this.plot.shown, this.at);
    if (at === undefined) return;
    this.read(at);
    event.preventDefault();
    this.values.setAttribute("aria-live", "polite"); // only once a person reads along
  }

  described() {
    const { series, points } = this;
    const newest = points[points.length - 1];
    const name = `${this.section.name} of ${this.title.textContent}`;
    if (!newest) return `${name}: no values yet`;
    const runs = this.plot.runs(ACTIVE);
    const now = this.plot.scoresOnly ? `score ${score(newest[SCORE])}, anomalous above 1`
      : `${short(newest[VALUE])}, expected ${short(newest[EXPECTED])}, ordinary from ${short(newest[LOWER])} to ${short(newest[UPPER])}`;
    const latest = runs.length ? `, the latest from ${when(runs[runs.length - 1].from)} to ${when(runs[runs.length - 1].to)}` : "";
    const ahead = series.forecasts.filter((one) => one.expected !== null).map((one) => `in ${one.horizon} ${short(one.expected)}, between ${short(one.lower)} and ${short(one.upper)}`);
    return [`Chart of ${name} over ${state.hours} hours. Now ${now}`,
      `${plural(runs.length, "anomalous period")}${latest}`,
      ahead.length ? `Forecast: ${ahead.join("; ")}` : "No forecast"].join(". ") + ".";
  }

  tabulate() {
    if (!this.details.open || !this.series) return;
    const labels = Object.entries(this.series.labels).map(([name, value]) => `${name}="${value}"`).join(", ");
    const ahead = this.series.forecasts.map((one) => [`in ${one.horizon}`, "–", short(one.expected), short(one.lower), short(one.upper), "–"]).reverse();
    const past = this.points.slice(-20).reverse().map((point) =>
      [when(point[AT]), ...[VALUE, EXPECTED, LOWER, UPPER].map((column) => short(point[column])), (point[ACTIVE] ? "anomalous " : "") + score(point[SCORE])]);
    fillTable(this.table, `{${labels}}`, ["time", "actual", "expected", "lower", "upper", "score"], [...ahead, ...past]);
  }
}

/** A short name for an element's id (FNV-1a). */
function hash(text) {
  let value = 0x811c9dc5;
  for (const letter of text) value = Math.imul(value ^ letter.codePointAt(0), 0x01000193);
  return (value >>> 0).toString(36);
}

// === A chart ===

const PAD = { left: 42, right: 6, top: 10, bottom: 20 };

/** Where everything of one chart lies, and the elements that show it. All coordinates are pixels. */
class Plot {
  constructor(points, forecasts, step, width, height) {
    [this.step, this.width, this.height] = [step, width, height];
    this.scoresOnly = points.length > 0 && points.every((point) => point[VALUE] === null && point[EXPECTED] === null) && points.some((point) => point[SCORE] !== null);
    this.end = points.length ? points[points.length - 1][AT] : state.now;
    this.start = this.end - state.hours * HOUR;
    this.shown = points.filter((point) => point[AT] >= this.start);
    this.ahead = forecasts.filter((one) => one.expected !== null);
    const future = this.ahead.length ? Math.min(39 * this.ahead.length + 6, width * 0.36) : 0;
    this.now = width - PAD.right - future;
    this.floor = height - PAD.bottom;
    [this.least, this.most] = this.domain();
  }

  domain() {
    const columns = this.scoresOnly ? [SCORE] : [VALUE, LOWER, UPPER];
    const all = this.shown.flatMap((point) => columns.map((column) => point[column])).concat(this.ahead.flatMap((one) => [one.lower, one.expected, one.upper]))
      .filter((value) => value !== null && Number.isFinite(value));
    if (this.scoresOnly) all.push(0, 1.2);
    if (!all.length) return [0, 1];
    let least = all.reduce((a, b) => Math.min(a, b)), most = all.reduce((a, b) => Math.max(a, b));
    if (least >= 0 && least < 0.5 * most) least = 0;
    const air = (most - least || Math.abs(most) || 1) * 0.06;
    return [least === 0 ? 0 : least - air, most + air];
  }

  x(at) {
    return PAD.left + (at - this.start) / (this.end - this.start) * (this.now - PAD.left);
  }

  /** The future's axis is compressed: every horizon gets the same room. */
  ahead_x(index) {
    return this.now + (index + 0.75) * (this.width - PAD.right - this.now) / (this.ahead.length + 0.35);
  }

  y(value) {
    return this.floor - (value - this.least) / (this.most - this.least) * (this.floor - PAD.top);
  }

  nearest(x) {
    if (!this.shown.length) return null;
    const at = this.start + (x - PAD.left) / (this.now - PAD.left) * (this.end - this.start);
    const found = this.shown.findIndex((point) => point[AT] >= at - this.step / 2);
    return this.shown[found < 0 ? this.shown.length - 1 : found][AT];
  }

  nodes() {
    return [...this.axes(), ...this.future(), ...this.regions(), ...this.lines(), ...this.marks(),
      drawn("line", { class: "cursor", y1: PAD.top, y2: this.floor, visibility: "hidden" }), drawn("circle", { class: "spot", r: 3.5, visibility: "hidden" })];
  }

  axes() {
    const nodes = [];
    for (const value of ticks(this.least, this.most, 4)) {
      const y = round(this.y(value));
      nodes.push(drawn("line", { class: "grid", x1: PAD.left, x2: this.width - PAD.right, y1: y, y2: y }), label(PAD.left - 6, y + 4, "end", short(value).replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "")));
    }
    for (const at of this.times()) nodes.push(label(this.x(at), this.height - 5, "middle", timeLabel(at)));
    return nodes;
  }

  /** Round local times that leave room for their labels. */
  times() {
    const room = (this.now - PAD.left) / 50;
    const spacing = [0.25, 0.5, 1, 2, 3, 4, 6, 8, 12].find((hours) => state.hours / hours <= room) ?? 24;
    const zone = new Date(this.end).getTimezoneOffset() * 60000;
    const first = Math.ceil((this.start - zone) / (spacing * HOUR)) * spacing * HOUR + zone;
    const times = [];
    for (let at = first; at <= this.end; at += spacing * HOUR) {
      const x = this.x(at);
      if (x > PAD.left + 10 && x < this.now - (this.ahead.length ? 42 : 14)) times.push(at);
    }
    return times;
  }

  future() {
    const nodes = [];
    const now = round(this.now);
    if (this.ahead.length) {
      nodes.push(drawn("rect", { class: "future", x: now, y: PAD.top, width: round(this.width - PAD.right - this.now), height: round(this.floor - PAD.top) }));
      nodes.push(drawn("line", { class: "now", x1: now, x2: now, y1: PAD.top, y2: this.floor }), label(now + 3, this.height - 5, "end", "now"));
      const newest = this.shown[this.shown.length - 1];
      const from = newest && newest[EXPECTED] !== null ? [[this.now, this.y(newest[EXPECTED])]] : [];
      nodes.push(drawn("path", { class: "path-ahead", d: path(from.concat(this.ahead.map((one, index) => [this.ahead_x(index), this.y(one.expected)]))) }));
    }
    this.ahead.forEach((one, index) => {
      const [x, y, top, bottom] = [this.ahead_x(index), this.y(one.expected), this.y(one.upper), this.y(one.lower)].map(round);
      if (one.upper !== null && one.lower !== null) {
        nodes.push(drawn("path", { class: "bar-line", d: `M${x} ${top}V${bottom}M${x - 3.5} ${top}H${x + 3.5}M${x - 3.5} ${bottom}H${x + 3.5}` }));
      }
      nodes.push(drawn("path", { class: "point", d: `M${x} ${y - 4.5}L${x + 4.5} ${y}L${x} ${y + 4.5}L${x - 4.5} ${y}Z` }));
      nodes.push(label(x, this.height - 5, "middle", `+${one.horizon}`, "ahead"));
    });
    return nodes;
  }

  /** Spans of neighbouring shown points where `column` is set (for the score: above 1). */
  runs(column) {
    const runs = [];
    let run = null;
    for (const point of this.shown) {
      const goes_on = point[ACTIVE] && point[SCORE] >= 0.9; // just below 1 after the onset
      const on = column === ACTIVE ? point[ACTIVE] : point[SCORE] !== null && (point[SCORE] > 1 || goes_on);
      if (!on) run = null;
      else if (run) [run.to, run.points] = [point[AT], run.points.concat([point])];
      else runs.push(run = { from: point[AT], to: point[AT], points: [point] });
    }
    return runs;
  }

  regions() {
    return this.runs(ACTIVE).flatMap((run) => {
      const from = this.x(run.from - this.step / 2), wide = Math.max(3, this.x(run.to + this.step / 2) - from);
      return [drawn("rect", { class: "region", x: round(from), y: PAD.top, width: round(wide), height: round(this.floor - PAD.top) }),
        drawn("path", { class: "foot-line", d: `M${round(from)} ${this.floor}H${round(from + wide)}` })];
    });
  }

  lines() {
    const buckets = Math.max(40, Math.floor((this.now - PAD.left) / 1.5));
    if (this.scoresOnly) {
      const y = round(this.y(1));
      return [drawn("line", { class: "threshold", x1: PAD.left, x2: this.now, y1: y, y2: y }), drawn("path", { class: "actual", d: this.trace(SCORE, spread(buckets)) })];
    }
    const [top, bottom] = [this.pieces(UPPER, highest, buckets), this.pieces(LOWER, lowest, buckets)];
    const band = top.map((piece, index) => path(piece.concat((bottom[index] ?? []).slice().reverse())) + "Z").join("");
    return [drawn("path", { class: "band", d: band }), drawn("path", { class: "edge", d: top.concat(bottom).map(path).join("") }),
      drawn("path", { class: "expected", d: this.trace(EXPECTED, { buckets, pick: middle }) }), drawn("path", { class: "actual", d: this.trace(VALUE, spread(buckets)) })];
  }

  marks() {
    return this.runs(SCORE).flatMap((run) => {
      const column = this.scoresOnly ? SCORE : VALUE;
      const seen = run.points.filter((point) => point[column] !== null);
      if (!seen.length) return [];
      const peak = seen.reduce((a, b) => (b[SCORE] > a[SCORE] ? b : a));
      const above = this.scoresOnly || peak[EXPECTED] === null || peak[VALUE] >= peak[EXPECTED];
      const line = seen.map((point) => [this.x(point[AT]), this.y(point[column])]);
      const nodes = [drawn("path", { class: "anomalous", d: path(line.length > 1 ? line : [line[0], [line[0][0] + 0.1, line[0][1]]]) })];
      if (run.points.some((point) => point[ACTIVE])) {
        const x = round(this.x(peak[AT])), up = above ? -1 : 1;
        const y = round(Math.min(this.floor - 10, Math.max(PAD.top + 7, this.y(peak[column]) + up * 9)));
        nodes.push(drawn("path", { class: "mark", d: `M${x} ${round(y + up * 4.5)}L${x + 5} ${round(y - up * 3.5)}H${x - 5}Z` }));
      }
      return nodes;
    });
  }

  trace(column, how) {
    return this.pieces(column, how.pick, how.buckets).map(path).join("");
  }

  /** The shown points of a column as coordinates, cut at gaps, no more than a few per `1 / buckets` of the width. */
  pieces(column, pick, buckets) {
    const pieces = [];
    let piece = null, last = -Infinity;
    for (const point of this.shown) {
      if (point[column] === null) continue;
      if (point[AT] - last > 1.5 * this.step) pieces.push(piece = []);
      piece.push([this.x(point[AT]), this.y(point[column])]);
      last = point[AT];
    }
    const size = Math.max(1, Math.ceil(this.shown.length / buckets));
    return size === 1 ? pieces : pieces.map((one) => thinned(one, size, pick));
  }

  point_at(chart, point) {
    const cursor = chart.querySelector(".cursor"), spot = chart.querySelector(".spot");
    const value = point && point[this.scoresOnly ? SCORE : VALUE];
    const x = point ? round(this.x(point[AT])) : 0;
    cursor.setAttribute("visibility", point ? "visible" : "hidden");
    spot.setAttribute("visibility", point && value !== null ? "visible" : "hidden");
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x);
    spot.setAttribute("cx", x);
    spot.setAttribute("cy", point && value !== null ? round(this.y(value)) : 0);
  }
}

const round = (value) => Math.round(value * 10) / 10;
const path = (piece) => piece.map(([x, y], index) => `${index ? "L" : "M"}${round(x)} ${round(y)}`).join("");
const label = (x, y, anchor, text, kind) => drawn("text", { x: round(x), y: round(y), "text-anchor": anchor, class: kind }, text);

// Of the points that share a bucket (y grows downwards): both extremes, so that no spike is lost; one extreme; one point.
const extreme = (better) => (part) => part.reduce((a, b) => (better(b[1], a[1]) ? b : a));
const highest = (part) => [extreme((b, a) => b < a)(part)], lowest = (part) => [extreme((b, a) => b > a)(part)];
const middle = (part) => [part[part.length >> 1]];
const spread = (buckets) => ({ buckets: buckets / 2, pick: (part) => [...new Set([part[0], ...highest(part), ...lowest(part)])].sort((a, b) => a[0] - b[0]) });

function thinned(piece, size, pick) {
  const kept = [piece[0]];
  for (let from = 0; from < piece.length; from += size) {
    // A band's two edges must share their times, or they would cross: both take the bucket's first.
    const part = piece.slice(from, from + size), picked = pick(part);
    kept.push(...(picked.length === 1 ? [[part[0][0], picked[0][1]]] : picked));
  }
  kept.push(piece[piece.length - 1]);
  return kept;
}

/** Two to five round values between the bounds. */
function ticks(least, most, about) {
  const rough = (most - least) / about, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? rough;
  const values = [];
  for (let value = Math.ceil(least / step) * step; value <= most + step / 1e6; value += step) values.push(Math.abs(value) < step / 1e6 ? 0 : value);
  return values;
}

function timeLabel(at) {
  const date = new Date(at);
  return date.getHours() === 0 && date.getMinutes() === 0 ? new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric" }).format(at) : clock.format(at);
}

// === Beginning ===

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const section = state.sections.get(entry.target.dataset.signal);
    if (section) section.visible = entry.isIntersecting;
  }
}, { rootMargin: "400px" });

const resizer = new ResizeObserver((entries) => {
  for (const entry of entries) state.cards.get(entry.target.closest(".card")?.id)?.draw();
});

/** The chosen span outlives a reload, where the browser lets it. */
function remembered(hours) {
  try {
    if (hours) localStorage.setItem("forethought-hours", hours);
    return localStorage.getItem("forethought-hours");
  } catch {
    return null;
  }
}

function chooseHours() {
  const radios = [...$("ranges").querySelectorAll("input")];
  const chosen = radios.find((radio) => radio.value === remembered()) ?? radios[radios.length - 1];
  chosen.checked = true;
  state.hours = Number(chosen.value);
  $("ranges").addEventListener("change", (event) => {
    state.hours = Number(event.target.value);
    remembered(event.target.value);
    for (const card of state.cards.values()) card.draw();
    workloads.draw();
  });
}

// Once workloads.js is there as well.
document.addEventListener("DOMContentLoaded", () => {
  chooseHours();
  document.addEventListener("visibilitychange", () => poll());
  poll();
});
