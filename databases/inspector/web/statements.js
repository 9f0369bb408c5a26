// Statements by family: which shape of query the time goes into.

import { byId, make, mark, write } from "./dom.js";
import { count, counted, duration, fullPlace, line, requestName } from "./format.js";
import { explainButton } from "./explain.js";
import { sqlBlock } from "./sql_block.js";
import { showSorting, VirtualList } from "./virtual_list.js";

const COLUMNS = [
  { name: "total", title: "Total", sorts: true, hint: "Time in the database, all together" },
  { name: "sql", title: "Statement" },
  { name: "count", title: "Count", sorts: true },
  { name: "p50", title: "p50", sorts: true, hint: "Half of them took no longer" },
  { name: "p95", title: "p95", sorts: true },
  { name: "p99", title: "p99", sorts: true },
  { name: "max", title: "Max", sorts: true },
  { name: "rows", title: "Rows", sorts: true },
  { name: "errors", title: "Errors", sorts: true },
];

export class StatementsView {
  constructor() {
    this.statements = [];
    this.sorted = "total";
    this.descending = true;
    this.list = new VirtualList(byId("statement-list"), {
      label: "Statements",
      columns: COLUMNS,
      key: (statement) => statement.family,
      attribute: "statement",
      fill: (cells, statement, row) => this.#fill(cells, statement, row),
      sort: (name) => {
        this.descending = name === this.sorted ? !this.descending : true;
        this.sorted = name;
        this.#sort();
      },
      select: (statement) => this.#describe(statement),
    });
  }

  draw({ statements }) {
    this.statements = statements;
    byId("no-statements").hidden = statements.length > 0;
    byId("statement-list").hidden = !statements.length;
    this.#sort();
    const chosen = this.list.items[this.list.selected];
    byId("statement-detail").hidden = !chosen;
    if (chosen) this.#describe(chosen);
  }

  key(event) {
    return this.list.pressed(event);
  }

  #sort() {
    const sign = this.descending ? -1 : 1;
    this.all = this.statements.reduce((sum, each) => sum + each.total, 0) || 1;
    showSorting(this.list, this.sorted, this.descending);
    this.list.show([...this.statements].sort((a, b) => sign * (a[this.sorted] - b[this.sorted])));
  }

  #fill(cells, statement, row) {
    const share = cells.total.firstElementChild ?? cells.total.appendChild(make("span.share"));
    const total = cells.total.children[1] ?? cells.total.appendChild(make("span"));
    share.style.width = `${(100 * statement.total) / this.all}%`;
    write(total, duration(statement.total));
    write(cells.sql, line(statement.sql));
    for (const name of ["count", "rows"]) write(cells[name], count(statement[name]));
    for (const name of ["p50", "p95", "p99", "max"]) write(cells[name], duration(statement[name]));
    write(cells.errors, statement.errors ? count(statement.errors) : "");
    mark(row, "data-failed", statement.errors > 0);
  }

  #describe(statement) {
    const panel = byId("statement-detail");
    panel.hidden = false;
    if (this.family !== statement.family) {
      this.family = statement.family;
      this.facts = make("span");
      this.slowest = make("a.request");
      this.worst = make("span", {}, ". The slowest was in ", this.slowest);
      this.places = make("ul.places");
      panel.replaceChildren(
        make("h3", {}, "Statement ", make("span.quiet", {}, line(statement.family, 40))),
        make("p.quiet", {}, this.facts, this.worst),
        sqlBlock(statement.sql),
        ...(statement.explain ? [explainButton(statement.family)] : []),
        make("h4", {}, "Places"),
        this.places,
      );
    }
    write(
      this.facts,
      `${counted(statement.count, "time")}, ${duration(statement.total)} in all, ` +
        `${Math.round((100 * statement.total) / this.all)}% of the time in the database`,
    );
    const { slowest } = statement;
    this.worst.hidden = !slowest;
    write(this.slowest, requestName(slowest));
    mark(this.slowest, "href", slowest && `#requests/${slowest.n}`);
    const places = JSON.stringify(statement.places);
    if (places === this.places.shown) return;
    this.places.shown = places;
    this.places.replaceChildren(
      ...statement.places.slice(0, 50).map(({ place, count: times }) =>
        make(
          "li",
          {},
          make("b", {}, count(times)),
          make("span.file", {}, place ? fullPlace(place) : "place not known"),
          place?.source ? make("code", {}, line(place.source)) : null,
        ),
      ),
    );
  }
}
