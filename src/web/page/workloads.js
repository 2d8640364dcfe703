// Workloads: the newest decision on each in a list, and the last hours of one of them as a chart. Sizes, forecasts and
// sentences are those of the API; nothing is decided here.
"use strict";

/** Workloads in the list, decisions in the log of one. */
const ROWS = 50, LOG = 20;
/** Columns of a point, after its time. Capacities are sizes times what one replica takes. */
const DEMAND = 1, MOST = 2, TAKES = 3, HAS = 4, SIZE = 5, READY = 6, REACTIVE = 7;
/** Points of a course may lie so many of their usual distances apart before they count as a gap. */
const GAP = 2.5;
/** A course of fewer points is young. */
const YOUNG = 60;

const whole = (size) => (size === null || size === undefined ? "–" : String(size));

/** Where only observed, what would be recommended is what a person wants to see. */
const observes = (decision) => decision.mode === "observe";
const proposed = (decision) => (observes(decision) ? decision.would_be : decision.replicas);

/** A gate is "open", or an object that says why it is shut. */
const isOpen = (decision) => decision.gate === "open";

function gateText(decision) {
  return isOpen(decision) ? "counts" : `left out: ${decision.gate.shut.replaceAll("_", " ")}`;
}

// === The list ===

const workloads = {
  rows: new Map(),
  chosen: null,
  /** What is asked for again when there is a newer decision. */
  at: null,

  /** `scaling`: what the overview says of decisions; null where there are none. */
  async refresh(scaling) {
    $("workloads").hidden = scaling === null || scaling.workloads === 0;
    if ($("workloads").hidden) return;
    const old = `Nothing was decided since ${when(scaling.at)}: what that came to is too old to count.`;
    setText($("workloads-note"), scaling.fresh ? "" : old);
    $("workloads-note").hidden = scaling.fresh;
    $("workloads-list").hidden = !scaling.fresh && this.rows.size === 0;
    if (!scaling.fresh || scaling.at === this.at) return;
    const answer = await ask(`api/v1/workloads?limit=${ROWS}`);
    this.show(answer.workloads, scaling);
    await picture.refresh(this.chosen, scaling.log);
    this.at = scaling.at;
  },

  show(decisions, scaling) {
    const modes = ["full", "guarded", "observe", "off"].map((mode) => [mode, decisions.filter((one) => one.mode === mode).length]);
    const words = [plural(scaling.workloads, "workload"), ...modes.filter(([, count]) => count).map(([mode, count]) => (scaling.workloads > decisions.length ? mode : `${count} in mode ${mode}`))];
    if (scaling.workloads > decisions.length) words.push(`the first ${decisions.length} are listed`);
    words.push(`decided ${clockSeconds.format(scaling.at)}`);
    setText($("workloads-meta"), words.join(" · "));
    const names = new Set(decisions.map((one) => one.workload));
    for (const [name, row] of this.rows) {
      if (!names.has(name)) this.rows.delete(name), row.root.remove();
    }
    if (!names.has(this.chosen)) this.chosen = decisions[0]?.workload ?? null;
    for (const decision of decisions) {
      const row = this.rows.get(decision.workload) ?? this.add(decision.workload);
      row.update(decision);
    }
    this.mark();
  },

  add(name) {
    const row = new Row(name, () => this.choose(name));
    this.rows.set(name, row);
    $("workloads-list").tBodies[0].append(row.root);
    return row;
  },

  async choose(name) {
    this.chosen = name;
    this.mark();
    try {
      await picture.refresh(name, picture.hasLog);
    } catch (problem) {
      showBanner(problem);
    }
  },

  mark() {
    for (const [name, row] of this.rows) row.button.setAttribute("aria-pressed", String(name === this.chosen));
  },

  draw() {
    picture.draw();
  },
};

class Row {
  constructor(name, choose) {
    this.button = element("button", { type: "button", "aria-controls": "workload", "aria-pressed": "false" }, name);
    this.button.addEventListener("click", choose);
    this.mode = element("span", { class: "badge" });
    const cell = (title) => element("td", { "data-title": title });
    [this.recommended, this.asked, this.ready, this.gate, this.why] = ["Recommended", "Asked for now", "Ready", "Forecast", "Why"].map(cell);
    this.root = element("tr", {}, element("th", { scope: "row" }, this.button, " ", this.mode), this.recommended, this.asked, this.ready, this.gate, this.why);
  }

