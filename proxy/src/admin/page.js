// Asks the API every two seconds and writes text, never markup: names come from a configuration.
"use strict";

const PERIOD = 2000;
const ROWS = 500;
const before = new Map();

/** How often something happens in a second, from its count now and at the last look. */
function rate(key, count, now) {
  const last = before.get(key);
  before.set(key, { count, now });
  if (!last || count < last.count || now <= last.now) return "";
  return ((count - last.count) / ((now - last.now) / 1000)).toFixed(1);
}

function text(id, value, bad = false) {
  const element = document.getElementById(id);
  element.textContent = value;
  element.className = bad ? "bad" : "";
}

/** Fills a table's body; a number is aligned as one, `{bad}` is stressed. */
function fill(id, rows) {
  const shown = rows.slice(0, ROWS).map((cells) => {
    const row = document.createElement("tr");
    for (const cell of cells) {
      const data = document.createElement("td");
      const bad = cell !== null && typeof cell === "object";
      const value = bad ? cell.bad : cell;
      data.className = typeof value === "number" || /^\d+\.\d$/.test(value) ? "number" : "text";
      if (bad) data.classList.add("bad");
      data.textContent = value ?? "";
      row.append(data);
    }
    return row;
  });
  if (rows.length > ROWS) {
    const row = document.createElement("tr");
    const data = document.createElement("td");
    data.textContent = `and ${rows.length - ROWS} more`;
    row.append(data);
    shown.push(row);
  }
  document.getElementById(id).replaceChildren(...shown);
}

const failures = (count) => (count > 0 ? { bad: count } : count);

function condition(match) {
  const { hosts, path, methods, ...rest } = match ?? {};
  const [kind, pattern] = Object.entries(path ?? {})[0] ?? ["", ""];
  const words = [(methods ?? []).join(","), (hosts ?? []).join(" "), pattern && `${kind} ${pattern}`];
  for (const [what, tests] of Object.entries(rest)) {
    words.push(`${what}: ${tests.map((test) => test.name).join(", ")}`);
  }
  return words.filter(Boolean).join(" · ");
}

function action(action) {
  if (action?.backends) {
    return "→ " + action.backends.map((it) => `${it.upstream} ×${it.weight}`).join(", ");
  }
  if (action?.redirect) return `redirect ${action.redirect.status}`;
  if (action?.reply) return `reply ${action.reply.status}`;
  return "";
}

function show([version, listeners, routes, upstreams], now) {
  const { lastReload } = version;
  const state = version.draining ? "draining" : "ready";
  text("summary", `${version.version} · generation ${version.generation} · ${state} · ` +
    `${version.workers} workers · since ${version.started}`, version.draining);
  document.getElementById("trouble").hidden = !lastReload.report && !lastReload.stale.length;
  document.getElementById("stale").replaceChildren(...lastReload.stale.map((file) => {
    const item = document.createElement("li");
    item.textContent = `${file}: its last good version serves`;
    return item;
  }));
  text("report", lastReload.report);
  fill("listeners", listeners.listeners.map((it) => [
    it.name, it.kind, it.address ?? "", it.tls ? "yes" : "", it.connections ?? "",
    it.requests == null ? "" : rate(`listener ${it.name}`, it.requests, now),
  ]));
  // A route counts once, however many listeners carry it.
  const rates = new Map();
  const perSecond = (route) => {
    if (!rates.has(route.name)) rates.set(route.name, rate(`route ${route.name}`, route.requests, now));
    return rates.get(route.name);
  };
  fill("routes", routes.listeners.flatMap((listener) => listener.routes.map((it) => [
    listener.name, it.name, condition(it.match), action(it.action), it.requests, perSecond(it),
    failures(it.serverErrors), it.location,
  ])));
  fill("upstreams", upstreams.upstreams.flatMap((upstream) => {
    const connections = `${upstream.openConnections} of ${upstream.maxConnections} open, ` +
      `${upstream.idleConnections} idle, ${upstream.pendingRequests} waiting`;
    const names = upstream.dns.map((it) => it.lastError ? `${it.host}: ${it.lastError}` : it.host).join(", ");
    const broken = upstream.dns.some((it) => it.lastError);
    const rest = [connections, broken ? { bad: names } : names];
    if (!upstream.endpoints.length) return [[upstream.name, { bad: "none" }, "", "", "", "", ...rest]];
    return upstream.endpoints.map((it, index) => [
      index ? "" : upstream.name, it.address, it.weight, it.inFlight,
      rate(`endpoint ${upstream.name} ${it.address}`, it.requests, now), failures(it.failures),
      ...(index ? ["", ""] : rest),
    ]);
  }));
  for (const [key, last] of before) if (last.now !== now) before.delete(key);
}

async function look() {
  try {
    const answers = await Promise.all(["/version", "/listeners", "/routes", "/upstreams"].map(
      async (path) => {
        const answer = await fetch(path);
        if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
        return answer.json();
      }));
    show(answers, performance.now());
  } catch (error) {
    text("summary", `No answer: ${error.message}`, true);
  }
  setTimeout(look, PERIOD);
}

look();
