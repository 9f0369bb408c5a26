// Key moments: what is wrong with it, where, what it costs, and what to write instead.

import { byId, keyed, make, mark } from "./dom.js";
import { duration, fullPlace, line, requestName, timeOfDay, visible } from "./format.js";
import { codeBlock, sqlBlock } from "./sql_block.js";
import { explainButton } from "./explain.js";

export class MomentsView {
  constructor() {
    this.cards = byId("moments");
    this.chosen = null;
    this.cards.addEventListener("focusin", ({ target }) => {
      this.chosen = target.closest("[data-moment]");
    });
  }

  draw({ moments }) {
    this.moments = moments;
    const kinds = [...new Set(moments.map((moment) => moment.kind))];
    if (this.kind && !kinds.includes(this.kind)) this.kind = null;
    byId("no-moments").hidden = moments.length > 0;
    const filters = kinds.length > 1 ? [null, ...kinds] : [];
    keyed(byId("moment-kinds"), filters, (kind) => kind ?? "all", (kind) => this.#filter(kind), (button, kind) => {
      const number = kind ? moments.filter((moment) => moment.kind === kind).length : moments.length;
      mark(button, "aria-pressed", this.kind === kind || (!kind && !this.kind) ? "true" : "false");
      button.lastElementChild.textContent = number;
    });
    const shown = moments.filter((moment) => !this.kind || moment.kind === this.kind);
    keyed(this.cards, shown, (moment) => moment.id, newCard, fill);
    this.reveal();
  }

  // Bring the card of a moment into sight, now or when it has arrived.
  reveal(id = this.wanted) {
    this.wanted = id;
    const card = id === undefined ? null : this.cards.querySelector(`[data-moment="${Number(id)}"]`);
    if (!card) return;
    this.wanted = undefined;
    card.focus();
    card.scrollIntoView({ block: "nearest" });
  }

  key(event) {
    const by = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    if (!by) {
      if (event.key !== "Enter" || event.target.closest("a, button, summary")) return false;
      if (this.chosen?.isConnected) this.chosen.querySelector("a.request")?.click();
      return true;
    }
    if (event.target.closest("pre") && event.key.startsWith("Arrow")) return false;
    const cards = [...this.cards.children];
    const card = cards[Math.max(0, cards.indexOf(this.chosen) + by)];
    if (!card) return false;
    card.focus();
    card.scrollIntoView({ block: "nearest" });
    event.preventDefault();
    return true;
  }

  #filter(kind) {
    const button = make("button", { type: "button" }, `${kind ? line(kind, 40) : "All"} `, make("span"));
    button.onclick = () => {
      this.kind = kind;
      this.draw({ moments: this.moments });
    };
    return button;
  }
}

function newCard(moment) {
  return make("li.card.moment", { "data-moment": moment.id, tabindex: -1 });
}

// Only the parts that changed are made anew: a link that is being pressed and a plan that was asked
// for stay.
function fill(card, moment) {
  const { kind, title, cost, place, request, time, steps, holder, wrong, right, sql, family } = moment;
  mark(card, "data-kind", kind);
  const parts = [
    [head, kind, title, cost],
    [about, place, request, steps[0], time],
    [why, moment.detail],
    holder && [heldBy, holder],
    (wrong || right) && [pair, wrong, right],
    sql && [folded, sql],
    moment.explain && family && [explainButton, family],
  ].filter(Boolean);
  const keyOf = ([part, ...of]) => `${part.name} ${JSON.stringify(of)}`;
  keyed(card, parts, keyOf, ([part, ...of]) => part(...of));
}

function head(kind, title, cost) {
  return make(
    "div.moment-head",
    {},
    make("span.tag", {}, line(kind, 40)),
    make("h3", {}, line(title, 400)),
    cost === null ? null : make("b.cost", { title: "What it cost" }, duration(cost)),
  );
}

function about(place, request, step, time) {
  const link = request && `#requests/${request.n}${step === undefined ? "" : `/${step}`}`;
  return make(
    "p.about",
    {},
    place && make("span.file", {}, fullPlace(place)),
    request && make("a.request", { href: link }, requestName(request)),
    make("time.quiet", { datetime: new Date(time * 1000).toISOString() }, timeOfDay(time)),
  );
}

function why(detail) {
  return make("p", {}, visible(detail));
}

function heldBy(holder) {
  return make("p.holder", {}, "Held by ", make("b", {}, line(holder)));
}

function pair(wrong, right) {
  return make(
    "div.pair",
    {},
    wrong ? codeBlock(wrong, "Wrong", "wrong") : null,
    right ? codeBlock(right, "Right", "right") : null,
  );
}

// Two hundred long statements would be a page of their own: each is built when it is opened.
function folded(sql) {
  const details = make("details", {}, make("summary", {}, "SQL"));
  details.addEventListener("toggle", () => details.append(sqlBlock(sql)), { once: true });
  return details;
}