  update(decision) {
    setText(this.mode, decision.mode);
    this.mode.dataset.mode = decision.mode;
    const would = observes(decision) && decision.would_be !== decision.replicas && decision.would_be !== null;
    const key = JSON.stringify([decision.replicas, would && decision.would_be]);
    if (this.recommended.dataset.key !== key) {
      this.recommended.dataset.key = key;
      this.recommended.replaceChildren(element("b", {}, whole(decision.replicas)), ...(would ? [element("span", { class: "would" }, ` would be ${decision.would_be}`)] : []));
    }
    setText(this.asked, whole(decision.parts.reactive));
    setText(this.ready, whole(decision.ready));
    this.ready.classList.toggle("short", decision.ready !== null && decision.parts.reactive !== null && decision.ready < decision.parts.reactive);
    setText(this.gate, gateText(decision));
    this.gate.classList.toggle("shut", !isOpen(decision));
    setText(this.why, decision.reason);
    this.root.dataset.workload = decision.workload;
  }
}

// === One workload ===

const picture = {
  name: null,
  decision: null,
  hasLog: false,
  points: [],
  at: null,
  plot: null,

  async refresh(name, hasLog) {
    $("workload").hidden = name === null;
    if (name === null) return;
    this.hasLog = hasLog;
    // A young course is asked for whole: what its signal knew of the time before is put in front of it a while after the start.
    const isWhole = name !== this.name || this.points.length < YOUNG;
    const since = isWhole ? "" : `&since=${this.points[this.points.length - 1][AT] + 1}`;
    const answer = await ask(`api/v1/workloads?name=${encodeURIComponent(name)}${since}`);
    // Another one was chosen meanwhile; or there and back, and what is new of this one would be put behind the other's.
    if (workloads.chosen !== name || (!isWhole && this.name !== name)) return;
    if (name !== this.name) this.at = null;
    const [decision] = answer.workloads;
    [this.name, this.decision] = [name, decision];
    // A person who chooses it again asks beside the poll, and both get the same points.
    this.points = joined(isWhole ? [] : this.points, (decision.course ?? []).map(pointOf));
    this.show();
    if ($("workload-log").open) await this.log();
  },

  show() {
    const { decision } = this;
    setText($("workload-title"), this.name);
    setText($("workload-takes"), observes(decision) ? "what the size takes that would be recommended" : "what the recommended size takes");
    setText($("workload-forecast"), `most it may be within ${ahead(decision.window)}`);
    const first = this.points.find((point) => point[SIZE] !== null);
    const begun = first && first !== this.points[0] ? `Sizes are known since ${when(first[AT])}; of the time before, the demand.` : "";
    setText($("workload-since"), begun);
    $("workload-log").hidden = !this.hasLog;
    this.draw();
    this.tabulate();
  },

  /** The course, and what is newest behind it. */
  course() {
    const newest = currentPoint(this.decision);
    const last = this.points[this.points.length - 1];
    return last && last[AT] >= newest[AT] ? this.points : this.points.concat([newest]);
  },

  draw() {
    const chart = $("workload").querySelector("svg.chart");
    const width = chart.clientWidth, height = chart.clientHeight;
    if (!width || !this.decision) return;
    this.plot = new WorkloadPlot(this.course(), this.decision, width, height);
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("aria-label", this.described());
    chart.replaceChildren(...this.plot.nodes());
    this.read(this.at);
  },

  /** Shows the values at the time `at`, or the newest ones. */
  read(at) {
    this.at = at;
    const course = this.course();
    const point = (at !== null && course.find((one) => one[AT] === at)) || course[course.length - 1];
    const short_of = point[HAS] !== null && point[DEMAND] !== null && point[DEMAND] > point[HAS] ? "over" : null;
    const parts = [
      [at === null ? "demand now" : `demand ${when(point[AT])}`, short(point[DEMAND]), short_of],
      [`most within ${ahead(this.decision.window)}`, short(point[MOST]), null],
      [observes(this.decision) ? "would recommend" : "recommended", whole(point[SIZE]), null],
      ["asked for", whole(point[REACTIVE]), null],
      ["ready", whole(point[READY]), short_of],
    ];
    $("workload").querySelector(".values").replaceChildren(...parts.map(([name, value, kind], index) =>
      element("div", { class: index === 2 ? "first" : null }, element("dt", {}, name), element("dd", { class: kind }, value))));
    this.plot?.point_at($("workload").querySelector("svg.chart"), at === null ? null : point);
  },

  key_pressed(event) {
    if (event.target !== $("workload") || !this.plot) return;
    const at = moved(event, this.plot.shown, this.at);
    if (at === undefined) return;
    this.read(at);
    event.preventDefault();
    $("workload").querySelector(".values").setAttribute("aria-live", "polite");
  },

  described() {
    const { decision } = this;
    const short_at = this.plot.shortfalls();
    const latest = short_at.length ? `, the latest from ${when(short_at[short_at.length - 1].from)} to ${when(short_at[short_at.length - 1].to)}` : "";
    const what = observes(decision) ? `${whole(decision.replicas)} recommended, ${whole(decision.would_be)} would be` : `${whole(decision.replicas)} recommended`;
    return [`Chart of the workload ${this.name} over ${state.hours} hours. Now the demand is ${short(decision.demand)}, and the most it may be within ${ahead(decision.window)} is ${short(decision.demand_forecast)}`,
      `Replicas: ${what}, ${whole(decision.parts.reactive)} asked for, ${whole(decision.ready)} ready`,
      `${plural(short_at.length, "time")} the demand was above what was ready${latest}`].join(". ") + ".";
  },

  tabulate() {
    if (!$("workload-table").open || !this.decision) return;
    const past = this.course().slice(-30).reverse().map((point) => [when(point[AT]), short(point[DEMAND]), short(point[MOST]), whole(point[SIZE]), whole(point[REACTIVE]), whole(point[READY])]);
    fillTable($("workload-table").querySelector("table"), this.name, ["time", "demand", "forecast", observes(this.decision) ? "would recommend" : "recommended", "asked for", "ready"], past);
  },

  async log() {
    const answer = await ask(`api/v1/scaling/decisions?workload=${encodeURIComponent(this.name)}&limit=${LOG}`);
    const rows = answer.decisions.map((one) => [when(one.at), whole(one.replicas), whole(one.would_be), one.binding.replaceAll("_", " "), one.reason]);
    fillTable($("workload-log").querySelector("table"), `The newest ${plural(rows.length, "decision")}`, ["time", "size", "in full mode", "because of", "why"], rows);
  },
};

