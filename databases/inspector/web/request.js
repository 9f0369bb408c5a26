// One request, step by step: what happened, where, what it cost, and what to look at first.

import { byId, keyed, make, mark, write } from "./dom.js";
import { ExecutionTable } from "./execution.js";
import { Flow } from "./flow.js";
import { count, counted, duration, line, requestName, timeOfDay, visible } from "./format.js";
import { elapsed, failed, statusText, underWay } from "./requests.js";
import { Tracker } from "./tracker.js";

export class RequestView {
  // chosen(n, step) hears which step is looked at; beside(n, by) goes to the request before or after.
  constructor({ chosen, beside }) {
    this.chosen = chosen;
    this.table = new ExecutionTable(byId("execution"));
    this.flow = new Flow((index) => this.#by(index));
    this.tracker = new Tracker((index) => this.#by(index));
    byId("execution").addEventListener("step", () => this.#stepped());
    for (const [name, where] of Object.entries({
      first: () => 0,
      back: () => this.table.index - 1,
      forward: () => this.table.index + 1,
      last: () => this.table.steps.length - 1,
    })) {
      byId(`step-${name}`).onclick = () => this.#by(where());
    }
    byId("step-slider").oninput = (event) => this.#by(Number(event.target.value) - 1);
    byId("live").onclick = () => this.follow(!this.live);
    byId("previous-request").onclick = () => beside(this.n, -1);
    byId("next-request").onclick = () => beside(this.n, 1);
  }

  // Make ready for another request, of which nothing has arrived yet.
  expect(n, step) {
    if (n === this.n && this.detail) {
      if (step !== undefined) this.table.select(step);
      return this.table.list.focus();
    }
    this.wanted = step;
    if (n === this.n) return;
    this.n = n;
    this.detail = this.known = null;
    byId("request-detail").hidden = true;
    byId("request-gone").hidden = true;
    byId("request-waited").hidden = false;
    write(byId("request-title"), n ? `Request ${n}` : "Outside requests");
    byId("request-facts").replaceChildren();
  }

  // "request" is all of it; "steps" are those after the step with the number `after`, which spares
  // a long request that is watched live from being sent again and again.
  merge(kind, data) {
    if ((data.summary?.n ?? data.n) !== this.n) return false;
    if (kind === "request") this.known = data;
    else {
      if (this.known?.steps?.at(-1)?.n !== data.after) return false;
      const { prologue, steps } = this.known;
      this.known = { ...data, prologue, steps: [...steps, ...data.steps] };
    }
    return true;
  }

  draw() {
    const detail = this.known;
    if (!detail) return;
    if (detail.gone) {
      byId("request-gone").hidden = false;
      byId("request-waited").hidden = true;
      return;
    }
    const first = !this.detail;
    this.detail = detail;
    byId("request-waited").hidden = true;
    byId("request-gone").hidden = true;
    byId("request-detail").hidden = false;
    const going = underWay(detail.summary);
    byId("live").hidden = !going && !this.live;
    if (first) this.follow(going && this.wanted === undefined, true);
    this.#head(detail.summary);
    this.table.show(detail);
    this.flow.show(this.table.steps);
    this.#moments(detail);
    if (this.wanted !== undefined && this.table.select(this.wanted)) this.wanted = undefined;
    else if (this.live) this.table.choose(this.table.steps.length - 1, true);
    if (!going && this.live) this.follow(false);
    if (first) this.table.list.focus();
    this.#describe();
  }

  follow(live, quietly = false) {
    this.live = live;
    mark(byId("live"), "aria-pressed", live ? "true" : "false");
    mark(byId("step-progress"), "aria-live", live ? "off" : "polite");
    byId("live").hidden = !live && !(this.detail && underWay(this.detail.summary));
    if (live && !quietly) this.#by(this.table.steps.length - 1, true);
  }

  tick() {
    if (this.detail && underWay(this.detail.summary)) this.#head(this.detail.summary);
  }

  key(event) {
    const buttons = { ArrowLeft: "step-back", ArrowRight: "step-forward", l: "live" };
    if (event.target.closest("pre, .values-box, .tracker-box") && event.key.startsWith("Arrow")) return false;
    if (event.key === "n" || event.key === "N") this.#warning(event.key === "n" ? 1 : -1);
    else if (event.key === "]") byId("next-request").click();
    else if (event.key === "[") byId("previous-request").click();
    else if (buttons[event.key] && !byId(buttons[event.key]).hidden) byId(buttons[event.key]).click();
    else return this.table.list.pressed(event);
    event.preventDefault();
    return true;
  }

  #by(index, live = false) {
    if (!live && this.live) this.follow(false);
    if (index >= 0) this.table.choose(index);
  }

  #stepped() {
    if (!this.detail) return; // A key that came late: these are the steps of the request before.
    if (this.live && this.table.index < this.table.steps.length - 1) this.follow(false);
    this.#describe();
    const step = this.table.steps[this.table.index];
    if (step) this.chosen(this.n, step.n);
  }

  // Everything outside the table that depends on the chosen step.
  #describe() {
    const { steps, index, total, prologue, cut } = this.table;
    if (index < 0) return;
    const position = this.table.position(index);
    this.flow.light(index);
    this.tracker.show(steps, index, (each) => this.table.position(each), prologue > 0 && !cut);
    const slider = byId("step-slider");
    slider.max = steps.length;
    slider.value = index + 1;
    mark(slider, "aria-valuetext", `step ${position} of ${total}: ${line(steps[index].action, 120)}`);
    write(byId("step-progress"), `Step ${count(position)} of ${count(total)}`);
    byId("step-first").disabled = byId("step-back").disabled = index === 0;
    byId("step-last").disabled = byId("step-forward").disabled = index === steps.length - 1;
  }

