// The concept flow of the lesson, with the step that is being looked at lit.

import { byId, centre, make, mark, write } from "./dom.js";
import { count, counted } from "./format.js";

const FLOW = [
  ["app", "Start app"],
  ["database", "Create database"],
  ["connect", "Connect"],
  ["request", "Handle request"],
  ["query", "Run query"],
  ["result", "Return result"],
  ["disconnect", "Disconnect"],
];

export class Flow {
  constructor(go) {
    this.nodes = new Map();
    for (const [name, title] of FLOW) {
      const number = make("small");
      const button = make("button", { type: "button" }, make("b", {}, title), number);
      button.onclick = () => go(this.#next(name));
      const node = make("li", { "data-flow": name }, button);
      this.nodes.set(name, { node, number, button });
      byId("flow").append(node);
    }
  }

  show(steps) {
    this.steps = steps;
    const numbers = new Map();
    for (const { flow } of steps) numbers.set(flow, (numbers.get(flow) ?? 0) + 1);
    for (const [name, { number, button, node }] of this.nodes) {
      const steps = numbers.get(name) ?? 0;
      write(number, steps ? counted(steps, "step") : "no step");
      button.disabled = !steps;
      mark(node, "data-none", !steps);
    }
  }

  light(index) {
    this.index = index;
    const present = this.steps[index]?.flow;
    const done = new Set(this.steps.slice(0, Math.min(index, 2000)).map((step) => step.flow));
    const lit = this.nodes.get(present)?.node;
    if (lit && lit !== this.lit) centre(lit);
    this.lit = lit;
    for (const [name, { node }] of this.nodes) {
      mark(node, "aria-current", name === present ? "step" : null);
      mark(node, "data-done", name !== present && done.has(name));
    }
  }

  // Pressed again and again, a node leads through all of its steps.
  #next(name) {
    const after = this.steps.findIndex((step, index) => index > this.index && step.flow === name);
    return after >= 0 ? after : this.steps.findIndex((step) => step.flow === name);
  }
}
