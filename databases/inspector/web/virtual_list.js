// A table of any length of which only the rows in sight exist. All rows are equally high; the
// style sheet says how high, and may say something else for narrow places.
//
// The focus stays on the table itself, which names its active row: rows come and go under it.

import { make, mark, onceAFrame, write } from "./dom.js";

const BEYOND = 6; // Rows kept ready above and below, so that scrolling meets no gaps.
let lists = 0;

export class VirtualList {
  // columns: [{ name, title, hint, sorts }]; fill(cells, item, row) writes one row, cells by name;
  // key(item) tells items apart; attribute: rows carry data-<attribute>="<key>".
  constructor(container, { label, columns, key, attribute, fill, select, open, sort, anchored, sight }) {
    this.columns = columns;
    this.key = key;
    this.attribute = attribute;
    this.fill = fill;
    this.onselect = select;
    this.onopen = open;
    this.onsight = sight; // Hears which rows are in sight; true if all must be written anew for that.
    this.anchored = anchored; // Items are put in at the top: what is being read must stay in place.
    this.id = `list${++lists}`;
    this.items = [];
    this.selected = -1;
    this.first = 0;
    this.rows = [];
    this.rowHeight = 0;
    this.head = make("div.virtual-head", { role: "row", "aria-rowindex": 1 });
    for (const column of columns) this.head.append(heading(column, sort));
    this.top = make("div.virtual-top", { role: "rowgroup" }, this.head);
    this.body = make("div.virtual-rows", { role: "presentation" });
    this.canvas = make("div.virtual-canvas", { role: "rowgroup" }, this.body);
    this.scroller = make(
      "div.virtual",
      { role: "grid", tabindex: 0, "aria-label": label, "aria-rowcount": 1 },
      this.top,
      this.canvas,
    );
    container.append(this.scroller);
    this.draw = onceAFrame(() => this.#draw());
    this.scroller.addEventListener("scroll", this.draw, { passive: true });
    this.scroller.addEventListener("keydown", (event) => this.pressed(event));
    this.scroller.addEventListener("pointerdown", ({ target }) => (this.pressedOn = itemAt(target)));
    this.scroller.addEventListener("click", (event) => this.#clicked(event));
    new ResizeObserver(() => {
      this.rowHeight = 0; // Narrower, a row may be higher.
      this.draw();
    }).observe(this.scroller);
  }

  show(items) {
    const top = this.anchored && this.scroller.scrollTop > 0 ? this.#top() : -1;
    const anchor = top >= 0 && this.items[top] ? this.key(this.items[top]) : null;
    const chosen = this.selected >= 0 ? this.key(this.items[this.selected]) : null;
    this.items = items;
    // Most lists only grow at their end, where nothing has to be looked for.
    if (chosen !== null && (!items[this.selected] || this.key(items[this.selected]) !== chosen)) {
      this.selected = this.indexOf(chosen);
    }
    mark(this.scroller, "aria-rowcount", items.length + 1);
    if (this.rowHeight) {
      this.canvas.style.height = `${items.length * this.rowHeight}px`;
      const now = anchor === null ? -1 : this.indexOf(anchor);
      if (now >= 0 && now !== top) this.scroller.scrollTop += (now - top) * this.rowHeight;
    }
    this.stale = true;
    this.draw();
  }

  indexOf(key) {
    return this.items.findIndex((item) => this.key(item) === key);
  }

  // Choose an item; `quietly` when it is not the reader who does.
  select(index, { quietly = false } = {}) {
    if (!this.items.length) return;
    this.selected = Math.max(0, Math.min(index, this.items.length - 1));
    this.reveal(this.selected);
    this.stale = true;
    this.draw();
    if (!quietly) this.onselect?.(this.items[this.selected], this.selected);
  }

  reveal(index) {
    if (!this.#measure()) return void (this.wanted = index);
    const head = this.top.offsetHeight;
    const start = index * this.rowHeight;
    const end = start + this.rowHeight - (this.scroller.clientHeight - head);
    if (this.scroller.scrollTop > start) this.scroller.scrollTop = start;
    else if (this.scroller.scrollTop < end) this.scroller.scrollTop = end;
  }

  focus() {
    this.scroller.focus({ preventScroll: true });
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return false;
    if (event.key === "Enter" && event.target.closest("button, a, summary")) return false;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / (this.rowHeight || 40)) - 2);
    const to = {
      ArrowDown: this.selected + 1,
      j: this.selected + 1,
      ArrowUp: Math.max(0, this.selected - 1),
      k: Math.max(0, this.selected - 1),
      PageDown: this.selected + page,
      PageUp: this.selected - page,
      Home: 0,
      End: this.items.length - 1,
    }[event.key];
    if (to !== undefined) this.select(to);
    else if (event.key === "Enter" && this.onopen && this.items[this.selected]) {
      this.onopen(this.items[this.selected]);
    } else return false;
    event.preventDefault();
    return true;
  }

  #clicked(event) {
    // A row may have come to show another item between press and release: the pressed one is meant.
    const under = itemAt(event.target);
    const item = under && (this.pressedOn ?? under);
    this.pressedOn = null;
    if (!item || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (String(window.getSelection())) return; // Somebody is marking text to copy it.
    event.preventDefault();
    const index = this.indexOf(this.key(item));
    if (index < 0) return; // It is gone.
    this.select(index);
    this.onopen?.(this.items[index]);
  }

  #top() {
    return this.rowHeight ? Math.floor(this.scroller.scrollTop / this.rowHeight) : 0;
  }

