// What a report gains where scripts run: tables can be searched and sorted, the timeline can be zoomed.
"use strict";

(() => {
  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // --- tables

  const valueOf = (cell) => {
    const given = cell.dataset.value;
    if (given === undefined) return cell.textContent.trim().toLowerCase();
    return given === "" ? null : Number(given);
  };

  // What is not known stays below, whichever way the rest goes.
  const compare = (first, second, direction) => {
    if (first === null || second === null) return (first === null) - (second === null);
    if (typeof first === "number" && typeof second === "number") return direction * (first - second);
    return direction * String(first).localeCompare(String(second), "en", { numeric: true });
  };

  const sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!head.textContent.trim()) return;
      const button = element("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const number = head.classList.contains("number");
        const was = head.getAttribute("aria-sort");
        const descending = was ? was === "ascending" : number;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const direction = descending ? -1 : 1;
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
        rows.sort(([first], [second]) => compare(first, second, direction));
        body.append(...rows.map(([, row]) => row));
      });
    });
  };

  const searchable = (table) => {
    const rows = [...table.tBodies[0].rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const field = element("input", { type: "search", "aria-label": `Search: ${table.caption.textContent}` });
    const found = element("output", {}, "");
    field.placeholder = "Search";
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, place) => {
        row.hidden = !words.every((word) => texts[place].includes(word));
        shown += !row.hidden;
      });
      found.textContent = words.length ? `${shown} of ${rows.length}` : "";
    });
    table.closest(".scroll").before(element("div", { class: "find" }, field, found));
  };

  for (const table of document.querySelectorAll("table[data-sort]")) sortable(table);
  for (const table of document.querySelectorAll("table[data-search]")) searchable(table);

  // --- the timeline

  const clock = (ms) => new Date(ms).toISOString().replace("T", " ").slice(0, 23);

  const timeline = async (figure) => {
    const spec = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const stage = element("div", {
      class: "live", tabindex: "0", role: "group",
      "aria-label": `${figure.dataset.name} Keys: plus and minus zoom, arrows move, 0 shows all.`,
    });
    const target = element("div");
    stage.append(target);
    spec.width = "container";
    spec.config.legend.columns = figure.clientWidth < 560 ? 2 : 4;
    figure.prepend(stage);
    // `ast`: expressions are interpreted, so the page's policy need not allow code made from strings.
    const { view } = await vegaEmbed(target, spec, {
      actions: false, ast: true, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true },
    });
    for (const still of figure.querySelectorAll(".still")) still.remove();

    const times = spec.datasets.rows.map((row) => row.t);
    const first = Math.min(...times);
    const last = Math.max(...times);
    const shown = element("output", { "aria-live": "polite" });
    const window_ = () => {
      const domain = view.signal("zoom_t");
      return domain ? domain.map(Number) : [first, last];
    };
    const tell = () => {
      const [from, to] = window_();
      shown.textContent = `${clock(from)} to ${clock(to)}`;
      figure.dataset.from = Math.round(from);
      figure.dataset.to = Math.round(to);
    };
    const show = async (from, to) => {
      view.signal("zoom_t", [from, to]);
      await view.runAsync();
      tell();
    };
    const zoom = (factor) => {
      const [from, to] = window_();
      const half = ((to - from) * factor) / 2;
      const middle = (from + to) / 2;
      return show(Math.max(first, middle - half), Math.min(last, middle + half));
    };
    const move = (part) => {
      const [from, to] = window_();
      const by = Math.max(first - from, Math.min(last - to, (to - from) * part));
      return show(from + by, to + by);
    };
    const acts = {
      "Zoom in": ["+", () => zoom(0.5)],
      "Zoom out": ["-", () => zoom(2)],
      "Earlier": ["ArrowLeft", () => move(-0.25)],
      "Later": ["ArrowRight", () => move(0.25)],
      "Whole": ["0", () => show(first, last)],
    };
    const controls = element("div", { class: "zoom", role: "group", "aria-label": "Zoom of the timeline" });
    for (const [name, [, act]] of Object.entries(acts)) {
      const button = element("button", { type: "button" }, name);
      button.addEventListener("click", act);
      controls.append(button);
    }
    controls.append(shown);
    stage.before(controls);
    stage.addEventListener("keydown", (event) => {
      const found = Object.values(acts).find(([key]) => key === event.key || (key === "+" && event.key === "="));
      if (!found || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      found[1]();
    });
    view.addSignalListener("zoom_t", tell);
    tell();
  };

  for (const figure of document.querySelectorAll("figure[data-live]")) timeline(figure);
})();
