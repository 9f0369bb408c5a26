// The variable tracker of the lesson: app, database and query_result after each step. Of many steps
// it shows those around the chosen one at which something changed.

import { byId, make } from "./dom.js";
import { count, line } from "./format.js";

const VARIABLES = ["app", "database", "query_result"];
const BEFORE = 3;
const AFTER = 2;
const REACH = 2000; // How far away a change is looked for.

export class Tracker {
  constructor(go) {
    this.go = go;
  }

  // position(index) is the number by which the reader knows a step.
  show(steps, index, position, whole) {
    const columns = around(steps, index);
    const shown = JSON.stringify([columns.map((each) => [position(each), steps[each].tracker]), index]);
    if (shown === this.shown) return;
    this.shown = shown;
    const head = make("tr", {}, make("th", { scope: "col" }, "Variable"));
    if (whole) head.append(make("th", { scope: "col" }, "Start"));
    for (const each of columns) {
      const title = `After step ${count(position(each))}`;
      const button = make("button", { type: "button", onclick: () => this.go(each) }, title);
      head.append(make("th", { scope: "col", "aria-current": each === index ? "step" : null }, button));
    }
    const rows = VARIABLES.map((variable) => {
      const row = make("tr", {}, make("th", { scope: "row" }, variable));
      if (whole) row.append(make("td", {}, "None"));
      for (const each of columns) row.append(cell(steps, each, variable, each === index));
      return row;
    });
    byId("tracker").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
  }
}

function cell(steps, index, variable, present) {
  const value = steps[index].tracker[variable];
  const before = index ? steps[index - 1].tracker[variable] : "None";
  const changed = value !== before;
  return make(
    `td${changed ? ".changed" : ""}${present ? ".present" : ""}`,
    {},
    line(value, 120),
    changed ? make("span.unseen", {}, " (changed)") : null,
  );
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