/** A span as people say it. */
function ahead(millis) {
  const minutes = millis / 60000;
  return minutes < 1.5 ? `${Math.round(millis / 1000)} s` : minutes < 90 ? `${Math.round(minutes)} min` : `${round(minutes / 60)} h`;
}

function pointOf(point) {
  const size = picture.decision && observes(picture.decision) ? point.full : point.replicas;
  return columns(point.at, point.demand, point.forecast, point.capacity, size, point.ready, point.reactive);
}

function currentPoint(decision) {
  return columns(decision.at, decision.demand, decision.demand_forecast, decision.capacity, proposed(decision), decision.ready, decision.parts.reactive);
}

function columns(at, demand, most, capacity, size, ready, reactive) {
  const takes = (count) => (count === null || count === undefined || capacity === null || capacity === undefined ? null : count * capacity);
  return [at, demand, most, takes(size), takes(ready), size, ready, reactive].map((value) => value ?? null);
}

// === Its chart ===

/** Room on the right for a scale in replicas. */
const SCALE = 48;
/** Room for what comes, which would be too narrow to be seen otherwise. */
const SOON = 74;

class WorkloadPlot extends Plot {
  constructor(points, decision, width, height) {
    super(points, [], 0, width - SCALE, height);
    this.decision = decision;
    this.whole_width = width;
    this.scoresOnly = false;
    this.now = width - SCALE - SOON;
    this.step = usualDistance(this.shown) * GAP / 1.5;
    [this.least, this.most] = this.domain();
  }

  domain() {
    const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
    const all = this.shown.flatMap((point) => [point[DEMAND], point[MOST], point[TAKES], point[HAS]]).filter(known);
    const most = all.reduce((a, b) => Math.max(a, b), 0);
    return [0, most > 0 ? most * 1.1 : 1];
  }

  times() {
    return super.times().filter((at) => this.x(at) < this.now - 42); // "now" stands there
  }

  nodes() {
    return [...this.axes(), ...this.replicas(), ...this.short(), ...this.lines(), ...this.soon(),
      drawn("line", { class: "cursor", y1: PAD.top, y2: this.floor, visibility: "hidden" }), drawn("circle", { class: "spot", r: 3.5, visibility: "hidden" })];
  }

  /** The scale on the right: the same heights as replicas. */
  replicas() {
    const { capacity } = this.decision;
    if (!capacity) return [];
    const sizes = ticks(0, this.most / capacity, 4).filter((size) => Number.isInteger(size) && size > 0);
    const x = this.whole_width - SCALE;
    const heights = sizes.map((size) => [size, this.y(size * capacity)]).filter(([, y]) => y > PAD.top + 14);
    return [...heights.map(([size, y]) => label(x + 6, y + 4, "start", String(size))), label(this.whole_width, PAD.top + 4, "end", "replicas")];
  }

