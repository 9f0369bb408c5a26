// How numbers, times, places and strings from anybody are written.

const whole = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

export const count = (number) => whole.format(number);

export function counted(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

// Three digits are what can be compared at a glance.
export function duration(ms) {
  if (ms === null || ms === undefined) return "";
  const size = Math.abs(ms);
  if (size === 0) return "0 ms";
  if (size < 0.01) return `${ms < 0 ? "−" : ""}<0.01 ms`;
  if (size < 10) return `${ms.toFixed(2)} ms`;
  if (size < 100) return `${ms.toFixed(1)} ms`;
  if (size < 999.5) return `${Math.round(ms)} ms`;
  return seconds(ms / 1000);
}

export function seconds(value) {
  if (value < 0) return `−${seconds(-value)}`;
  if (value < 10) return `${value.toFixed(2)} s`;
  if (value < 59.95) return `${value.toFixed(1)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
  return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`;
}

// A running clock: a digit that changes ten times a second and no more.
export function running(value) {
  return value < 59.95 ? `${Math.max(0, value).toFixed(1)} s` : seconds(value);
}

export const timeOfDay = (epoch) => clock.format(new Date(epoch * 1000));

// Control characters would hide or turn round what stands beside them; so they are shown themselves.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function visible(text) {
  return String(text).replace(UNSEEN, (character) => {
    const code = character.charCodeAt(0);
    if (code === 13) return "";
    const digits = code.toString(16);
    return code < 0x100 ? `\\x${digits.padStart(2, "0")}` : `\\u${digits.padStart(4, "0")}`;
  });
}

// For a line that ends in an ellipsis anyway: megabytes of text in it would only cost time.
export function line(text, limit = 240) {
  if (text === null || text === undefined) return "";
  const start = String(text).slice(0, limit + 1);
  const cut = start.length > limit ? `${start.slice(0, limit)}…` : start;
  return visible(cut).replace(/\s+/g, " ");
}

export function shortPlace(place) {
  return place ? `${line(place.file.split(/[\\/]/).pop(), 60)}:${place.line}` : "";
}

export function fullPlace(place) {
  if (!place) return "";
  const where = `${line(place.file)}:${place.line}`;
  return place.function ? `${where} in ${line(place.function, 80)}` : where;
}

export function requestName(request) {
  if (!request) return "";
  return request.n === 0 ? "outside requests" : `${line(request.method, 16)} ${line(request.path)}`;
}
