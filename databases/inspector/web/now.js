// Now: a lane for each connection, who waits, and for whom.

import { post, Problem } from "./api.js";
import { byId, keyed, make, mark, write } from "./dom.js";
import { fullPlace, line, requestName, running, shortPlace } from "./format.js";
import { drawThreads } from "./threads.js";

const WORDS = { idle: "idle", "in flight": "in flight", held: "holding", opening: "opening" };
const SHOWN = 50; // Waiters that are listed; the longest waiting come first.
const BLOCKERS = 3; // Lanes that are named for each; the threads lead to all of them.
const TICK = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 100;

export class NowView {
  constructor({ say, draws }) {
    this.say = say;
    this.lanes = byId("lanes");
    this.waiters = byId("waiters");
    this.now = { connections: [], waiting: [], time: 0 };
    this.clocks = new Map();
    const box = byId("now-board");
    const threads = () => drawThreads(box, this.now, this.pointed);
    for (const [event, on] of [["pointerover", true], ["focusin", true], ["pointerleave", false], ["focusout", false]]) {
      box.addEventListener(event, ({ target }) => {
        const place = on ? target.closest("[data-lane], [data-waiter]") : null;
        if (place === this.pointed) return;
        this.pointed = place;
        threads();
      });
    }
    new ResizeObserver(threads).observe(box);
    this.threads = threads;
    setInterval(() => draws() && this.tick(), TICK);
  }

  draw(now) {
    this.now = now;
    this.arrived = performance.now();
    this.clocks.clear();
    const waiting = [...now.waiting].sort((a, b) => b.seconds - a.seconds);
    byId("now-empty").hidden = now.connections.length > 0 || waiting.length > 0;
    byId("now-board").hidden = !byId("now-empty").hidden;
    byId("nobody-waits").hidden = waiting.length > 0;
    this.#summarize(waiting);
    keyed(this.lanes, now.connections, (each) => each.name, newLane, (lane, each) => this.#lane(lane, each));
    const shown = waiting.slice(0, SHOWN);
    keyed(this.waiters, named(shown), (each) => each.key, newWaiter, (row, each) => this.#waiter(row, each));
    write(byId("more-waiters"), waiting.length > SHOWN ? `and ${waiting.length - SHOWN} more` : "");
    this.tick();
    this.threads();
  }

  key(event) {
    const by = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    const places = [...byId("now-board").querySelectorAll("[data-waiter], [data-lane]")];
    const present = document.activeElement.closest("[data-waiter], [data-lane]");
    if (by) places[Math.max(0, places.indexOf(present) + by)]?.focus();
    else if (event.key === "Enter" && document.activeElement === present) {
      present?.querySelector("a.request:not([hidden])")?.click();
    } else return;
    event.preventDefault();
  }

  #summarize(waiting) {
    const { connections, limit } = this.now;
    const of = (state) => connections.filter((each) => each.state === state).length;
    const tell = (name, number, note = "") => {
      const tile = byId(`tile-${name}`);
      write(tile.querySelector("b"), String(number));
      write(tile.querySelector("small"), note);
      mark(tile, "data-none", !number);
    };
    const lent = connections.length - of("idle");
    tell("waiting", waiting.length, waiting.length ? "the longest " : "");
    if (waiting.length) {
      const clock = byId("tile-waiting").querySelector("small");
      this.#clock(clock, waiting[0].seconds, "longest ");
    }
    tell("held", of("held"), "held, not querying");
    tell("in-flight", of("in flight"), of("opening") ? `${of("opening")} opening` : "");
    tell("idle", of("idle"), limit ? `${lent} of ${limit} lent` : `${lent} lent`);
  }

  #lane(lane, { name, state, holder }) {
    const parts = lane.parts;
    mark(lane, "data-lane", name);
    mark(lane, "data-state", state);
    write(parts.state, WORDS[state] ?? line(state, 20));
    write(parts.name, line(name, 60));
    lane.querySelector(".lane-body").hidden = !holder;
    parts.cancel.hidden = !holder?.operation;
    if (!holder) return write(parts.clock, "");
    this.#who(parts, holder);
    write(parts.sql, line(holder.sql));
    if (holder.busy !== null && holder.busy !== undefined) {
      this.#clock(parts.clock, holder.busy, "running ");
      this.#clock(parts.held, holder.seconds, "held ");
    } else {
      this.#clock(parts.clock, holder.seconds, "held ");
      write(parts.held, "");
    }
    this.#offer(parts.cancel, holder, name);
  }

