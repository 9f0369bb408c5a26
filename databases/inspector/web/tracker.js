// The variable tracker of the lesson: app, database and query_result after each step. Of many steps
// it shows those around the chosen one at which something changed.

import { byId, keyed, make, mark, write } from "./dom.js";
import { count, line } from "./format.js";

const VARIABLES = ["app", "database", "query_result"];
const BEFORE = 3;
const AFTER = 2;
const REACH = 2000; // How far away a change is looked for.

export class Tracker {
  constructor(go) {
    this.go = go;
    this.head = make("tr");
    this.rows = VARIABLES.map((variable) => [variable, make("tr")]);
    byId("tracker").append(make("thead", {}, this.head), make("tbody", {}, ...this.rows.map(([, row]) => row)));
  }

  // position(index) is the number by which the reader knows a step.
  show(steps, index, position, whole) {
    const columns = ["Variable", ...(whole ? ["Start"] : []), ...around(steps, index)];
    const ofStep = (update) => (cell, each) => typeof each === "number" && update(cell, each);
    const title = ofStep((cell, each) => {
      write(cell.firstElementChild, `After step ${count(position(each))}`);
      mark(cell, "aria-current", each === index ? "step" : null);
    });
    keyed(this.head, columns, String, (each) => this.#heading(each), title);
    for (const [variable, row] of this.rows) {
      const value = ofStep((cell, each) => fill(cell, steps, each, variable, each === index));
      keyed(row, columns, String, (each) => newCell(each, variable), value);
    }
  }

  #heading(each) {
    const content = typeof each === "number" ? make("button", { type: "button", onclick: () => this.go(each) }) : each;
    return make("th", { scope: "col" }, content);
  }
}

function newCell(each, variable) {
  if (each === "Variable") return make("th", { scope: "row" }, variable);
  return each === "Start" ? make("td", {}, "None") : make("td", {}, make("span"), make("span.unseen"));
}

function fill(cell, steps, index, variable, present) {
  const value = steps[index].tracker[variable];
  const before = index ? steps[index - 1].tracker[variable] : "None";
  cell.classList.toggle("changed", value !== before);
  cell.classList.toggle("present", present);
  write(cell.firstElementChild, line(value, 120));
  write(cell.lastElementChild, value !== before ? " (changed)" : "");
}

function around(steps, index) {
  const changes = (at) => at === 0 || VARIABLES.some((each) => steps[at].tracker[each] !== steps[at - 1].tracker[each]);
  const columns = [index];
  for (let at = index - 1; at >= 0 && columns.length <= BEFORE && at > index - REACH; at--) {
    if (changes(at)) columns.unshift(at);
  }
  const wanted = columns.length + AFTER;
  for (let at = index + 1; at < steps.length && columns.length < wanted && at < index + REACH; at++) {
    if (changes(at)) columns.push(at);
  }
  return columns;
}