  // False while the list is not to be seen: nothing has a height then.
  #measure() {
    if (!this.scroller.clientWidth) return false;
    if (!this.rowHeight) {
      if (!this.rows.length) this.#add();
      this.rows[0].element.hidden = false;
      this.rowHeight = this.rows[0].element.offsetHeight;
      this.canvas.style.height = `${this.items.length * this.rowHeight}px`;
      this.stale = true;
    }
    return this.rowHeight > 0;
  }

  #add() {
    const element = make("div.virtual-row", { role: "row" });
    const cells = {};
    for (const { name } of this.columns) {
      element.append((cells[name] = make(`div.${name}`, { role: "gridcell" })));
    }
    this.rows.push({ element, cells, index: -1 });
    this.body.append(element);
  }

  #draw() {
    if (!this.#measure()) return;
    if (this.wanted !== undefined) {
      const index = this.wanted;
      this.wanted = undefined;
      this.reveal(index);
    }
    const top = this.#top();
    const first = Math.max(0, top - BEYOND);
    const fitting = Math.ceil(this.scroller.clientHeight / this.rowHeight) + 2 * BEYOND;
    const wanted = Math.min(fitting, this.items.length - first);
    while (this.rows.length < wanted) this.#add();
    while (this.rows.length > Math.max(1, wanted)) this.rows.pop().element.remove();
    this.body.style.transform = `translateY(${first * this.rowHeight}px)`;
    this.#rotate(first - this.first);
    this.first = first;
    const end = top + Math.ceil((this.scroller.clientHeight - this.top.offsetHeight) / this.rowHeight);
    if (wanted > 0 && this.onsight?.(top, Math.min(end, this.items.length))) this.stale = true;
    this.rows.forEach((row, position) => this.#fill(row, first + position));
    const active = this.selected - first;
    const seen = active >= 0 && active < this.rows.length && this.items[this.selected];
    mark(this.scroller, "aria-activedescendant", seen ? this.rows[active].element.id : null);
    this.stale = false;
  }

  // Rows that went out of sight at one end come in at the other, so only those are written anew.
  #rotate(by) {
    if (!by || Math.abs(by) >= this.rows.length) return;
    const moved = by > 0 ? this.rows.splice(0, by) : this.rows.splice(by);
    const elements = moved.map((row) => row.element);
    if (by > 0) this.body.append(...elements);
    else this.body.prepend(...elements);
    this.rows = by > 0 ? [...this.rows, ...moved] : [...moved, ...this.rows];
  }

  #fill(row, index) {
    if (row.index === index && !this.stale) return;
    row.index = index;
    const item = this.items[index];
    row.element.hidden = !item;
    if (!item) return;
    const key = this.key(item);
    const { element } = row;
    element.item = item;
    mark(element, "id", `${this.id}-${index}`);
    mark(element, "data-index", index);
    mark(element, `data-${this.attribute}`, key);
    mark(element, "aria-rowindex", index + 2);
    mark(element, "aria-selected", index === this.selected ? "true" : "false");
    this.fill(row.cells, item, element, index);
  }
}

function itemAt(target) {
  return target.closest("[data-index]")?.item;
}

function heading({ name, title, hint, sorts }, sort) {
  const cell = make(`div.${name}`, { role: "columnheader", title: hint });
  if (!sorts) {
    write(cell, title);
    return cell;
  }
  cell.append(make("button", { type: "button", "data-sort": name, onclick: () => sort(name) }, title));
  return cell;
}

// Say by which column a list is sorted, to eyes and to screen readers.
export function showSorting(list, name, descending) {
  for (const cell of list.head.children) {
    const chosen = cell.classList.contains(name);
    mark(cell, "aria-sort", chosen ? (descending ? "descending" : "ascending") : null);
  }
}
