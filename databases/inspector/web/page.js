// The page: which view is shown, what the server says of itself, and the keys.
//
// Whatever a query, a name or an error contains is only ever put in as text.

import { post, Problem } from "./api.js";
import { byId, centre, mark, write } from "./dom.js";
import { count, line, visible } from "./format.js";
import { MomentsView } from "./moments.js";
import { NowView } from "./now.js";
import { RequestView } from "./request.js";
import { RequestsView } from "./requests.js";
import { StatementsView } from "./statements.js";
import { Stream } from "./stream.js";

const VIEWS = ["now", "requests", "moments", "statements"];
let route = {};
let paused = false;
let online = false; // Clocks that went on without the server would lie.

const draws =
  (...names) => () => !paused && online && !document.hidden && names.includes(shown());
const shown = () => (route.view === "requests" && route.request !== undefined ? "request" : route.view);

const now = new NowView({ say, draws: draws("now") });
const requests = new RequestsView({
  open: (n) => go(`requests/${n}`),
  draws: draws("requests"),
});
const request = new RequestView({
  chosen: keepAddress,
  beside(n, by) {
    const next = requests.beside(n, by);
    if (next) go(`requests/${next.n}`);
  },
});
const moments = new MomentsView();
const statements = new StatementsView();
const views = { now, requests, request, moments, statements };
setInterval(() => draws("request")() && request.tick(), 500);

// What the server pushes

const stream = new Stream({
  merge(kind, data) {
    if (kind !== "requests") return request.merge(kind, data) && "request";
    requests.merge(data);
    return "requests";
  },
  receive(kind, data) {
    if (kind === "status") return describe(data);
    if (kind === "request" && shown() !== "request") return;
    views[kind].draw(data);
    mark(byId(`view-${kind}`), "aria-busy", null);
  },
  connection(state) {
    online = state === "live";
    mark(document.body, "data-connection", state);
    write(byId("connection"), state === "live" ? "live" : "connection lost, trying again…");
  },
});

function describe(status) {
  mark(byId("database"), "data-state", status.state);
  write(byId("state"), line(status.state, 40));
  write(byId("url"), line(status.url));
  mark(byId("url"), "title", line(`${status.url} (${status.backend}, process ${status.pid})`, 1000));
  write(byId("steps"), count(status.steps));
  mark(byId("steps").parentElement, "title", `${count(status.kept)} of them are kept`);
  write(byId("count-now"), status.waiting ? `${count(status.waiting)} waiting` : "");
  write(byId("count-requests"), status.requests ? count(status.requests) : "");
  write(byId("count-moments"), status.moments ? count(status.moments) : "");
  write(byId("count-statements"), status.statements ? count(status.statements) : "");
}

// Which view is shown: #now, #requests, #requests/17, #requests/17/1201, #moments/5, #statements

function follow() {
  const [view, ...numbers] = location.hash.slice(1).split("/");
  const [number, step] = numbers.map((each) => (/^\d{1,15}$/.test(each) ? Number(each) : undefined));
  const before = shown();
  route = { view: VIEWS.includes(view) ? view : "now" };
  if (route.view === "requests") Object.assign(route, { request: number, step });
  for (const name of Object.keys(views)) byId(`view-${name}`).hidden = name !== shown();
  for (const link of document.querySelectorAll("nav a")) {
    const current = link.hash === `#${route.view}`;
    mark(link, "aria-current", current ? "page" : null);
    if (current) centre(link);
  }
  if (shown() === "request") request.expect(number, step);
  if (route.view === "moments" && number !== undefined) moments.reveal(number);
  const query = shown() === "request" ? `view=requests&request=${number}` : `view=${route.view}`;
  // Until the server has told it, a view shows what it was the last time.
  if (stream.open(query)) mark(byId(`view-${shown()}`), "aria-busy", "true");
  if (shown() === before) return;
  if (before) scrollTo(0, 0);
  if (shown() === "requests") {
    requests.list.draw();
    if (before === "request") {
      requests.list.select(requests.list.indexOf(request.n), { quietly: true });
      requests.list.focus();
    }
  }
  document.title = `${shown() === "request" ? "Request" : byId(`view-${route.view}`).ariaLabel} · Inspector`;
}

// At once: the browser tells of the new address later, and the next key may come before.
function go(hash) {
  location.hash = hash;
  follow();
}

// The address names the step, to be passed on; browsers allow it to change only so often.
let keeping;

function keepAddress(n, step) {
  clearTimeout(keeping);
  keeping = setTimeout(() => {
    if (shown() === "request" && route.request === n) history.replaceState(null, "", `#requests/${n}/${step}`);
  }, 400);
}

// Buttons and keys

function say(text) {
  write(byId("said"), visible(text).slice(0, 400));
  clearTimeout(say.silence);
  say.silence = setTimeout(() => write(byId("said"), ""), 6000);
}

function pause() {
  paused = !paused;
  stream.pause(paused);
  mark(byId("pause"), "aria-pressed", paused ? "true" : "false");
  write(byId("pause"), paused ? "Resume" : "Pause");
  mark(document.body, "data-paused", paused);
}

byId("pause").onclick = pause;
byId("help-button").onclick = () => byId("help").showModal();
byId("clear").onclick = () => byId("clearing").showModal();
for (const button of document.querySelectorAll("[data-close]")) {
  button.onclick = () => button.closest("dialog").close();
}
byId("clear-now").onclick = async () => {
  byId("clearing").close();
  try {
    await post("clear"); // What is left the stream tells, perhaps before this is answered.
    say("Forgot everything that was recorded.");
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    say(problem.message);
  }
};

function back() {
  if (shown() === "request") go("requests");
}

byId("back").onclick = (event) => {
  event.preventDefault();
  back();
};

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  if (target.matches("input[type=search]")) {
    if (key === "Escape") {
      if (!target.value) requests.list.focus();
      target.value = "";
      requests.draw();
    } else if (key === "Enter" || key === "ArrowDown") {
      requests.toFirst();
      event.preventDefault();
    }
    return;
  }
  if (target.matches("input[type=range]") && /^(Arrow|Page|Home|End)/.test(key)) return;
  if (/^[1-4]$/.test(key)) go(VIEWS[key - 1]);
  else if (key === "?") byId("help").showModal();
  else if (key === "p") pause();
  else if (key === "Escape") back();
  else if (key === "/" && route.view !== "requests") {
    go("requests");
    byId("filter").focus();
    event.preventDefault();
  } else views[shown()].key?.(event);
});

addEventListener("hashchange", follow);
follow();
