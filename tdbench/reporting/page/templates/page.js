// Charts and tables of the page. Without this script the page shows pictures and full tables.
const { groups, config, metrics, libraries } = JSON.parse(document.getElementById("chart-data").textContent);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function choice(label, values, chosen, changed) {
  const options = Object.entries(values).map(([value, text]) => element("option", { value, textContent: text }));
  const select = element("select", { name: label, onchange: () => changed(select.value) }, ...options);
  select.value = chosen;
  return element("label", {}, `${label} `, select);
}

class ChartGroup {
  constructor(place) {
    this.group = groups[place.dataset.group];
    this.views = [];
    this.metric = Object.keys(this.group.specs)[0];
    this.library = libraries[0];
    const names = Object.fromEntries(libraries.map((name) => [name, name]));
    const known = Object.fromEntries(Object.keys(this.group.specs).map((name) => [name, metrics[name]]));
    const switches = element("div", { className: "choices" });
    switches.append(choice("metric", known, this.metric, (value) => this.draw({ metric: value })));
    const library = choice("library", names, this.library, (value) => this.draw({ library: value }));
    this.select = library.querySelector("select");
    switches.append(library);
    const legend = element("ul", { className: "legend" });
    for (const [name, colour] of Object.entries(this.group.legend)) {
      const mark = element("i");
      mark.style.background = colour;
      legend.append(element("li", {}, mark, name));
    }
    this.cells = element("div", { className: "cells" });
    place.querySelector(".charts").replaceChildren(switches, legend, this.cells);
    place.hidden = false;
    this.place = place;
  }

  async draw(chosen = {}) {
    Object.assign(this, chosen);
    // Not every library computes every metric.
    const given = Object.keys(this.group.rows).map((key) => key.split("|")).filter(([, metric]) => metric === this.metric);
    for (const option of this.select.options) option.disabled = !given.some(([, , name]) => name === option.value);
    if (this.select.querySelector("option:checked").disabled) this.library = given[0][2];
    this.select.value = this.library;
    this.place.setAttribute("aria-busy", "true");
    this.views.splice(0).forEach((view) => view.finalize());
    this.cells.replaceChildren();
    for (const { key, title } of this.group.cells) {
      const rows = this.group.rows[`${key}|${this.metric}|${this.library}`];
      const cell = element("div", { className: "cell" }, element("h4", { textContent: title }));
      this.cells.append(cell);
      if (!rows) cell.append(`${this.library} has no ${this.metric} here.`);
      for (const [index, values] of (rows ?? []).entries()) {
        const chart = element("div", { className: "chart" });
        cell.append(chart);
        const spec = { ...this.group.specs[this.metric][index], datasets: { rows: values } };
        this.views.push(await vegaEmbed(chart, spec, { config, renderer: "svg", actions: false }));
      }
    }
    this.place.setAttribute("aria-busy", "false");
  }
}

async function drawCharts() {
  for (const place of document.querySelectorAll(".interactive")) {
    const group = new ChartGroup(place);
    try {
      await group.draw();
    } catch (error) {
      place.hidden = true; // the picture remains
      throw error;
    }
  }
}

// Tables: a click on a header sorts; columns with data-choice have a filter.
const openBeforePrint = [];
const choosers = [];

class Chooser {
  constructor(table, node) {
    this.table = table;
    this.headers = [...node.querySelectorAll("th[data-choice]")];
    this.keys = [...node.querySelectorAll("th[data-key]")].map((header) => table.column(header).index());
    this.count = element("output");
    this.bar = element("div", { className: "choices" });
    this.selects = this.headers.map((header) => this.add(header));
    const all = element("button", { type: "button", textContent: "show all rows", onclick: () => this.showAll() });
    this.bar.append(all, this.count);
    node.closest(".scroll").before(this.bar);
    this.apply();
  }

  add(header) {
    const column = this.table.column(this.table.column(header).index());
    const values = Object.fromEntries(column.data().unique().toArray().map((value) => [value, value]));
    const select = () => label.querySelector("select");
    const name = header.textContent.trim();
    const label = choice(name, { "": "all", ...values }, header.dataset.choice, () => this.change(select()));
    this.bar.append(label);
    return [column, select()];
  }

  change(changed) {
    this.apply();
    if (this.table.rows({ search: "applied" }).count()) return;
    // Earlier choices can exclude every row, such as a library that lacks this metric, so they are reset.
    for (const [, select] of this.selects) if (select !== changed) select.value = "";
    this.apply();
  }

  apply(everything = false) {
    for (const [column, select] of this.selects) {
      const value = everything ? "" : select.value;
      column.search.fixed("choice", value ? (cell) => cell === value : null);
    }
    this.table.draw();
    // Columns with one value are hidden and named once, which saves width on a phone.
    const shown = { search: "applied" };
    const same = [];
    for (const column of this.keys) {
      const values = this.table.column(column, shown).data().unique().toArray();
      const hide = !everything && values.length === 1;
      this.table.column(column).visible(!hide, false);
      if (hide) same.push(values[0]);
    }
    const count = `${this.table.rows(shown).count()} of ${this.table.rows().count()} rows`;
    this.count.textContent = same.length ? `${count}, all ${same.join(", ")}` : count;
  }

  showAll() {
    for (const [, select] of this.selects) select.value = "";
    this.apply();
  }
}

async function sortTables() {
  const { default: DataTable } = await import(document.getElementById("table-module").textContent);
  const bare = { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null };
  for (const node of document.querySelectorAll(".scroll > table")) {
    const table = new DataTable(node, { paging: false, info: false, autoWidth: false, order: [], layout: bare });
    if (node.querySelector("th[data-choice]")) choosers.push(new Chooser(table, node));
  }
}

// Print shows all rows and all folded parts.
addEventListener("beforeprint", () => {
  choosers.forEach((chooser) => chooser.apply(true));
  for (const fold of document.querySelectorAll("details:not([open])")) {
    fold.open = true;
    openBeforePrint.push(fold);
  }
});
addEventListener("afterprint", () => {
  choosers.forEach((chooser) => chooser.apply());
  openBeforePrint.splice(0).forEach((fold) => (fold.open = false));
});

await Promise.all([sortTables(), drawCharts()]);
document.documentElement.dataset.ready = "true";
