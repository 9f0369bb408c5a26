// The execution table: every step of one request with what was before and after it, a waterfall,
// and all about the step that is chosen. Other pages use it too:
//
//   const table = new ExecutionTable(element, { compact: true });
//   table.show(await (await fetch("inspector/requests/17")).json());

import { make, mark, write } from "./dom.js";
import { count, duration, fullPlace, line, seconds, shortPlace } from "./format.js";
import { StepDetail } from "./step_detail.js";
import { VirtualList } from "./virtual_list.js";

const COLUMNS = [
  { name: "step", title: "Step" },
  { name: "action", title: "Action" },
  { name: "async", title: "Async operation", hint: "Does the event loop go on with others meanwhile?" },
  { name: "before", title: "State before" },
  { name: "after", title: "State after" },
  { name: "result", title: "Output/result" },
  { name: "place", title: "Place", hint: "The line of your code" },
  { name: "took", title: "Duration" },
  { name: "waterfall", title: "Waterfall", hint: "From the request's beginning to its end" },
];

const CROWDED = 60; // More steps than this, and bars over the whole request are hairlines.

const PARTS = [
  ["queue", "queue", "waiting for a connection or for its turn"],
  ["query", "query", "the database at work"],
  ["decode", "decode", "making rows of what came back"],
];

export class ExecutionTable {
  // Whenever another step is chosen, `container` gets the event "step", its detail { step, index }.
  constructor(container, { compact = false } = {}) {
    this.container = container;
    this.steps = [];
    this.root = make(`div.inspector.execution${compact ? ".compact" : ""}`);
    this.notice = make("p.cut", { hidden: true });
    const table = make("div.execution-table", {}, this.notice);
    this.list = new VirtualList(table, {
      label: "Execution table",
      columns: COLUMNS,
      key: (step) => step.n,
      attribute: "step",
      fill: (cells, step, row, index) => this.#fill(cells, step, row, index),
      select: (step, index) => this.#chosen(step, index),
      sight: (first, end) => this.#scale(first, end),
    });
    this.range = make("span.range");
    this.zoom = make("button", { type: "button", onclick: () => this.#zoom(!this.zoomed) }, "Zoom");
    mark(this.zoom, "title", "Stretch the waterfall to the steps in sight");
    table.append(make("div.scale", {}, legend(), this.range, this.zoom));
    this.detail = new StepDetail();
    this.root.append(table, this.detail.element);
    container.append(this.root);
  }

  get index() {
    return this.list.selected;
  }

  get total() {
    return this.steps.length + this.cut;
  }

  // The number that the reader sees: the lesson counts from one, what is no longer kept included.
  position(index) {
    return index + 1 + (index >= this.prologue ? this.cut : 0);
  }

  show(detail) {
    const another = detail.summary.n !== this.summary?.n;
    this.summary = detail.summary;
    this.prologue = detail.prologue.length;
    this.cut = detail.cut;
    this.steps = [...detail.prologue, ...detail.steps];
    this.found = null;
    this.#measure(detail);
    this.marked = new Map();
    for (const moment of detail.moments) {
      for (const n of moment.steps) {
        this.marked.set(n, [...(this.marked.get(n) ?? []), moment]);
      }
    }
    this.notice.hidden = !detail.cut;
    write(
      this.notice,
      detail.cut ? `The first ${count(detail.cut)} steps of this request are no longer kept.` : "",
    );
    if (another) {
      this.#zoom(this.steps.length > CROWDED);
      this.list.selected = -1;
      this.list.scroller.scrollTop = 0;
    }
    this.list.show(this.steps);
    if (this.index >= 0) this.#describe(this.index);
    else if (this.steps.length) this.choose(Math.min(this.prologue, this.steps.length - 1), true);
  }

  // Where the step with the number n is; undefined when it is not kept.
  place(n) {
    this.found ??= new Map(this.steps.map((step, index) => [step.n, index]));
    return this.found.get(n);
  }

  // Choose the step with the number n; false when it is not kept.
  select(n) {
    const index = this.place(n);
    if (index !== undefined) this.choose(index);
    return index !== undefined;
  }

  choose(index, quietly = false) {
    this.list.select(index, { quietly });
    if (quietly && this.steps[this.index]) this.#describe(this.index);
  }

  #chosen(step, index) {
    this.#describe(index);
    this.container.dispatchEvent(new CustomEvent("step", { detail: { step, index } }));
  }

  #describe(index) {
    const step = this.steps[index];
    this.detail.show(step, this.position(index), this.marked.get(step.n) ?? []);
  }