  lines() {
    const buckets = Math.max(40, Math.floor((this.now - PAD.left) / 1.5));
    const takes = this.steps(TAKES);
    const areas = takes.map((piece) => `${path(piece)}V${round(this.floor)}H${round(piece[0][0])}Z`).join("");
    return [drawn("path", { class: "band", d: areas }), drawn("path", { class: "takes", d: takes.map(path).join("") }), drawn("path", { class: "has", d: this.steps(HAS).map(path).join("") }),
      drawn("path", { class: "bound", d: this.trace(MOST, { buckets, pick: highest }) }), drawn("path", { class: "actual", d: this.trace(DEMAND, spread(buckets)) })];
  }

  /** Sizes stay until they change, and the newest one up to now. */
  steps(column) {
    return this.pieces(column, middle, Infinity).map((piece) => piece.flatMap((point, index) => (index ? [[point[0], piece[index - 1][1]], point] : [point])));
  }

  /** Spans in which the demand was above what the ready replicas take. */
  shortfalls() {
    const runs = [];
    let run = null;
    for (const point of this.shown) {
      const is_short = point[DEMAND] !== null && point[HAS] !== null && point[DEMAND] > point[HAS];
      if (!is_short) run = null;
      else if (run) run.to = point[AT];
      else runs.push(run = { from: point[AT], to: point[AT] });
    }
    return runs;
  }

  short() {
    const half = usualDistance(this.shown) / 2;
    return this.shortfalls().flatMap(({ from, to }) => {
      const left = Math.max(PAD.left, this.x(from - half)), wide = Math.max(2, Math.min(this.now, this.x(to + half)) - left);
      return [drawn("rect", { class: "region", x: round(left), y: PAD.top, width: round(wide), height: round(this.floor - PAD.top) }),
        drawn("path", { class: "foot-line", d: `M${round(left)} ${this.floor}H${round(left + wide)}` })];
    });
  }

  /** What may be asked for within the window ahead, and what there should be for it. */
  soon() {
    const now = round(this.now), end = this.whole_width - SCALE;
    const nodes = [drawn("rect", { class: "future", x: now, y: PAD.top, width: SOON, height: round(this.floor - PAD.top) }),
      drawn("line", { class: "now", x1: now, x2: now, y1: PAD.top, y2: this.floor }), label(now + 3, this.height - 5, "end", "now"),
      label(now + SOON / 2 + 2, this.height - 5, "middle", `+${ahead(this.decision.window)}`, "ahead")];
    const { demand, demand_forecast: most, capacity } = this.decision;
    const size = proposed(this.decision);
    if (size !== null && capacity !== null) {
      const y = round(this.y(size * capacity));
      nodes.push(drawn("path", { class: "band", d: `M${now} ${y}H${end}V${round(this.floor)}H${now}Z` }), drawn("path", { class: "takes", d: `M${now} ${y}H${end}` }));
    }
    if (most !== null) {
      const y = round(this.y(most)), x = now + SOON * 0.72;
      if (demand !== null) nodes.push(drawn("path", { class: "path-ahead", d: `M${now} ${round(this.y(demand))}L${round(x)} ${y}` }));
      nodes.push(drawn("path", { class: "bound", d: `M${now} ${y}H${end}` }), drawn("path", { class: "point", d: `M${x} ${y - 4.5}L${x + 4.5} ${y}L${x} ${y + 4.5}L${x - 4.5} ${y}Z` }));
    }
    return nodes;
  }
}

/** The middle of the distances between points, milliseconds. */
function usualDistance(points) {
  const all = points.slice(1).map((point, index) => point[AT] - points[index][AT]).sort((a, b) => a - b);
  return all.length ? all[all.length >> 1] : 60000;
}

// === Beginning ===

$("workload").addEventListener("keydown", (event) => picture.key_pressed(event));
$("workload").addEventListener("blur", () => picture.read(null));
$("workload").querySelector("svg.chart").addEventListener("pointermove", (event) => {
  if (picture.plot) picture.read(picture.plot.nearest(event.offsetX));
});
$("workload").querySelector("svg.chart").addEventListener("pointerleave", () => picture.decision && picture.read(null));
$("workload-table").addEventListener("toggle", () => picture.tabulate());
$("workload-log").addEventListener("toggle", () => {
  if ($("workload-log").open) picture.log().catch(showBanner);
});
new ResizeObserver(() => picture.draw()).observe($("workload").querySelector("svg.chart"));