  #head(summary) {
    write(byId("request-title"), requestName(summary));
    mark(byId("request-title"), "data-failed", failed(summary));
    const facts = [
      ["Status", statusText(summary), failed(summary)],
      ["Duration", underWay(summary) ? elapsed(summary) : duration(summary.duration)],
      ["Queries", count(summary.queries)],
      ["In database", duration(summary.database)],
      ["Waited", duration(summary.waited), summary.waited >= 100],
      ["Began", timeOfDay(summary.time)],
    ].filter(([, value]) => value && value !== "—");
    keyed(byId("request-facts"), facts, ([name]) => name, newFact, (fact, [name, value, bad]) => {
      write(fact.firstElementChild, name);
      write(fact.lastElementChild, value);
      mark(fact, "data-bad", bad);
    });
    byId("request-error").hidden = !summary.error;
    write(byId("request-error"), summary.error ? visible(summary.error).slice(0, 4000) : "");
  }

  // What to look at first: the moments, then what failed, then what took longest.
  #moments({ moments }) {
    const chips = moments.map((moment) => ({
      key: `moment ${moment.id}`,
      kind: moment.kind,
      title: moment.title,
      cost: moment.cost,
      steps: moment.steps,
    }));
    let longest = null;
    let wrong = null;
    for (const step of this.table.steps.slice(this.table.prologue)) {
      if (step.error) wrong ??= step;
      const told = step.kind === "query" || step.kind === "wait" || step.kind === "rows" || step.kind === "commit";
      if (told && step.duration > (longest?.duration ?? 0)) longest = step;
    }
    if (wrong) chips.push({ key: "error", kind: "error", title: wrong.error, steps: [wrong.n] });
    if (longest) {
      chips.push({ key: "longest", kind: "longest", title: longest.action, cost: longest.duration, steps: [longest.n] });
    }
    this.chips = chips;
    keyed(byId("request-moments"), chips, (chip) => chip.key, () => this.#chip(), (item, chip) => {
      const [kind, title, cost] = item.firstElementChild.children;
      item.chip = chip;
      mark(item, "data-kind", chip.kind);
      write(kind, line(chip.kind, 40));
      write(title, line(chip.title, 120));
      const more = chip.steps.length > 1 ? counted(chip.steps.length, "step") : "";
      write(cost, [more, chip.cost ? duration(chip.cost) : ""].filter(Boolean).join(", "));
    });
  }

  #chip() {
    const item = make("li");
    const button = make("button", { type: "button" }, make("b"), make("span"), make("small"));
    button.onclick = () => this.#follow(item.chip.steps);
    item.append(button);
    return item;
  }

  // Pressed again, a moment leads to the next of its steps.
  #follow(numbers) {
    const places = numbers.map((n) => this.table.place(n)).filter((each) => each !== undefined);
    const next = places.find((index) => index > this.table.index) ?? places[0];
    if (next !== undefined) this.#by(next);
  }

  #warning(by) {
    const { marked, steps, index } = this.table;
    const bad = (step) => marked.has(step.n) || step.error;
    for (let at = index + by; at >= 0 && at < steps.length; at += by) {
      if (bad(steps[at])) return this.#by(at);
    }
  }
}

function newFact() {
  return make("div", {}, make("dt"), make("dd"));
}
