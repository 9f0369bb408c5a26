// The page: a list of users, kept in step with the API at users/.
//
// Whatever a user wrote is only ever put in as text. No markup is made from strings.

import { ask } from "./last_click.js";

const byId = (id) => document.getElementById(id);
const list = byId("users");
const searchField = byId("search");
const addForm = byId("add");

const dates = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const graphemes = new Intl.Segmenter();

// The API

class Problem extends Error {}

async function api(method, path, { body, signal } = {}) {
  let response;
  const answered = ask();
  try {
    response = await fetch(path, {
      method,
      signal,
      headers: body && { "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The service cannot be reached. Is it running?");
  }
  answered(response.headers.get("Inspector-Request"));
  if (response.ok) return response.status === 204 ? null : response.json();
  const problem = await response.json().catch(() => ({}));
  const invalid = problem.errors?.map((each) => `The ${each.field} ${each.message}.`).join(" ");
  throw new Problem(invalid || problem.detail || `The service answered ${response.status}.`);
}

// The list

let sought = ""; // What the list was searched for.
let nextAfter = null; // Where its next page begins; null when all pages are here.
let loading = new AbortController();

let loaded; // The latest load: done, failed or still to come.

function load(what) {
  return (loaded = loadPage(what));
}

async function loadPage({ more = false } = {}) {
  loading.abort(); // Only the answer to the latest question counts.
  const { signal } = (loading = new AbortController());
  list.ariaBusy = "true";
  if (!more) sought = searchField.value.trim();
  const query = new URLSearchParams();
  if (sought) query.set("q", sought);
  if (more) query.set("after", nextAfter);
  try {
    const page = await api("GET", `users?${query}`, { signal });
    if (signal.aborted) return [];
    if (!more) list.replaceChildren();
    page.users.forEach(put);
    nextAfter = page.next_after;
    describe();
    return page.users;
  } catch (error) {
    if (signal.aborted) return [];
    if (!more) list.replaceChildren();
    describe(error.message);
    return [];
  } finally {
    if (!signal.aborted) list.ariaBusy = null;
  }
}

// Rows are in the order of their ids, like the pages: one that was just added stays last while
// the pages before it are still being loaded.
function put(user) {
  const row = newRow(user);
  const id = Number(row.dataset.id);
  let before = list.lastElementChild;
  while (before && Number(before.dataset.id) > id) before = before.previousElementSibling;
  if (before && Number(before.dataset.id) === id) before.replaceWith(row);
  else if (before) before.after(row);
  else list.prepend(row);
  return row;
}

function rowOf(user) {
  return list.querySelector(`[data-id="${user.id}"]`);
}

function newRow(user) {
  const row = copy("row");
  row.dataset.id = user.id;
  const badge = row.querySelector(".badge");
  badge.textContent = graphemes.segment(user.name)[Symbol.iterator]().next().value.segment;
  badge.style.setProperty("--hue", (user.id * 137) % 360);
  row.querySelector(".name").textContent = user.name;
  const added = row.querySelector("time");
  added.dateTime = user.created_at;
  added.textContent = dates.format(new Date(user.created_at));
  for (const button of row.querySelectorAll("button")) {
    button.ariaLabel = `${button.textContent} ${user.name}`;
  }
  row.querySelector('[data-action="rename"]').onclick = () => startRename(row, user);
  row.querySelector('[data-action="delete"]').onclick = () => startDelete(row, user);
  return row;
}

// Say in words what the list shows, or why it shows nothing.
function describe(failure = "") {
  const count = list.childElementCount;
  byId("failed").hidden = !failure;
  byId("failed-reason").textContent = failure;
  byId("none").hidden = failure || count || sought;
  byId("none-found").hidden = failure || count || !sought;
  byId("sought").textContent = sought;
  byId("further").hidden = failure || nextAfter === null;
  const users = count === 1 ? "1 user" : `${count.toLocaleString()} users`;
  byId("summary").textContent =
    failure || !count ? "" : `${users}${sought ? " found" : ""}${nextAfter ? ", and more" : ""}`;
}

// Adding

submits(addForm, async () => {
  const field = addForm.elements.name;
  const name = field.value;
  const user = await api("POST", "users", { body: { name } });
  if (field.value === name) field.value = ""; // Somebody may be writing the next one already.
  if (searchField.value) {
    searchField.value = "";
    load();
  }
  await loaded; // What was asked for before may come without the new user.
  const row = put(user);
  row.classList.add("new");
  row.scrollIntoView({ block: "nearest" });
  describe();
  say("Added ", user.name);
});

// Renaming and deleting: a form takes the place of what it is about.

function startRename(row, user) {
  const form = replaceContent(row, "rename-form", user, "rename");
  const field = form.elements.name;
  field.ariaLabel = `New name for ${user.name}`;
  field.value = user.name;
  field.select();
  submits(form, async () => {
    const renamed = await api("PATCH", `users/${user.id}`, { body: { name: field.value } });
    await loaded; // What was asked for before may come with the old name.
    const left = hasLeft(form);
    const changed = rowOf(user) && put(renamed);
    if (!left) changed?.querySelector('[data-action="rename"]').focus();
    say("Renamed to ", renamed.name);
  });
}

function startDelete(row, user) {
  const form = replaceContent(row, "delete-form", user, "delete");
  form.querySelector(".name").textContent = user.name;
  // Not on Delete: a key held a moment too long must not be enough.
  form.querySelector("[data-cancel]").focus();
  submits(form, async () => {
    await api("DELETE", `users/${user.id}`);
    await loaded; // What was asked for before may come with who is gone.
    const left = hasLeft(form);
    const gone = rowOf(user);
    const neighbour = gone?.nextElementSibling ?? gone?.previousElementSibling;
    gone?.remove();
    if (nextAfter !== null && !list.childElementCount) await load({ more: true });
    const target = neighbour ?? list.firstElementChild;
    if (!left) (target?.querySelector('[data-action="delete"]') ?? addForm.elements.name).focus();
    describe();
    say("Deleted ", user.name);
  });
}

function replaceContent(row, template, user, action) {
  const form = copy(template);
  const cancel = () => {
    const shown = put(user);
    shown.querySelector(`[data-action="${action}"]`).focus();
  };
  form.querySelector("[data-cancel]").onclick = cancel;
  form.onkeydown = (event) => {
    if (event.key === "Escape" && !event.isComposing) cancel();
  };
  row.querySelector(".person").remove();
  row.querySelector(".actions").remove();
  row.append(form);
  return form;
}

// Shared

function submits(form, send) {
  const error = form.querySelector(".error");
  const field = form.elements.name;
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (form.ariaBusy) return;
    form.ariaBusy = "true";
    error.textContent = "";
    field?.removeAttribute("aria-invalid");
    try {
      await send();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      error.textContent = problem.message;
      field?.setAttribute("aria-invalid", "true");
      field?.focus();
    } finally {
      form.ariaBusy = null;
    }
  };
}

// Whether somebody has gone on elsewhere while an answer was awaited: the focus stays there then.
function hasLeft(form) {
  return document.activeElement !== document.body && !form.contains(document.activeElement);
}

function copy(template) {
  return byId(template).content.firstElementChild.cloneNode(true);
}

let silence;

function say(text, name) {
  const isolated = document.createElement("bdi");
  isolated.textContent = name;
  byId("status").replaceChildren(text, isolated);
  clearTimeout(silence);
  silence = setTimeout(() => byId("status").replaceChildren(), 4000);
}

let pause;

searchField.oninput = () => {
  clearTimeout(pause);
  pause = setTimeout(() => load(), 150);
};
searchField.onkeydown = (event) => {
  if (event.key === "Escape" && searchField.value && !event.isComposing) {
    searchField.value = "";
    load();
  }
};
byId("clear").onclick = () => {
  searchField.value = "";
  searchField.focus();
  load();
};
byId("retry").onclick = async () => {
  await load({ more: list.childElementCount > 0 });
  if (byId("failed").hidden) searchField.focus();
};
byId("more").onclick = async () => {
  if (list.ariaBusy) return; // It asked already, or a search is about to put another list here.
  const [first] = await load({ more: true });
  // Whoever pressed the button goes on reading where the new rows begin.
  if (first && !hasLeft(byId("further"))) rowOf(first).querySelector("button").focus();
};

load();
