// The servers of the pool that is shown: a table on wide screens, a card each on narrow ones. Rows
// are kept by address and told new values.

import { setDrain } from "./balancer.js";
import { Chart, Sparkline, count, element, latency, setText } from "./charts.js";

const byId = (id) => document.getElementById(id);

/** What a column is ordered by, and whether its most comes first. */
const COLUMNS = [
  { title: "Server", order: "address", className: "server" },
  { title: "State", order: "trouble", className: "state" },
  { title: "Share", order: "share", descending: true, className: "share" },
  { title: "Calls/s", order: "calls", descending: true, className: "calls" },
  { title: "Errors/s", order: "failures", descending: true, className: "errors" },
  { title: "Under way", order: "in_flight", descending: true, className: "in-flight" },
  { title: "p50", className: "p50" },
  { title: "p99", order: "latency", descending: true, className: "p99" },
  { title: "Report", order: "report_age", descending: true, className: "report" },
  { title: "", className: "action" },
];

const DETAILS = [
  { title: "Calls a second", key: "calls", look: "calls", format: count },
  { title: "Errors a second", key: "failures", look: "failures", format: count },
  { title: "Calls under way", key: "in_flight", look: "in-flight", format: count },
  { title: "Latency p99", key: "p99_us", look: "p99", format: latency, least: 100 },
];

export class Servers {
  /** `view`: what is asked for, changed here; see main.js for the rest. */
  constructor(view, said, changed) {
    Object.assign(this, { view, said, changed, rows: new Map(), pool: null, details: null });
    this.body = byId("rows");
    this.headers = COLUMNS.map((column) => this.header(column));
    byId("columns").append(...this.headers);
    const orders = COLUMNS.filter(({ order }) => order);
    byId("order").append(...orders.map(({ title, order }) => {
      const option = element("option", "", title);
      option.value = order;
      return option;
    }));
    byId("order").addEventListener("change", (event) => {
      this.order(orders.find(({ order }) => order === event.target.value));
    });
    byId("filter").addEventListener("input", (event) => {
      this.view.filter = event.target.value;
      this.changed();
    });
    byId("more").addEventListener("click", () => {
      this.view.rows = 200;
      this.changed();
    });
    this.question = new Question(said, changed);
    this.order(COLUMNS[1]);
  }

  header(column) {
    const header = element("th", column.className);
    header.scope = "col";
    if (!column.order) {
      header.append(column.title);
      return header;
    }
    const button = element("button", "", column.title);
    button.type = "button";
    button.addEventListener("click", () => this.order(column));
    header.append(button);
    return header;
  }

  /** Orders by a column; the other way round if it is the one already. */
  order({ order, descending = false }) {
    const again = this.view.order === order;
    this.view.order = order;
    this.view.descending = again ? !this.view.descending : descending;
    COLUMNS.forEach((column, index) => {
      const way = this.view.descending ? "descending" : "ascending";
      if (column.order === order) this.headers[index].setAttribute("aria-sort", way);
      else this.headers[index].removeAttribute("aria-sort");
    });
    byId("order").value = order;
    this.changed();
  }

  update(pool) {
    const { servers } = pool;
    if (this.pool !== pool.name) {
      this.rows.clear();
      this.body.replaceChildren();
      this.pool = pool.name;
    }
    const top = (of) => Math.max(...servers.shown.flatMap((server) => (server.trend ? of(server.trend) : [])), 0);
    const tops = { calls: top((trend) => trend.calls), p99: top((trend) => trend.p99_us) };
    const shown = new Set(servers.shown.map(({ address }) => address));
    for (const [address, row] of this.rows) {
      if (shown.has(address)) continue;
      row.remove();
      this.rows.delete(address);
    }
    let before = null;
    for (const server of servers.shown) {
      let row = this.rows.get(server.address);
      if (!row) {
        row = new Row(server.address, this);
        this.rows.set(server.address, row);
      }
      row.update(server, servers.trend_points, tops);
      row.place(this.body, before);
      before = row.last();
    }
    this.count(servers);
    this.detail(servers.one, pool.trend_s);
  }

  count({ total, matching, shown }) {
    const all = total === 1 ? "1 server" : `${total} servers`;
    let text = matching === total ? all : `${matching} of ${all}`;
    if (shown.length < matching) text += `, the first ${shown.length} shown`;
    setText(byId("servers-count"), text);
    byId("more").hidden = shown.length >= matching || this.view.rows >= 200;
    byId("none").hidden = shown.length > 0;
    setText(byId("none"), total ? "No server matches the filter." : "This pool has no servers yet.");
  }

  /** Opens or closes what is shown of one server second by second. */
  toggle(address) {
    this.rows.get(this.view.server)?.close();
    this.view.server = this.view.server === address ? "" : address;
    this.details = null;
    if (this.view.server) {
      this.details = DETAILS.map((detail) => ({
        key: detail.key,
        chart: new Chart({ ...detail, lines: [{ name: detail.title, look: detail.look }] }),
      }));
      this.rows.get(address).open(this.details.map(({ chart }) => chart.figure));
    }
    this.changed();
  }

  detail(one, width) {
    if (!one || one.address !== this.view.server || !this.details) return;
    for (const { key, chart } of this.details) {
      chart.update([one.trend ? one.trend[key] : []], width);
    }
  }
}

