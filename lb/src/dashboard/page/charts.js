// Lines over the last minutes, as SVG. A chart is made once and then only told new values, so that
// nothing on the page moves but its lines.

const SVG = "http://www.w3.org/2000/svg";
/** Height of a plot in its own units; its width is one unit a second. */
const HEIGHT = 100;

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function svg(tag, className) {
  const made = document.createElementNS(SVG, tag);
  made.setAttribute("class", className);
  return made;
}

/** Sets what differs, so that an update without a change costs nothing. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function count(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)}M`;
  if (value >= 1e4) return `${(value / 1e3).toPrecision(3)}k`;
  if (value >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return value.toFixed(value >= 10 ? 1 : 2).replace(/\.?0+$/, "");
}

export function latency(us) {
  if (us === null || us === undefined) return "–";
  if (us < 1000) return `${us} µs`;
  if (us < 1e6) return `${(us / 1e3).toPrecision(us < 1e5 ? 2 : 3)} ms`;
  return `${(us / 1e6).toPrecision(2)} s`;
}

export function fraction(value) {
  return value === null || value === undefined ? "–" : value.toFixed(2);
}

/** The next of 1, 2, 5, 10, … so that the scale seldom changes. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

function line(values, width, top) {
  let path = "";
  let pen = "M";
  values.forEach((value, index) => {
    if (value === null) {
      pen = "M";
      return;
    }
    const x = width - values.length + 1 + index;
    const y = HEIGHT - (value / top) * HEIGHT;
    path += `${pen}${x} ${y.toFixed(1)}`;
    // A single second among silence is a dot, which a round cap draws.
    if (pen === "M" && (values[index + 1] ?? null) === null) path += `L${x} ${y.toFixed(1)}`;
    pen = "L";
  });
  return path;
}

/**
 * A chart with a title, the newest values, and those under the pointer or the arrow keys.
 * `lines`: [{ name, look }]; `look` is one of the classes of style.css.
 */
export class Chart {
  constructor({ title, lines, format, least = 1, most = null }) {
    Object.assign(this, { title, format, least, most, cursor: null, series: [], width: 1 });
    this.figure = element("figure", lines.length > 1 ? "chart wide" : "chart");
    const caption = element("figcaption");
    caption.append(element("span", "title", title));
    this.when = element("span", "when");
    caption.append(this.when);
    this.values = element("p", "values");
    this.plot = element("div", "plot");
    this.plot.tabIndex = 0;
    this.plot.setAttribute("role", "img");
    this.picture = svg("svg", "lines");
    this.picture.setAttribute("preserveAspectRatio", "none");
    this.rule = svg("path", "rule");
    this.paths = lines.map(({ look }) => svg("path", look));
    const grid = svg("path", "grid");
    this.grid = grid;
    this.picture.append(grid, ...this.paths, this.rule);
    this.top = element("span", "top-label");
    this.plot.append(this.picture, this.top);
    this.numbers = lines.map(({ name, look }) => {
      const number = element("b");
      const label = element("span", "value");
      if (lines.length > 1) label.append(element("i", `key ${look}`), `${name} `);
      label.append(number);
      this.values.append(label);
      return number;
    });
    this.names = lines.map(({ name }) => name);
    const axis = element("p", "axis");
    this.begin = element("span");
    axis.append(this.begin, element("span", "", "now"));
    this.figure.append(caption, this.values, this.plot, axis);
    this.listen();
  }

  listen() {
    this.plot.addEventListener("pointermove", (event) => {
      const box = this.plot.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      this.point(Math.round((1 - share) * (this.width - 1)));
    });
    for (const end of ["pointerleave", "blur"]) {
      this.plot.addEventListener(end, () => this.point(null));
    }
    this.plot.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: 5, ArrowRight: -5 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.point((this.cursor ?? 0) + step);
    });
  }

  /** Shows the values of so many seconds ago; the newest for null. */
  point(ago) {
    const last = Math.max(...this.series.map((values) => values.length), 1) - 1;
    this.cursor = ago === null ? null : Math.min(Math.max(ago, 0), last);
    this.label();
  }

  /** `series`: one list for each line, the newest last; `width`: seconds there is room for. */
  update(series, width) {
    Object.assign(this, { series, width });
    this.picture.setAttribute("viewBox", `1 0 ${width - 1} ${HEIGHT}`);
    const highest = series.flat().reduce((most, value) => Math.max(most, value ?? 0), 0);
    const top = this.most ?? roundUp(Math.max(highest, this.least));
    this.grid.setAttribute("d", `M1 0H${width}M1 50H${width}M1 ${HEIGHT}H${width}`);
    series.forEach((values, index) => {
      this.paths[index].setAttribute("d", line(values, width, top));
    });
    setText(this.top, this.format(top));
    setText(this.begin, width >= 120 ? `${Math.round(width / 60)} min ago` : `${width} s ago`);
    this.label();
  }

  label() {
    const ago = this.cursor ?? 0;
    const at = this.series.map((values) => values[values.length - 1 - ago] ?? null);
    at.forEach((value, index) => setText(this.numbers[index], this.format(value)));
    setText(this.when, this.cursor ? `${ago} s ago` : "");
    const x = this.width - ago;
    this.rule.setAttribute("d", this.cursor === null ? "" : `M${x} 0V${HEIGHT}`);
    const said = at.map((value, index) => `${this.names[index]} ${this.format(value)}`);
    this.plot.setAttribute("aria-label", `${this.title}: ${said.join(", ")}`);
  }
}

/** A line without words, beside the number it leads to. */
export class Sparkline {
  constructor(look) {
    this.picture = svg("svg", "sparkline");
    this.picture.setAttribute("preserveAspectRatio", "none");
    this.picture.setAttribute("aria-hidden", "true");
    this.path = svg("path", look);
    this.picture.append(this.path);
  }

  /** `top`: what reaches the top, the same for all rows, so that they can be compared. */
  update(values, points, top) {
    this.picture.setAttribute("viewBox", `1 -4 ${points - 1} ${HEIGHT + 8}`);
    this.path.setAttribute("d", line(values, points, Math.max(top, 1e-9)));
  }
}
