// Key moments: what is wrong with it, where, what it costs, and what to write instead.

import { byId, keyed, make, mark } from "./dom.js";
import { duration, fullPlace, line, requestName, timeOfDay, visible } from "./format.js";
import { codeBlock, sqlBlock } from "./sql_block.js";
import { explainButton } from "./explain.js";

export class MomentsView {
  constructor() {
    this.cards = byId("moments");
    this.chosen = -1;
    this.cards.addEventListener("focusin", ({ target }) => {
      this.chosen = [...this.cards.children].indexOf(target.closest("[data-moment]"));
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
    // A card is made anew only if its moment changed: a plan that was asked for stays.
    keyed(this.cards, shown, (moment) => moment.id, newCard, (card, moment) => {
      const text = JSON.stringify(moment);
      if (card.shown === text) return;
      card.shown = text;
      fill(card, moment);
    });
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
      this.cards.children[this.chosen]?.querySelector("a.request")?.click();
      return true;
    }
    if (event.target.closest("pre") && event.key.startsWith("Arrow")) return false;
    const card = this.cards.children[Math.max(0, this.chosen + by)];
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

function fill(card, moment) {
  const step = moment.steps[0];
  const link = moment.request && `#requests/${moment.request.n}${step === undefined ? "" : `/${step}`}`;
  const about = make("p.about");
  about.append(
    ...[
      moment.place && make("span.file", {}, fullPlace(moment.place)),
      moment.request && make("a.request", { href: link }, requestName(moment.request)),
      make("time.quiet", { datetime: new Date(moment.time * 1000).toISOString() }, timeOfDay(moment.time)),
    ].filter(Boolean),
  );
  mark(card, "data-kind", moment.kind);
  card.replaceChildren(
    make(
      "div.moment-head",
      {},
      make("span.tag", {}, line(moment.kind, 40)),
      make("h3", {}, line(moment.title, 400)),
      moment.cost === null ? null : make("b.cost", { title: "What it cost" }, duration(moment.cost)),
    ),
    about,
    make("p", {}, visible(moment.detail)),
  );
  if (moment.holder) card.append(make("p.holder", {}, "Held by ", make("b", {}, line(moment.holder))));
  if (moment.wrong || moment.right) {
    const pair = make("div.pair");
    if (moment.wrong) pair.append(codeBlock(moment.wrong, "Wrong", "wrong"));
    if (moment.right) pair.append(codeBlock(moment.right, "Right", "right"));
    card.append(pair);
  }
  if (moment.sql) card.append(folded(moment.sql));
  if (moment.explain && moment.family) card.append(explainButton(moment.family));
}

// Two hundred long statements would be a page of their own: each is built when it is opened.
function folded(sql) {
  const details = make("details", {}, make("summary", {}, "SQL"));
  details.addEventListener("toggle", () => details.append(sqlBlock(sql)), { once: true });
  return details;
}
