// What the last click did: the steps of the request that it made, as the inspector knows them.
//
// The service says the number of each request while the inspector is switched on, and only then.

const byId = (id) => document.getElementById(id);
const panel = byId("last-click");

const RETRIES = [0, 100, 300, 1000, 3000]; // Milliseconds: the last step comes just after the answer.

let table; // A promise: made when there is something to show, because most services have it off.
let asked = 0; // Counts what this page asked for; the service begins anew when it is started again.
let latest = 0;

// Called when a request is made; returns what to call with the number of it that comes with its answer.
export function ask() {
  const click = ++asked;
  return (number) => {
    if (!number || click < latest) return;
    latest = click;
    show(number, () => latest === click);
  };
}

async function show(number, isLatest) {
  try {
    table ??= makeTable();
    const shown = await table;
    for (const pause of RETRIES) {
      await new Promise((done) => setTimeout(done, pause));
      if (!isLatest()) return; // Another click came.
      const response = await fetch(`inspector/requests/${number}`);
      if (!response.ok) return;
      const detail = await response.json();
      if (!isLatest()) return; // It overtook this answer.
      panel.hidden = false;
      describe(detail.summary);
      // How the service came to be connected is not what the click did.
      shown.show({ ...detail, prologue: [] });
      if (detail.summary.duration !== null) return;
    }
  } catch {
    // The page is about users: without the inspector, or without its token, it does without.
  }
}

async function makeTable() {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = "inspector/execution.css";
  // Rows are as high as the style says, and nothing that is about to be pressed is to move.
  const styled = new Promise((done) => (style.onload = style.onerror = done));
  document.head.append(style);
  const { ExecutionTable } = await import("./inspector/execution.js");
  await styled;
  byId("to-inspector").hidden = false;
  document.body.classList.add("inspected");
  return new ExecutionTable(byId("last-click-steps"), { compact: true });
}

function describe({ method, path, status, queries, database, duration, n }) {
  const [link, words] = byId("last-click-summary").children;
  link.href = `inspector/#requests/${n}`;
  link.textContent = `${method} ${path}`;
  const counted = queries === 1 ? "1 query" : `${queries} queries`;
  const took = duration === null ? "" : ` of ${duration.toFixed(1)} ms`;
  words.textContent = ` ${status ?? "…"}: ${counted}, ${database.toFixed(1)}${took || " ms"} in the database`;
}