  // The waterfall shows the request itself; the prologue may be hours away.
  #measure({ steps, summary }) {
    let from = 0;
    let to = summary.duration ?? 0;
    for (const step of steps) {
      from = Math.min(from, step.at - step.duration);
      to = Math.max(to, step.at);
    }
    this.whole = [from, to];
  }

  #zoom(zoomed) {
    this.zoomed = zoomed;
    mark(this.zoom, "aria-pressed", zoomed ? "true" : "false");
    this.list.stale = true;
    this.list.draw();
  }

  // From when to when the waterfall goes; true if that has changed.
  #scale(first, end) {
    let [from, to] = this.whole;
    if (this.zoomed && end > this.prologue) {
      const seen = this.steps.slice(Math.max(first, this.prologue), end);
      from = Math.min(...seen.map((step) => step.at - step.duration));
      to = Math.max(...seen.map((step) => step.at));
    }
    const changed = from !== this.from || to - from !== this.span;
    this.from = from;
    this.span = to - from || 1;
    write(this.range, `${duration(from)} to ${duration(to)}`);
    return changed;
  }

  #fill(cells, step, row, index) {
    const moments = this.marked.get(step.n);
    write(cells.step, count(this.position(index)));
    write(cells.action, line(step.action));
    write(cells.async, step.async ? "Yes" : "No");
    write(cells.before, line(step.before, 80));
    write(cells.after, line(step.after, 80));
    write(cells.result, line(step.error ?? step.result));
    this.#place(cells.place, step.place);
    write(cells.took, step.duration ? duration(step.duration) : "");
    mark(cells.action, "title", moments ? line(moments.map((each) => each.title).join(" · ")) : null);
    mark(row, "data-kind", step.kind);
    mark(row, "data-async", step.async);
    mark(row, "data-changed", step.before !== step.after);
    mark(row, "data-error", Boolean(step.error));
    mark(row, "data-marked", Boolean(moments));
    mark(row, "data-prologue", index < this.prologue);
    this.#bar(cells.waterfall, step, index < this.prologue);
  }

  // However little room there is for the file's name, the line's number is to be read.
  #place(cell, place) {
    if (!cell.firstChild) cell.append(make("span"), make("span"));
    const [file, number] = shortPlace(place).split(/(?=:\d+$)/);
    write(cell.firstChild, file);
    write(cell.lastChild, number ?? "");
    mark(cell, "title", place && [fullPlace(place), line(place.source)].filter(Boolean).join("\n"));
  }

  #bar(cell, step, before) {
    let bar = cell.firstElementChild;
    if (!bar) {
      bar = make("div.bar", {}, ...PARTS.map(([name]) => make(`i.${name}`)), make("span"));
      cell.append(bar);
    }
    mark(bar, "data-before", before);
    const words = before
      ? `${seconds(Math.max(0, -step.at / 1000))} before`
      : `${duration(step.at)}: ${parts(step)}`;
    mark(bar, "title", words);
    write(bar.lastElementChild, before ? words : "");
    if (before) return;
    const share = (ms) => `${(98 * ms) / this.span}%`; // What ends last is still to be seen.
    bar.style.left = share(step.at - step.duration - this.from);
    bar.style.width = share(step.duration);
    mark(bar, "data-instant", !step.duration);
    const whole = step.duration || 1;
    let start = 0;
    PARTS.forEach(([name], index) => {
      const part = bar.children[index];
      part.style.left = `${(100 * start) / whole}%`;
      part.style.width = `${(100 * step[name]) / whole}%`;
      part.hidden = !step[name];
      start += step[name];
    });
  }
}

function parts(step) {
  const named = PARTS.filter(([name]) => step[name]).map(([name]) => `${name} ${duration(step[name])}`);
  return named.join(", ") || (step.duration ? duration(step.duration) : "a moment");
}

function legend() {
  const list = make("ul.legend", { "aria-label": "Parts of the waterfall" });
  for (const [name, title, meaning] of PARTS) {
    list.append(make("li", { title: meaning }, make(`i.${name}`), title));
  }
  list.append(make("li", { title: "code of yours, or waiting for others" }, make("i.other"), "other"));
  return list;
}
