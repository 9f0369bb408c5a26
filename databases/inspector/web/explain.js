// A button that asks the database how it would run a statement, and what it answered.

import { post, Problem } from "./api.js";
import { make } from "./dom.js";
import { visible } from "./format.js";

// Where a plan reads everything, the missing index is.
const READS_ALL = /\bSCAN\b(?! CONSTANT)(?!.*\bUSING\b)|Seq Scan|Table scan/;

export function explainButton(family) {
  const answer = make("div.plan", { "aria-live": "polite" });
  const button = make("button.explain", { type: "button" }, "EXPLAIN");
  button.onclick = async () => {
    if (button.ariaBusy) return;
    button.ariaBusy = "true";
    try {
      const { plan } = await post("explain", { family });
      const lines = plan.map((line) =>
        make(READS_ALL.test(line) ? "span.reads-all" : "span", {}, `${visible(line)}\n`),
      );
      const all = plan.some((line) => READS_ALL.test(line));
      answer.replaceChildren(
        make("pre", { tabindex: 0, dir: "ltr" }, ...lines),
        ...(all ? [make("p.quiet", {}, "The marked lines read a whole table. Is there an index missing?")] : []),
      );
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      answer.replaceChildren(make("p.failure", {}, visible(problem.message)));
    } finally {
      button.ariaBusy = null;
    }
  };
  return make("div.explaining", {}, button, answer);
}
