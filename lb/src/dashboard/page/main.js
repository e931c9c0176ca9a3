// Asks the balancer every second, draws what it says, and says so when it does not answer.

import { ask } from "./balancer.js";
import { count, element, setText } from "./charts.js";
import { Picks } from "./picks.js";
import { Pool } from "./pool.js";
import { Servers } from "./servers.js";

const PERIOD_MS = 1000;
/** Silence that is worth a word: two answers missed. */
const SILENCE_MS = 3 * PERIOD_MS;
const SAID_MS = 8000;

const byId = (id) => document.getElementById(id);
/** What is asked for: see the balancer's query. */
const view = { pool: "", filter: "", order: "", descending: false, rows: 50, server: "" };

let lastSeen = null;
/** When somebody last began to look. */
let watchedFrom = Date.now();
let lastError = "";
let asking = null;
let timer = null;
const pool = new Pool(said, now);
const servers = new Servers(view, said, now);
const picks = new Picks();

/** Asks at once, whatever is under way. */
function now() {
  asking?.abort();
  clearTimeout(timer);
  // What is under way of one gesture is asked for once.
  timer = setTimeout(turn, 0);
}

async function turn() {
  asking = new AbortController();
  const own = asking;
  try {
    const state = await ask(view, own.signal);
    if (own.signal.aborted) return;
    lastSeen = Date.now();
    lastError = "";
    draw(state);
  } catch (error) {
    if (own.signal.aborted) return;
    lastError = error.status ? error.message : "";
  }
  listen();
  if (!document.hidden) timer = setTimeout(turn, PERIOD_MS);
}

function draw(state) {
  byId("stopping").hidden = !state.is_stopping;
  if (!state.pool) return;
  view.pool = state.pool.name;
  drawPools(state);
  pool.update(state.pool, state.policies);
  servers.update(state.pool);
  picks.update(state.pool.picks);
  const own = state.pools.find(({ name }) => name === view.pool);
  setText(byId("pool-ready"), `${own.ready} of ${own.servers} ready`);
  byId("pool-ready").classList.toggle("bad", own.ready < own.servers);
  document.title = `${own.ready}/${own.servers} ${own.name} · Strife`;
  setText(byId("about"), `strife ${state.version}, up ${uptime(state.uptime_s)}. Lines begin when the balancer does.`);
}

function drawPools({ pools }) {
  const nav = byId("pools");
  while (nav.children.length > pools.length) nav.lastChild.remove();
  pools.forEach((one, index) => {
    const tab = nav.children[index] ?? nav.appendChild(newTab());
    const [name, ready] = tab.children;
    setText(name, one.name);
    setText(ready, `${one.ready}/${one.servers}`);
    ready.classList.toggle("bad", one.ready < one.servers);
    tab.title = `${count(one.calls)} calls/s, ${count(one.failures)} errors/s`;
    if (one.name === view.pool) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  });
}

function newTab() {
  const tab = element("button", "tab");
  tab.type = "button";
  tab.append(element("span"), element("span", "ready"));
  tab.addEventListener("click", () => {
    Object.assign(view, { pool: tab.firstChild.textContent, server: "", rows: 50 });
    history.replaceState(null, "", `#${view.pool}`);
    now();
  });
  return tab;
}

/** Whether the balancer answers, in words. */
function listen() {
  const silence = Date.now() - Math.max(lastSeen ?? 0, watchedFrom);
  const isLost = silence > SILENCE_MS || (lastSeen === null && lastError !== "");
  const connection = byId("connection");
  const is = isLost ? "lost" : lastSeen === null ? "waiting" : "live";
  connection.dataset.is = is;
  setText(connection, { lost: "no answer", waiting: "connecting", live: "live" }[is]);
  byId("main").classList.toggle("stale", isLost);
  byId("lost").hidden = !isLost;
  if (!isLost) return;
  const seen = lastSeen === null ? "it has not answered yet" : `last seen ${Math.round((Date.now() - lastSeen) / 1000)} s ago`;
  setText(byId("lost"), lastError || `The balancer does not answer; ${seen}. Asking every second.`);
}

function said(text, className = "") {
  const line = element("p", className, text);
  byId("said").replaceChildren(line);
  setTimeout(() => line.remove(), SAID_MS);
}

function uptime(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [unit, name] = parts.find(([unit]) => seconds >= unit) ?? [1, "s"];
  return `${Math.floor(seconds / unit)} ${name}`;
}

const THEMES = ["", "light", "dark"];
function showTheme() {
  const theme = document.documentElement.dataset.theme ?? "";
  setText(byId("theme"), `Theme: ${theme || "auto"}`);
}
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "") + 1) % THEMES.length];
  if (next) {
    root.dataset.theme = next;
    localStorage.setItem("theme", next);
  } else {
    delete root.dataset.theme;
    localStorage.removeItem("theme");
  }
  showTheme();
});

// Names of pools need no escaping.
view.pool = location.hash.slice(1);
showTheme();
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  watchedFrom = Date.now();
  now();
});
setInterval(() => {
  if (!document.hidden) listen();
}, PERIOD_MS);
now();