  #waiter(row, { waiter }) {
    const parts = row.parts;
    mark(row, "data-waiter", waiter.task);
    this.#who(parts, waiter);
    write(parts.sql, line(waiter.sql));
    this.#clock(parts.clock, waiter.seconds, "");
    write(parts.for, line(waiter.for, 80));
    parts.cancel.hidden = !waiter.operation;
    this.#offer(parts.cancel, waiter, waiter.task);
    row.blockers = waiter.blocked_by;
    keyed(parts.by, waiter.blocked_by.slice(0, BLOCKERS), (name) => name, newBlocker, (item, name) => {
      const holder = this.now.connections.find((each) => each.name === name)?.holder;
      const who = holder ? [holder.task, requestName(holder.request), shortPlace(holder.place)] : [];
      write(item.firstElementChild, line(name, 60));
      write(item.lastElementChild, holder ? ` ${who.filter(Boolean).map((each) => line(each, 60)).join(" · ")}` : "");
    });
    const more = waiter.blocked_by.length - BLOCKERS;
    write(parts.more, more > 0 ? `and ${more} more` : "");
  }

  #who(parts, { task, request, place }) {
    write(parts.task, line(task, 60));
    parts.request.hidden = !request;
    write(parts.request, requestName(request));
    mark(parts.request, "href", request && `#requests/${request.n}`);
    write(parts.place, shortPlace(place));
    mark(parts.place, "title", place && [fullPlace(place), place.source].filter(Boolean).map((each) => line(each)).join(" — "));
  }

  #offer(button, { operation, sql, request }, whose) {
    mark(button, "data-operation", operation);
    if (button.ariaBusy && button.asked !== operation) {
      button.ariaBusy = null;
      write(button, "Cancel");
    }
    mark(button, "aria-label", `Cancel what ${line(whose, 60)} does`);
    button.onclick = async () => {
      if (button.ariaBusy) return;
      button.ariaBusy = "true";
      button.asked = operation; // What stood there when it was pressed, whatever comes meanwhile.
      write(button, "Cancelling…");
      const what = [line(sql, 80), request && `in ${requestName(request)}`].filter(Boolean).join(" ");
      try {
        await post("cancel", { operation });
        this.say(`Cancelled: ${what || line(whose, 60)}`);
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        this.say(`Not cancelled: ${problem.message}`);
      } finally {
        button.ariaBusy = null;
        write(button, "Cancel");
      }
    };
  }

  // Between two pushes clocks go on by our own.
  #clock(element, value, before) {
    this.clocks.set(element, [value, before]);
  }

  tick() {
    const since = (performance.now() - this.arrived) / 1000;
    for (const [element, [value, before]] of this.clocks) {
      write(element, `${before}${running(value + since)}`);
      mark(element, "data-long", value + since >= 1);
    }
  }
}

// Two tasks may have one name.
function named(waiting) {
  const seen = new Map();
  return waiting.map((waiter) => {
    const nth = (seen.get(waiter.task) ?? 0) + 1;
    seen.set(waiter.task, nth);
    return { waiter, key: `${waiter.task} ${nth}` };
  });
}

function newLane() {
  const parts = who();
  Object.assign(parts, {
    state: make("span.state"),
    name: make("b.name"),
    clock: make("span.clock"),
    held: make("span.quiet.held"),
  });
  const lane = make(
    "li.lane",
    { tabindex: -1 },
    make("div.lane-head", {}, parts.state, parts.name, parts.clock, parts.cancel),
    make("div.lane-body", {}, make("p.who", {}, parts.request, parts.task, parts.place, parts.held), parts.sql),
  );
  lane.parts = parts;
  return lane;
}

function newWaiter() {
  const parts = who();
  Object.assign(parts, { clock: make("b.clock"), for: make("span"), by: make("ul.blockers"), more: make("span.quiet") });
  const row = make(
    "li.waiter",
    { tabindex: -1 },
    make("div.lane-head", {}, parts.clock, make("span.for", {}, "for ", parts.for), parts.cancel),
    make("p.who", {}, parts.request, parts.task, parts.place),
    parts.sql,
    parts.by,
    parts.more,
  );
  row.parts = parts;
  return row;
}

function newBlocker() {
  return make("li", {}, make("b.name"), make("span.quiet"));
}

function who() {
  return {
    request: make("a.request"),
    task: make("span.task"),
    place: make("span.place"),
    sql: make("p.sql"),
    cancel: make("button.cancel", { type: "button" }, "Cancel"),
  };
}

