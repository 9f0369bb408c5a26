// The list of requests: which of them were slow, waited or failed.

import { byId, make, mark, onceAFrame, write } from "./dom.js";
import { count, counted, duration, line, running, timeOfDay } from "./format.js";
import { showSorting, VirtualList } from "./virtual_list.js";

const KEPT = 2000;
const COLUMNS = [
  { name: "method", title: "Method" },
  { name: "path", title: "Path" },
  { name: "status", title: "Status" },
  { name: "warnings", title: "Warnings" },
  { name: "took", title: "Duration", sorts: true },
  { name: "queries", title: "Queries", sorts: true },
  { name: "database", title: "In database", sorts: true },
  { name: "waited", title: "Waited", sorts: true },
  { name: "time", title: "Time", sorts: true, hint: "When it began" },
];
const KINDS = {
  all: () => true,
  "under way": (request) => underWay(request),
  warnings: (request) => request.moments.length > 0,
  errors: (request) => failed(request),
};
const SORTS = {
  time: (request) => request.n,
  took: (request) => request.duration ?? (request.n ? Infinity : -1),
  queries: (request) => request.queries,
  database: (request) => request.database,
  waited: (request) => request.waited,
};

export const underWay = (request) => request.n !== 0 && request.duration === null;
export const failed = (request) => Boolean(request.error) || request.status >= 500;

export class RequestsView {
  constructor({ open, draws }) {
    this.known = new Map();
    this.kind = "all";
    this.sorted = "time";
    this.filter = byId("filter");
    this.draw = onceAFrame(() => this.#draw());
    this.list = new VirtualList(byId("request-list"), {
      label: "Requests",
      columns: COLUMNS,
      key: (request) => request.n,
      attribute: "request",
      anchored: true,
      fill,
      sort: (name) => {
        this.sorted = name;
        this.list.scroller.scrollTop = 0;
        this.draw();
      },
      open: (request) => open(request.n),
    });
    this.filter.oninput = this.draw;
    for (const button of document.querySelectorAll("[data-only]")) {
      button.onclick = () => {
        this.kind = button.dataset.only;
        this.draw();
      };
    }
    byId("show-all").onclick = () => {
      this.filter.value = "";
      this.kind = "all";
      this.filter.focus();
      this.draw();
    };
    setInterval(() => {
      if (!draws() || ![...this.known.values()].some(underWay)) return;
      this.list.stale = true; // Their clocks go on.
      this.list.draw();
    }, 500);
  }

  // Take what is new or changed; nothing may be left out, even while nothing is drawn.
  merge({ reset, requests }) {
    if (reset) this.known.clear();
    for (const request of requests) this.known.set(request.n, request);
    if (this.known.size <= KEPT) return;
    // The oldest go, but none that hangs: that is the one somebody is looking for.
    const done = [...this.known.values()].filter((request) => request.n !== 0 && !underWay(request));
    done.sort((a, b) => a.n - b.n);
    for (const { n } of done.slice(0, this.known.size - KEPT)) this.known.delete(n);
  }

  // To the first that was found, also by what was typed since the last frame.
  toFirst() {
    this.#draw();
    this.list.focus();
    this.list.select(0);
  }

  // The one before or after in the order of the list.
  beside(n, by) {
    const index = this.list.indexOf(n);
    return index < 0 ? undefined : this.list.items[index + by];
  }

  key(event) {
    if (event.key === "/") this.filter.focus();
    else return this.list.pressed(event);
    event.preventDefault();
    return true;
  }

  #draw() {
    const all = [...this.known.values()];
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const value = SORTS[this.sorted];
    const found = all
      .filter((request) => KINDS[this.kind](request) && words.every((word) => fits(request, word)))
      .sort((a, b) => value(b) - value(a) || b.n - a.n);
    for (const button of document.querySelectorAll("[data-only]")) {
      const kind = button.dataset.only;
      mark(button, "aria-pressed", kind === this.kind ? "true" : "false");
      const number = all.filter(KINDS[kind]).length;
      write(button.querySelector("span"), count(number));
      mark(button, "data-none", !number);
    }
    showSorting(this.list, this.sorted, true);
    this.list.show(found);
    byId("no-requests").hidden = all.length > 0;
    byId("none-found").hidden = !all.length || found.length > 0;
    byId("request-list").hidden = !found.length;
    const part = found.length < all.length ? `${count(found.length)} of ` : "";
    write(byId("request-count"), all.length ? `${part}${counted(all.length, "request")}` : "");
  }
}

// Each word narrows it down: a method, the beginning of a status (5, 50x), a warning, part of a path.
function fits(request, word) {
  if (/^[1-5](\d{0,2}|\d?x{1,2})$/.test(word)) {
    const digits = word.replace(/x+$/, "");
    if (request.status !== null && String(request.status).startsWith(digits)) return true;
  }
  return (
    request.method.toLowerCase() === word ||
    request.path.toLowerCase().includes(word) ||
    request.moments.some((kind) => kind.startsWith(word)) ||
    word === `#${request.n}` ||
    (request.error !== null && request.error.toLowerCase().includes(word))
  );
}

function fill(cells, request, row) {
  const link = cells.path.firstElementChild ?? cells.path.appendChild(make("a", { tabindex: -1 }));
  write(cells.method, line(request.method, 16) || "—");
  write(link, line(request.path));
  mark(link, "href", `#requests/${request.n}`);
  mark(link, "title", line(request.path, 1000));
  write(cells.status, statusText(request));
  mark(cells.status, "title", request.error ? line(request.error) : null);
  tags(cells.warnings, request.moments, request.error);
  write(cells.took, underWay(request) ? elapsed(request) : duration(request.duration));
  write(cells.queries, count(request.queries));
  write(cells.database, duration(request.database));
  write(cells.waited, request.waited >= 1 ? duration(request.waited) : "");
  write(cells.time, timeOfDay(request.time));
  mark(row, "data-under-way", underWay(request));
  mark(row, "data-failed", failed(request));
  mark(row, "data-warned", request.moments.length > 0);
}

export function statusText(request) {
  if (request.n === 0) return "—";
  if (underWay(request)) return request.status ? `${request.status} …` : "under way";
  return request.status === null ? "none" : String(request.status);
}

export function elapsed(request) {
  return running(Date.now() / 1000 - request.time);
}

export function tags(cell, kinds, error) {
  const wanted = [...new Set(kinds)].map((kind) => line(kind, 40));
  if (error) wanted.unshift(line(error, 60));
  const shown = wanted.join("\n");
  if (cell.tags === shown) return;
  cell.tags = shown;
  cell.replaceChildren(
    ...wanted.map((kind, index) => make(error && !index ? "span.tag.failed" : "span.tag", {}, kind)),
  );
}
