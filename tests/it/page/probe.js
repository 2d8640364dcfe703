// What the browser test asks of the page. Everything is measured as drawn, nothing is taken from page.js.
globalThis.probe = (() => {
  const numbers = (text) => (text.match(/NaN|Infinity|undefined|-?\d+(\.\d+)?(e-?\d+)?/g) ?? []).map(Number);
  const visible = (node) => node.checkVisibility({ visibilityProperty: true });

  function chart(card) {
    const svg = card.querySelector("svg.chart");
    const box = svg.viewBox.baseVal;
    const all = (selector) => [...svg.querySelectorAll(selector)];
    const d = (selector) => all(selector).map((node) => node.getAttribute("d") ?? "").join(" ");
    const attributes = all("*").flatMap((node) => ["d", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "cx", "cy"]
      .filter((name) => node.hasAttribute(name)).map((name) => [name, node.getAttribute(name)]));
    const inside = all("path, rect").every((node) => {
      const drawn = node.getBBox();
      return drawn.x >= -1 && drawn.y >= -1 && drawn.x + drawn.width <= box.width + 1 && drawn.y + drawn.height <= box.height + 1;
    });
    return {
      signal: card.closest("section").dataset.signal,
      title: card.querySelector("h3").textContent,
      active: card.dataset.active === "true",
      badge: card.querySelector(".badge").textContent,
      values: card.querySelector(".values").textContent,
      role: svg.getAttribute("role"),
      label: svg.getAttribute("aria-label") ?? "",
      actual: numbers(d(".actual")).length / 2,
      expected: numbers(d(".expected")).length / 2,
      band: numbers(d(".band")).length / 2,
      shapes: d(".actual"),
      closed: d(".band").includes("Z"),
      forecasts: all(".point").length,
      bars: all(".bar-line").length,
      regions: all(".region").length,
      marks: all(".mark").length,
      finite: attributes.every(([, text]) => numbers(text).every(Number.isFinite)),
      inside,
      width: box.width,
      height: box.height,
    };
  }

  const charts = () => [...document.querySelectorAll(".card")].map(chart);

  /** The list of workloads. */
  const rows = () => [...document.querySelectorAll("#workloads-list tbody tr")].map((row) => {
    const [recommended, asked, ready, gate, why] = [...row.querySelectorAll("td")].map((cell) => cell.textContent);
    const button = row.querySelector("button");
    return { name: button.textContent, pressed: button.getAttribute("aria-pressed"), mode: row.querySelector(".badge").textContent, recommended, asked, ready, gate, why };
  });

  /** The workload that is drawn. */
  function workload() {
    const card = document.querySelector("#workload");
    const svg = card.querySelector("svg.chart");
    const box = svg.viewBox.baseVal;
    const all = (selector) => [...svg.querySelectorAll(selector)];
    const d = (selector) => all(selector).map((node) => node.getAttribute("d") ?? "").join(" ");
    const inside = all("path, rect").every((node) => {
      const drawn = node.getBBox();
      return drawn.x >= -1 && drawn.y >= -1 && drawn.x + drawn.width <= box.width + 1 && drawn.y + drawn.height <= box.height + 1;
    });
    const name = card.querySelector("h3").textContent;
    const texts = all("*").flatMap((node) => [...node.attributes].filter(({ name: own }) => /^(d|[xy][12]?|width|height|c[xy])$/.test(own)).map(({ value }) => value));
    return {
      name,
      gate: rows().find((row) => row.name === name)?.gate,
      label: svg.getAttribute("aria-label") ?? "",
      actual: numbers(d(".actual")).length / 2,
      takes: numbers(d(".takes")).length / 2,
      shapes: d(".actual"),
      closed: d(".band").includes("Z"),
      finite: texts.every((text) => numbers(text).every(Number.isFinite)),
      inside,
    };
  }

  /** Elements that stick out of the window, except inside what scrolls by itself. */
  function sticking() {
    return [...document.body.querySelectorAll("*")]
      .filter((node) => visible(node) && !node.closest("svg, .skip, .hidden, .fallback, legend") && node.getBoundingClientRect().right > innerWidth + 0.5)
      .map((node) => `${node.tagName}.${node.className}`)
      .concat(document.scrollingElement.scrollWidth > innerWidth ? [`page ${document.scrollingElement.scrollWidth} wide in ${innerWidth}`] : []);
  }

  /** Pairs of labels of one chart that lie over each other. */
  function overlaps() {
    return [...document.querySelectorAll("svg.chart")].flatMap((svg) => {
      const boxes = [...svg.querySelectorAll("text")].map((node) => [node.textContent, node.getBoundingClientRect()]);
      return boxes.flatMap(([one, a], index) => boxes.slice(index + 1)
        .filter(([, b]) => a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom)
        .map(([other]) => `${one} / ${other}`));
    });
  }

  // A canvas turns any notation of a colour into its four numbers.
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  function colour(text) {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = text;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  }
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  function ground(node) {
    const own = colour(getComputedStyle(node).backgroundColor);
    if (own[3] === 1) return own;
    return over(own, node.parentElement ? ground(node.parentElement) : [255, 255, 255, 1]);
  }
  function luminance([r, g, b]) {
    const linear = [r, g, b].map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  }
  /** The contrast ratio of WCAG 2. */
  function ratio(one, other) {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  }

  /** Texts below 4.5:1 and drawn lines below 3:1 against what they lie on. */
  function faint() {
    const found = new Map();
    const note = (node, kind, value, least) => {
      if (value < least) found.set(`${kind} ${node.tagName}.${node.getAttribute("class")}: ${value.toFixed(2)}`, true);
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode.parentElement;
      if (!walker.currentNode.textContent.trim() || !visible(node) || node.closest("svg, script, noscript, .hidden, .skip, legend")) continue;
      const under = ground(node);
      note(node, "text", ratio(over(colour(getComputedStyle(node).color), under), under), 4.5);
    }
    for (const node of document.querySelectorAll("svg.chart text")) {
      const under = ground(node.closest(".card, .workload"));
      note(node, "label", ratio(colour(getComputedStyle(node).fill), under), 4.5);
    }
    for (const node of document.querySelectorAll(".chart .actual, .chart .expected, .chart .edge, .chart .bar-line, .chart .anomalous, .chart .foot-line, .chart .takes, .chart .has, .chart .bound")) {
      const under = ground(node.closest(".card, .workload"));
      note(node, "line", ratio(over(colour(getComputedStyle(node).stroke), under), under), 3);
    }
    return [...found.keys()];
  }

  const focused = () => ({
    tag: document.activeElement.tagName,
    kind: document.activeElement.className,
    outline: getComputedStyle(document.activeElement).outlineStyle,
    name: document.activeElement.textContent.slice(0, 60),
  });

  return { charts, rows, workload, sticking, overlaps, faint, focused };
})();
