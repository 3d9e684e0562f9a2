"use strict";
// Sorts and filters the tables of the page. Without it everything is there, in the order in which it was written.
(() => {
  const LONG = 200; // rows shown at once; page.py and style.css have this number too
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const state = { anchor: "", text: "", picked: new Map(), sorted: new Map() }; // picked: key -> Set of values

  /* ------------------------------------------------------------------ what a table holds */

  const entryText = (cell) => {
    const summary = cell.querySelector("summary");
    const first = (summary && !cell.querySelector("a, sup") ? summary : cell).firstChild;
    return first === null ? "" : first.textContent.trim();
  };

  // A number, a text, or null where there is nothing: the text may be rounded, data-v is exact.
  const entryValue = (cell, numeric) => {
    const exact = cell.dataset.v ?? entryText(cell);
    if (exact === "" || exact === "—") return null;
    const number = Number(exact);
    if (!Number.isNaN(number)) return number;
    return numeric ? null : exact;
  };

  const remembered = (make) => {
    const known = new Map();
    return (key) => {
      if (!known.has(key)) known.set(key, make(key));
      return known.get(key);
    };
  };

  const readGrid = (box) => {
    const body = box.querySelector("tbody");
    if (body === null) return null;
    const rows = [...body.rows];
    const heads = [...box.querySelectorAll("thead th")];
    const shared = box.querySelector("details.shared pre");
    const common = shared === null ? "" : shared.textContent.toLowerCase();
    const grid = { box, body, rows, heads, shared, shown: LONG, name: box.dataset.name };
    grid.status = box.querySelector(".status");
    grid.keys = heads.map((head) => head.dataset.key);
    grid.filtered = heads.filter((head) => "filtered" in head.dataset).map((head) => head.dataset.key);
    const cellsOf = (key) => {
      const place = heads[grid.keys.indexOf(key)].cellIndex;
      return rows.map((row) => row.cells[place]);
    };
    grid.texts = remembered((key) => cellsOf(key).map(entryText));
    grid.values = remembered((key) => {
      const numeric = heads[grid.keys.indexOf(key)].classList.contains("n");
      return cellsOf(key).map((cell) => entryValue(cell, numeric));
    });
    grid.haystacks = remembered(() => rows.map((row) => `${row.textContent.toLowerCase()}\n${common}`));
    return grid;
  };

  /* ------------------------------------------------------------------ filter, sort, show */

  const matching = (grid) => {
    let places = grid.rows.map((_, place) => place);
    if (grid.filtered.length === 0) return places; // not about runs or cells: nothing here is searched
    for (const [key, values] of state.picked) {
      if (!grid.filtered.includes(key)) continue;
      const texts = grid.texts(key);
      places = places.filter((place) => values.has(texts[place]));
    }
    const sought = state.text.toLowerCase().split(/\s+/).filter((word) => word !== "");
    if (sought.length > 0) {
      const haystacks = grid.haystacks("");
      places = places.filter((place) => sought.every((word) => haystacks[place].includes(word)));
    }
    return places;
  };

  const compare = (one, other) => {
    if (typeof one === "number" && typeof other === "number") return one - other;
    if (typeof one === typeof other) return words.compare(one, other);
    return typeof one === "number" ? -1 : 1;
  };

  const inOrder = (grid, places) => {
    const by = state.sorted.get(grid.name);
    if (by === undefined || !grid.keys.includes(by.key)) return places;
    const values = grid.values(by.key);
    const there = places.filter((place) => values[place] !== null);
    const missing = places.filter((place) => values[place] === null);
    const sign = by.down ? -1 : 1;
    there.sort((one, other) => sign * compare(values[one], values[other]) || one - other);
    return [...there, ...missing];
  };

  const openedRow = (grid, row) => {
    const details = row.querySelector("td.d > details[open]");
    if (details === null) return [];
    const opened = document.createElement("tr");
    opened.className = "opened";
    const cell = opened.insertCell();
    cell.colSpan = grid.heads.length + 1;
    const box = document.createElement("div");
    cell.append(box);
    const own = details.querySelector("pre").cloneNode(true);
    if (own.textContent.trim() !== "") box.append(own);
    if (grid.shared !== null) {
      const title = document.createElement("p");
      title.textContent = "Shared by all rows";
      box.append(title, grid.shared.cloneNode(true));
    }
    return [opened];
  };

  const show = (grid) => {
    const places = inOrder(grid, matching(grid));
    const rows = places.slice(0, grid.shown).map((place) => grid.rows[place]);
    grid.body.classList.remove("long");
    grid.body.replaceChildren(...rows.flatMap((row) => [row, ...openedRow(grid, row)]));
    grid.count = places.length;
    const by = state.sorted.get(grid.name);
    for (const head of grid.heads) {
      const sorted = by !== undefined && by.key === head.dataset.key;
      if (sorted) head.setAttribute("aria-sort", by.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    tell(grid, rows.length);
  };

  const tell = (grid, shown) => {
    const all = grid.rows.length;
    const parts = [];
    if (grid.count < all) parts.push(`${format(grid.count)} of ${format(all)} rows match the filter.`);
    if (shown < grid.count) parts.push(`The first ${format(shown)} are shown.`);
    grid.status.textContent = parts.join(" ");
    if (shown < grid.count) {
      const more = document.createElement("button");
      more.type = "button";
      more.textContent = `Show ${format(Math.min(LONG, grid.count - shown))} more`;
      more.addEventListener("click", () => {
        const next = grid.body.rows.length;
        grid.shown += LONG;
        show(grid);
        grid.status.querySelector("button")?.focus();
        grid.body.rows[next]?.scrollIntoView({ block: "nearest" });
      });
      grid.status.append(" ", more);
    }
    grid.status.hidden = parts.length === 0;
  };

  const format = (number) => number.toLocaleString("en");

  /* ------------------------------------------------------------------ the filter bar */

  const grids = [...document.querySelectorAll(".grid")].map(readGrid).filter((grid) => grid !== null);
  const bar = document.getElementById("filter");
  const input = document.getElementById("filter-text");
  const facets = bar === null ? [] : [...bar.querySelectorAll(".facet")];
  const others = bar === null ? null : bar.querySelector(".others");
  const clear = bar === null ? null : bar.querySelector("button");

  const drawBar = () => {
    if (bar === null) return;
    if (input.value !== state.text) input.value = state.text;
    for (const facet of facets) {
      const values = state.picked.get(facet.dataset.key);
      for (const box of facet.querySelectorAll("input")) box.checked = values !== undefined && values.has(box.value);
      facet.querySelector("summary span").textContent = values === undefined ? "" : [...values].join(", ");
      facet.classList.toggle("on", values !== undefined);
    }
    if (others !== null) {
      const set = others.querySelectorAll(".facet.on").length;
      others.classList.toggle("on", set > 0);
      others.querySelector(":scope > summary span").textContent = set > 0 ? `${set} set` : "";
    }
    const active = state.text !== "" || state.picked.size > 0;
    clear.hidden = !active;
    const touched = grids.filter((grid) => grid.filtered.length > 0);
    const sum = (number) => format(touched.reduce((total, grid) => total + number(grid), 0));
    document.getElementById("filter-status").textContent = active
      ? `${sum((grid) => grid.count)} of ${sum((grid) => grid.rows.length)} rows in ` +
        `${touched.length} table${touched.length === 1 ? "" : "s"}`
      : "";
  };

  const filterChanged = () => {
    for (const grid of grids) {
      if (grid.filtered.length > 0) {
        grid.shown = LONG;
        show(grid);
      }
    }
    drawBar();
    writeHash();
  };

  /* ------------------------------------------------------------------ the address: #anchor?q=words&f.axis=option&s.table=-column */

  const query = () => {
    const pairs = new URLSearchParams();
    if (state.text !== "") pairs.append("q", state.text);
    for (const [key, values] of state.picked) for (const value of values) pairs.append(`f.${key}`, value);
    for (const [name, by] of state.sorted) pairs.append(`s.${name}`, (by.down ? "-" : "") + by.key);
    return pairs.toString();
  };

  const writeHash = () => {
    const said = query();
    const hash = said === "" ? `#${state.anchor}` : `#${state.anchor}?${said}`;
    if (hash === location.hash || (hash === "#" && location.hash === "")) return;
    history.replaceState(null, "", hash);
  };

  const readHash = () => {
    const [anchor, ...rest] = location.hash.slice(1).split("?");
    state.anchor = anchor;
    if (rest.length === 0) return false;
    const pairs = new URLSearchParams(rest.join("?"));
    state.text = pairs.get("q") ?? "";
    state.picked.clear();
    state.sorted.clear();
    const known = new Set(facets.map((facet) => facet.dataset.key));
    for (const [key, value] of pairs) {
      const name = key.slice(2);
      if (key.startsWith("f.") && known.has(name)) {
        state.picked.set(name, (state.picked.get(name) ?? new Set()).add(value));
      } else if (key.startsWith("s.")) {
        state.sorted.set(name, { key: value.replace(/^-/, ""), down: value.startsWith("-") });
      }
    }
    return true;
  };

  // a place inside of what is folded is seen when that is open
  const unfold = (element) => {
    for (let fold = element?.closest("details.fold"); fold; fold = fold.parentElement.closest("details.fold")) fold.open = true;
  };

  const goToAnchor = () => {
    let id = state.anchor;
    try { id = decodeURIComponent(state.anchor); } catch { /* a % that is only a sign */ }
    const target = document.getElementById(id);
    unfold(target);
    target?.scrollIntoView();
  };

  addEventListener("hashchange", () => {
    if (readHash()) {
      grids.forEach(show);
      drawBar();
      goToAnchor();
    } else {
      writeHash(); // a link inside the page: the filter stays, and in the address too
      goToAnchor();
    }
  });

  /* ------------------------------------------------------------------ wiring */

  const sortBy = (grid, head) => {
    const key = head.dataset.key;
    const by = state.sorted.get(grid.name);
    if (by === undefined || by.key !== key) state.sorted.set(grid.name, { key, down: false });
    else if (!by.down) state.sorted.set(grid.name, { key, down: true });
    else state.sorted.delete(grid.name);
    show(grid);
    writeHash();
  };

  for (const grid of grids) {
    for (const head of grid.heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sortBy(grid, head));
    }
    const hidden = grid.heads.filter((head) => head.classList.contains("x")).length;
    if (hidden > 0) {
      const all = document.createElement("button");
      all.type = "button";
      all.className = "all";
      const name = () => {
        const whole = grid.box.classList.contains("whole");
        all.setAttribute("aria-expanded", String(whole));
        all.textContent = whole ? "Fewer columns" : `${hidden} more column${hidden === 1 ? "" : "s"}`;
      };
      all.addEventListener("click", () => {
        grid.box.classList.toggle("whole");
        name();
      });
      name();
      grid.box.querySelector(".scroll").before(all);
    }
    // "toggle" does not bubble, so it is caught on its way down
    grid.body.addEventListener("toggle", (event) => {
      if (!event.target.matches("td.d > details")) return;
      const row = event.target.closest("tr");
      if (row.nextElementSibling?.className === "opened") row.nextElementSibling.remove();
      row.after(...openedRow(grid, row));
    }, true);
    // what opens below a text is also shown when the mouse rests on it
    grid.body.addEventListener("mouseover", (event) => {
      const summary = event.target.closest("details.m > summary");
      if (summary !== null) summary.title = summary.nextElementSibling.textContent;
    });
  }

  if (bar !== null) {
    bar.hidden = false;
    let waiting = 0;
    input.addEventListener("input", () => {
      state.text = input.value;
      clearTimeout(waiting);
      waiting = setTimeout(filterChanged, 60); // not at every letter of a word
    });
    for (const facet of facets) {
      facet.addEventListener("change", () => {
        const values = [...facet.querySelectorAll("input:checked")].map((box) => box.value);
        if (values.length === 0) state.picked.delete(facet.dataset.key);
        else state.picked.set(facet.dataset.key, new Set(values));
        filterChanged();
      });
      facet.addEventListener("toggle", () => {
        if (facet.open) for (const other of facets) if (other !== facet) other.open = false;
      });
      facet.addEventListener("keydown", (event) => {
        if (event.key !== "Escape") return;
        if (facet.open) event.stopPropagation(); // the panel around it stays
        facet.open = false;
        facet.querySelector("summary").focus();
      });
    }
    others?.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      others.open = false;
      others.querySelector("summary").focus();
    });
    document.addEventListener("click", (event) => {
      for (const panel of bar.querySelectorAll("details[open]")) if (!panel.contains(event.target)) panel.open = false;
    });
    clear.addEventListener("click", () => {
      state.text = "";
      state.picked.clear();
      filterChanged();
      input.focus();
    });
  }

  const links = new Map([...document.querySelectorAll("nav li a")].map((link) => [link.hash.slice(1), link]));
  const inSight = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const link = links.get(encodeURI(entry.target.id)) ?? links.get(entry.target.id);
      if (link !== undefined) link.classList.toggle("here", entry.isIntersecting);
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of document.querySelectorAll("main section")) inSight.observe(section);

  const restored = readHash();
  for (const grid of grids) {
    if (restored || grid.rows.length > LONG) show(grid);
    else grid.count = grid.rows.length;
  }
  drawBar();
  if (location.hash !== "") goToAnchor();

  // paper shows what is folded
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = [...document.querySelectorAll("details.fold:not([open])")];
    for (const fold of unfolded) fold.open = true;
  });
  addEventListener("afterprint", () => {
    for (const fold of unfolded) fold.open = false;
  });
})();
