// Building and changing elements. Strings become text or plain attributes here, never markup.

export const byId = (id) => document.getElementById(id);

// make("button.plain", { type: "button", onclick }, "Copy"): a tag with its classes, what it has, what is in it.
export function make(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Elements are written many times a second, mostly with what stands there already.
export function write(element, text) {
  const only = element.firstChild;
  if (only?.nodeType === Node.TEXT_NODE && !only.nextSibling) {
    if (only.data !== text) only.data = text;
  } else if (only || text) {
    element.textContent = text;
  }
}

export function mark(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

// One child for each item, in their order. What stays keeps its element, and so the focus in it, and
// stays where it is as long as the order allows: a press on what is moved is lost.
export function keyed(container, items, keyOf, create, update) {
  const wanted = new Map(items.map((item) => [String(keyOf(item)), item]));
  const known = new Map();
  for (const child of [...container.children]) {
    if (wanted.has(child.key)) known.set(child.key, child);
    else child.remove();
  }
  const focused = container.contains(document.activeElement) ? document.activeElement : null;
  let place = container.firstElementChild;
  for (const [key, item] of wanted) {
    let element = known.get(key);
    if (!element) {
      element = create(item);
      element.key = key;
    }
    update?.(element, item);
    if (element === place) place = place.nextElementSibling;
    else container.insertBefore(element, place);
  }
  if (focused !== document.activeElement) focused?.focus({ preventScroll: true });
}

// Bring an element into sight in its own row, without moving the page.
export function centre(element) {
  const row = element.parentElement;
  row.scrollLeft = element.offsetLeft - row.offsetLeft - (row.clientWidth - element.offsetWidth) / 2;
}

const asked = new Set();

// Whatever asks again before the next frame is drawn is drawn with it, and so is what asks while it
// is being drawn: a heading and the rows below it speak of the same.
export function onceAFrame(draw) {
  return () => {
    if (!asked.size) requestAnimationFrame(drawAll);
    asked.add(draw);
  };
}

function drawAll() {
  try {
    for (const draw of asked) {
      asked.delete(draw);
      draw();
    }
  } finally {
    if (asked.size) requestAnimationFrame(drawAll); // One of them failed, not the others.
  }
}
