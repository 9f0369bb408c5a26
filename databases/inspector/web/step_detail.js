// All that is known of one step.

import { make } from "./dom.js";
import { counted, duration, fullPlace, line, visible } from "./format.js";
import { sqlBlock } from "./sql_block.js";

const PARTS = ["queue", "query", "decode"];

export class StepDetail {
  constructor() {
    this.element = make("section.step-detail", { "aria-label": "The chosen step" });
  }

  show(step, position, moments) {
    // A request that grows is shown anew many times; whoever marks text here must keep it.
    const shown = JSON.stringify([step, position, moments.map((each) => each.id)]);
    if (shown === this.shown) return;
    this.shown = shown;
    this.element.scrollTop = 0;
    this.element.replaceChildren(
      make("h3", {}, make("span.number", {}, `Step ${position}`), " ", line(step.action, 400)),
      ...(step.error ? [make("p.failure", {}, visible(step.error))] : []),
      ...moments.map((moment) =>
        make("p.warning", {}, make("b", {}, line(moment.kind, 40)), ` ${line(moment.title)}`),
      ),
      facts(step),
      ...(step.sql ? [sqlBlock(step.sql)] : []),
      ...(step.values?.length ? [values(step.values)] : []),
    );
  }
}

function facts(step) {
  const list = make("dl.facts");
  const add = (term, ...content) => list.append(make("dt", {}, term), make("dd", {}, ...content));
  add("State", line(step.before), " → ", make("b", {}, line(step.after)));
  if (step.result) add("Result", line(step.result, 400));
  if (step.duration) {
    const parts = PARTS.filter((name) => step[name]).map((name) =>
      make("span.part", {}, make(`i.${name}`), `${name} ${duration(step[name])}`),
    );
    add("Took", make("b", {}, duration(step.duration)), " ", ...parts);
  }
  add("At", step.at < 0 ? `${duration(-step.at)} before the request` : `${duration(step.at)} into the request`);
  if (step.place) {
    const source = step.place.source && make("code.source", {}, line(step.place.source, 400));
    add("Place", make("span.file", {}, fullPlace(step.place)), source || "");
  }
  if (step.rows !== null && step.rows !== undefined) add("Rows", counted(step.rows, "row"));
  const by = [step.connection, step.task].filter(Boolean).map((each) => line(each, 80));
  if (by.length) add("On", by.join(", "));
  add("Async", step.async ? "Yes: others go on meanwhile" : "No");
  return list;
}

function values(list) {
  const told = list.some((each) => each.value !== null && each.value !== undefined);
  const table = make(
    "table.values",
    {},
    make("caption", {}, counted(list.length, "value")),
    make("tr", {}, ...["Name", "Type", "Size", ...(told ? ["Value"] : [])].map((each) => make("th", { scope: "col" }, each))),
  );
  for (const each of list.slice(0, 200)) {
    const cells = [line(each.name, 80), line(each.type, 80), line(each.size ?? "", 40)];
    if (told) cells.push(line(each.value, 2000));
    table.append(make("tr", {}, ...cells.map((cell) => make("td", {}, cell))));
  }
  if (list.length > 200) table.append(make("tr", {}, make("td", { colspan: 4 }, `and ${list.length - 200} more`)));
  return make("div.values-box", { tabindex: 0, role: "group", "aria-label": "Values" }, table);
}
