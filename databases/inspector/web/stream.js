// What the server pushes. One EventSource at a time, for what is being looked at, and no more than
// one drawing a frame, however much arrives.

import { onceAFrame } from "./dom.js";

const RETRY = 2000;
const GRACE = 1500; // Streams end and are opened again all the time; only what lasts is a loss.
const WHOLE = ["status", "now", "moments", "statements"];
const PIECES = ["requests", "request", "steps"];

export class Stream {
  // receive(kind, data) draws what came whole; merge(kind, data) takes pieces, of which none may be
  // missed, and returns the view to draw; connection(state) hears "live" or "lost".
  constructor({ receive, merge, connection }) {
    this.receive = receive;
    this.merge = merge;
    this.connection = connection;
    this.waiting = new Map(); // The newest of each, not even parsed before its turn.
    this.drawn = new Set();
    this.paused = false;
    this.ask = onceAFrame(() => this.#draw());
    // A browser keeps six connections to a server; pages in the background must leave them to others.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#close() : this.#connect()));
    addEventListener("pagehide", () => this.#close());
    addEventListener("pageshow", (event) => event.persisted && this.#connect());
  }

  // False where it is open already.
  open(query) {
    if (query === this.query) return false;
    this.query = query;
    this.waiting.clear();
    this.drawn.clear();
    this.newest = null;
    this.#connect();
    return true;
  }

  // Paused, what is opened newly is drawn once, and then stays as it is.
  pause(paused) {
    this.paused = paused;
    if (!paused) this.ask();
  }

  #close() {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }

  #connect() {
    this.#close();
    if (!this.query || document.hidden) return;
    const source = (this.source = new EventSource(`events?${this.query}`));
    source.onopen = () => {
      clearTimeout(this.losing);
      this.losing = 0;
      this.connection("live");
    };
    source.onerror = () => {
      this.losing ||= setTimeout(() => this.connection("lost"), GRACE);
      // The browser tries again by itself, except where the server answered with an error.
      if (source.readyState === EventSource.CLOSED) this.retry = setTimeout(() => this.#connect(), RETRY);
    };
    for (const kind of WHOLE) source.addEventListener(kind, ({ data }) => this.#arrived(kind, data));
    for (const kind of PIECES) {
      source.addEventListener(kind, ({ data }) => {
        // A stream that is opened again begins with the same request, which may be megabytes.
        if (kind === "request" && data === this.newest) return;
        if (kind === "request") this.newest = data;
        const view = this.merge(kind, JSON.parse(data));
        if (view) this.#arrived(view, null);
      });
    }
  }

  #arrived(kind, data) {
    this.waiting.set(kind, data);
    this.ask();
  }

  #draw() {
    for (const [kind, data] of this.waiting) {
      if (this.paused && kind !== "status" && this.drawn.has(kind)) continue;
      this.waiting.delete(kind);
      this.drawn.add(kind);
      this.receive(kind, data === null ? null : JSON.parse(data));
    }
  }
}