/** A server's row, and the one below it if it is open. */
class Row {
  constructor(address, table) {
    this.address = address;
    this.row = element("tr");
    this.below = null;
    const cell = (className, ...content) => {
      const made = element("td", className);
      made.append(...content);
      this.row.append(made);
      return made;
    };
    this.opener = element("button", "opener", address);
    this.opener.type = "button";
    this.opener.title = `${address}, second by second`;
    this.opener.setAttribute("aria-expanded", "false");
    this.opener.addEventListener("click", () => table.toggle(address));
    this.why = element("p", "why");
    cell("server", this.opener, this.why);
    this.state = element("span", "chip");
    cell("state", this.state);
    this.bar = element("span", "bar");
    this.bar.append(element("i"));
    this.share = element("span", "number");
    cell("share", this.bar, this.share).dataset.label = "share";
    const trend = (className, label, look) => {
      const [sparkline, number] = [new Sparkline(look), element("span", "number")];
      cell(className, sparkline.picture, number).dataset.label = label;
      return { sparkline, number };
    };
    const plain = (className, label) => {
      const number = element("span", "number");
      cell(className, number).dataset.label = label;
      return number;
    };
    this.calls = trend("calls", "calls/s", "calls");
    this.errors = plain("errors", "errors/s");
    this.inFlight = plain("in-flight", "under way");
    this.p50 = plain("p50", "p50");
    this.p99 = trend("p99", "p99", "p99");
    this.report = plain("report", "report");
    this.button = element("button");
    this.button.type = "button";
    this.button.addEventListener("click", () => table.question.ask(table.pool, this.server));
    cell("action", this.button);
  }

  update(server, points, tops) {
    this.server = server;
    this.row.dataset.state = server.state;
    setText(this.state, server.state);
    setText(this.why, server.why);
    this.why.title = server.why;
    this.bar.firstChild.style.width = `${server.share * 100}%`;
    setText(this.share, `${(server.share * 100).toFixed(1)}%`);
    const { trend } = server;
    this.calls.sparkline.update(trend ? trend.calls : [], points, tops.calls);
    setText(this.calls.number, count(server.calls));
    setText(this.errors, count(server.failures));
    this.errors.classList.toggle("bad", server.failures > 0);
    setText(this.inFlight, count(server.in_flight));
    setText(this.p50, latency(server.p50_us));
    this.p99.sparkline.update(trend ? trend.p99_us : [], points, tops.p99);
    setText(this.p99.number, latency(server.p99_us));
    setText(this.report, age(server.report_age_ms));
    const drained = server.state === "DRAINING";
    setText(this.button, drained ? "Undrain" : "Drain");
    this.button.setAttribute("aria-label", `${drained ? "Undrain" : "Drain"} ${server.address}`);
  }

  /** Puts it behind `before`, or first; does nothing where it stands there already. */
  place(body, before) {
    const next = before ? before.nextSibling : body.firstChild;
    if (next === this.row) return;
    body.insertBefore(this.row, next);
    if (this.below) body.insertBefore(this.below, this.row.nextSibling);
  }

  last() {
    return this.below ?? this.row;
  }

  open(figures) {
    const cell = element("td");
    cell.colSpan = COLUMNS.length;
    const charts = element("div", "charts");
    charts.append(...figures);
    cell.append(charts);
    this.below = element("tr", "details");
    this.below.append(cell);
    this.row.after(this.below);
    this.opener.setAttribute("aria-expanded", "true");
  }

  close() {
    this.below?.remove();
    this.below = null;
    this.opener.setAttribute("aria-expanded", "false");
  }

  remove() {
    this.close();
    this.row.remove();
  }
}

/** Asks before a server is drained; to undrain one is harmless. */
class Question {
  constructor(said, changed) {
    Object.assign(this, { said, changed, server: null, pool: null, force: false });
    this.dialog = byId("drain");
    this.button = byId("drain-do");
    this.button.addEventListener("click", () => this.set(true));
  }

  ask(pool, server) {
    Object.assign(this, { pool, server, force: false });
    if (server.state === "DRAINING") {
      this.set(false);
      return;
    }
    setText(byId("drain-title"), `Drain ${server.address}?`);
    setText(byId("drain-what"), `New calls of pool ${pool} go to its other servers. Calls under way end as if nothing had happened.`);
    byId("drain-refused").hidden = true;
    setText(this.button, "Drain");
    this.dialog.showModal();
  }

  async set(drain) {
    const { address } = this.server;
    try {
      await setDrain(this.pool, address, drain, this.force);
      this.dialog.close();
      this.said(drain ? `${address} drains: it gets no new calls` : `${address} may have calls again`);
    } catch (error) {
      if (!drain) {
        this.said(`${address}: not undrained: ${error.message}`, "refused");
        return;
      }
      const refused = byId("drain-refused");
      setText(refused, error.message);
      refused.hidden = false;
      // It is the last one: that can be wanted too.
      this.force = error.status === 409;
      setText(this.button, this.force ? "Drain all the same" : "Try again");
    }
    this.changed();
  }
}

function age(ms) {
  if (ms === null) return "–";
  if (ms < 1000) return `${ms} ms`;
  return ms < 90000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60000)} min`;
}
