// The threads between those who wait and the lanes that block them.

const SVG = "http://www.w3.org/2000/svg";
const ALL = 48; // With more of them than this, only those of one waiter can be told apart.

// pointed: the lane or waiter under the pointer or the focus, or null.
export function drawThreads(board, now, pointed) {
  const svg = board.querySelector("svg");
  const lanes = new Map([...board.querySelectorAll("[data-lane]")].map((each) => [each.dataset.lane, each]));
  const waiters = [...board.querySelectorAll("[data-waiter]")];
  const pairs = waiters.flatMap((waiter) => waiter.blockers.map((name) => [waiter, lanes.get(name)]));
  const known = pairs.filter(([, lane]) => lane);
  const lit = pointed?.isConnected ? known.filter((pair) => pair.includes(pointed)) : [];
  const blocking = new Set(known.map(([, lane]) => lane));
  const linked = new Set(lit.flat());
  for (const each of [...waiters, ...lanes.values()]) {
    each.toggleAttribute("data-blocking", blocking.has(each));
    each.toggleAttribute("data-linked", linked.has(each));
  }
  const few = known.length <= ALL ? known : known.filter(([waiter]) => waiter === waiters[0]);
  const shown = [...new Set([...few, ...lit])];
  while (svg.childElementCount > shown.length) svg.lastElementChild.remove();
  if (!shown.length || getComputedStyle(svg).display === "none") return;
  const origin = board.getBoundingClientRect();
  shown.forEach(([waiter, lane], index) => {
    const path = svg.children[index] ?? svg.appendChild(document.createElementNS(SVG, "path"));
    const from = waiter.getBoundingClientRect();
    const to = lane.getBoundingClientRect();
    const x1 = from.right - origin.left;
    const x2 = to.left - origin.left;
    const y1 = from.top + Math.min(from.height / 2, 24) - origin.top;
    const y2 = to.top + Math.min(to.height / 2, 24) - origin.top;
    const bend = (x2 - x1) / 2;
    path.setAttribute("d", `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`);
    path.toggleAttribute("data-linked", lit.some((pair) => pair[0] === waiter && pair[1] === lane));
  });
}
