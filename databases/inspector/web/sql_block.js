// SQL and code, to read and to copy. Words of SQL are told apart by spans, so it stays text.

import { make } from "./dom.js";
import { count, visible } from "./format.js";

const LIMIT = 20_000; // More characters than anybody reads; all of them are copied all the same.
const TOKENS = new RegExp(
  [
    "(--[^\\n]*|/\\*[\\s\\S]*?(?:\\*/|$))",
    "('(?:[^']|'')*'?)",
    "(:[A-Za-z_]\\w*|\\$\\d+|%s|\\?)",
    "\\b(SELECT|FROM|WHERE|AND|OR|NOT|IN|IS|NULL|LIKE|BETWEEN|JOIN|LEFT|RIGHT|FULL|INNER|OUTER|CROSS|ON|USING|GROUP|ORDER|BY|HAVING|LIMIT|OFFSET|UNION|ALL|DISTINCT|AS|WITH|RECURSIVE|INSERT|INTO|VALUES|UPDATE|SET|DELETE|RETURNING|CONFLICT|DO|NOTHING|CREATE|ALTER|DROP|TABLE|INDEX|VIEW|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|CASE|WHEN|THEN|ELSE|END|EXISTS|ASC|DESC|OVER|PARTITION|FOR|EXPLAIN|ANALYZE)\\b",
  ].join("|"),
  "gi",
);
const KINDS = [null, "comment", "string", "value", "word"];

export function sqlBlock(sql, label = "SQL") {
  return block(sql, label, (text) => [...highlighted(text)]);
}

export function codeBlock(code, label, name = "") {
  return block(code, label, (text) => [text], name);
}

function block(text, label, parts, name = "") {
  const code = make("code", {}, ...parts(visible(text.slice(0, LIMIT))));
  if (text.length > LIMIT) code.append(make("em", {}, ` … and ${count(text.length - LIMIT)} characters more`));
  const pre = make("pre", { tabindex: 0, dir: "ltr" }, code);
  const copy = make("button.copy", { type: "button", "aria-label": `Copy ${label}` }, "Copy");
  copy.onclick = async () => {
    copy.textContent = (await copied(text, pre)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  };
  return make(
    `figure.code${name && `.${name}`}`,
    {},
    make("figcaption", {}, make("span", {}, label), copy),
    pre,
  );
}

export function* highlighted(text) {
  let end = 0;
  for (const match of text.matchAll(TOKENS)) {
    if (match.index > end) yield text.slice(end, match.index);
    yield make(`span.${KINDS[match.findIndex((part, index) => index && part !== undefined)]}`, {}, match[0]);
    end = match.index + match[0].length;
  }
  if (end < text.length) yield text.slice(end);
}

async function copied(text, pre) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS there is no clipboard: mark the text, the rest is a key away.
    window.getSelection().selectAllChildren(pre);
    return false;
  }
}
