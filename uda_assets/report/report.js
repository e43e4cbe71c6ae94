// Draws the data in the element #data. Text from data only ever becomes text nodes and attributes.
(() => {
  "use strict";

  const data = JSON.parse(document.getElementById("data").textContent);
  const platforms = data.platforms.map((platform, position) => ({ ...platform, position }));
  const shown = { platform: -1, n: 10, against: 0 };
  const HUES = 8;
  const MOVES = ["new", "up", "down", "same", "out"];
  const MARKS = { new: "★", up: "▲", down: "▼", same: "=", out: "○" };

  const by = (id) => document.getElementById(id);
  const number = (value) => value.toLocaleString("en-US");
  const hue = (position) => `var(--hue-${Math.min(position, HUES) + 1})`;
  const selected = () => (shown.platform < 0 ? platforms : [platforms[shown.platform]]);

  /** Creates an element; children that are not nodes become text. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "style") {
        for (const [property, setting] of Object.entries(value)) element.style.setProperty(property, setting);
      } else if (value !== undefined) {
        element.setAttribute(name, value);
      }
    }
    element.append(...children.flat());
    return element;
  }

  /** Creates an element for text from data, whose direction does not affect the text around it. */
  const text = (value) => make("bdi", {}, value);

  function percent(part, whole) {
    if (!whole) return "–";
    const value = (100 * part) / whole;
    return `${value >= 10 ? value.toFixed(1) : value.toPrecision(2)} %`;
  }

  function table(caption, columns, rows, hidden = true) {
    const head = columns.map(([label, kind]) => make("th", { scope: "col", class: kind }, label));
    return make(
      "table", {},
      make("caption", hidden ? { class: "unseen" } : {}, caption),
      make("thead", {}, make("tr", {}, head)),
      make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell, place) =>
        place === 0 ? make("th", { scope: "row", class: columns[0][1] }, cell) : make("td", { class: columns[place][1] }, cell))))),
    );
  }

  // -- leaderboards ---------------------------------------------------------------------------------------------------

  function moveCell(rank, move) {
    if (!move) return make("td", { class: "move" }, make("span", { class: "same" }, "–"), make("span", { class: "unseen" }, "not comparable"));
    const [how, previous] = move;
    const steps = previous ? Math.abs(previous - rank) : 0;
    const label = how === "new" ? "new" : how === "same" ? "same" : number(steps);
    const spoken = how === "up" || how === "down" ? `${how} from rank ${previous}` : how;
    return make(
      "td", { class: `move ${how}`, title: spoken },
      make("span", { "aria-hidden": "true" }, how === "same" ? MARKS.same : `${MARKS[how]} ${label}`),
      make("span", { class: "unseen" }, spoken),
    );
  }

  function board(platform) {
    const rows = platform.top.slice(0, shown.n);
    const most = rows.length ? rows[0][1] : 1;
    const moves = data.comparisons.length > 0;
    const head = [["Rank", "rank"], ["User", "user"], ["Sessions", "num count"], ...(moves ? [["Change", "move"]] : [])];
    return make(
      "article", { class: "card", "data-platform": platform.name, style: { "--hue": hue(platform.position) } },
      make("div", { class: "board-head" },
        make("h3", { title: platform.name }, text(platform.name)),
        make("p", {}, `${number(platform.sessions)} sessions`)),
      make("table", { class: "board" },
        make("caption", { class: "unseen" }, `Top ${rows.length} of `, text(platform.name)),
        make("thead", {}, make("tr", {}, head.map(([label, kind]) => make("th", { scope: "col", class: kind }, label)))),
        make("tbody", {}, rows.map(([user, sessions, moved], place) => make("tr", {},
          make("td", { class: "rank" }, String(place + 1)),
          make("th", { scope: "row", class: "user", title: user }, text(user),
            make("span", { class: "meter", "aria-hidden": "true" }, make("i", { style: { width: `${(100 * sessions) / most}%` } }))),
          make("td", { class: "num count" }, number(sessions)),
          moves ? moveCell(place + 1, moved[shown.against]) : [],
        )))),
      make("p", { class: "note" }, rest(platform, rows.length)),
    );
  }

  function rest(platform, rows) {
    const beyond = platform.listed - platform.top.length;
    return `${number(rows)} of ${number(platform.listed)} listed users, ${number(platform.users)} users in total` +
      (beyond > 0 && rows === platform.top.length ? "; the others are in the result files" : "");
  }

  function drawBoards() {
    by("boards").replaceChildren(...selected().map(board));
    by("boards").classList.toggle("one", shown.platform >= 0);
    if (!platforms.length) by("boards").replaceChildren(make("p", { class: "empty" }, "There are no sessions in this window yet."));
  }

  // -- sessions over time -------------------------------------------------------------------------------------------

  /** Returns the series to draw: those of the selected platforms, up to HUES of them, and one for all others together. */
  function series() {
    const { sessions } = data.timeline;
    if (!sessions.length) return [];
    if (shown.platform >= 0) {
      const platform = platforms[shown.platform];
      return [{ name: platform.name, hue: platform.position, values: sessions[platform.position] }];
    }
    const drawn = platforms.slice(0, HUES).map((platform) => ({ name: platform.name, hue: platform.position, values: sessions[platform.position] }));
    const others = sessions.slice(Math.min(platforms.length, HUES)).reduce((sum, values) => sum.map((value, place) => value + values[place]));
    if (others.some(Boolean)) drawn.push({ name: "all others", hue: HUES, values: others });
    return drawn;
  }

  function drawTime() {
    const { starts, unit } = data.timeline;
    const lines = series();
    const rows = lines.flatMap((line, place) => line.values.map((sessions, at) => ({ place, platform: line.name, start: starts[at], sessions })));
    chart("time-chart", {
      data: { values: rows },
      mark: starts.length > 1 ? { type: "line", strokeWidth: 2, point: starts.length < 40 ? { size: 30 } : false } : { type: "point", filled: true, size: 60 },
      encoding: {
        x: { field: "start", type: "temporal", scale: { type: "utc" }, title: null, axis: { grid: false, labelOverlap: true, tickCount: 8 } },
        y: { field: "sessions", type: "quantitative", title: `sessions per ${unit}`, axis: { tickCount: 5, format: "~s" }, scale: { domainMin: 0 } },
        color: colours(lines),
        tooltip: [
          { field: "platform", title: "platform" },
          { field: "start", type: "temporal", title: unit, formatType: "utc", format: "%Y-%m-%d" },
          { field: "sessions", type: "quantitative", format: ",", title: "sessions" },
        ],
      },
      height: 260,
    }, rows.length > 0);
    by("time-legend").replaceChildren(...(lines.length > 1 ? legend(lines) : []));
    by("time-chart").setAttribute("aria-label", `Line chart of sessions by ${unit} for ${shown.platform < 0 ? "all platforms" : platforms[shown.platform].name}; the table below has the numbers`);
    const totals = starts.map((start, at) => [start, ...lines.map((line) => number(line.values[at]))]);
    by("time-table").replaceChildren(table("Sessions over time", [[unit, "when"], ...lines.map((line) => [line.name, "num"])], totals));
  }

  /** Colours lines by position, so that two names that look alike stay apart. The page draws its own legend, as plain text. */
  function colours(lines) {
    const places = lines.map((_, place) => place);
    return { field: "place", type: "nominal", sort: null, scale: { domain: places, range: lines.map((line) => hue(line.hue)) }, legend: null };
  }

  const legend = (lines) => lines.map((line) => make("li", { title: line.name, style: { "--hue": hue(line.hue) } }, text(line.name)));

  // -- sessions per user --------------------------------------------------------------------------------------------

  function drawBars() {
    const sums = new Map();
    for (const platform of selected()) {
      for (const [low, high, users, sessions] of platform.bars) {
        const bar = sums.get(low) ?? { low, high, users: 0, sessions: 0 };
        bar.users += users;
        bar.sessions += sessions;
        sums.set(low, bar);
      }
    }
    const bars = [...sums.values()].sort((a, b) => a.low - b.low)
      .map((bar) => ({ ...bar, label: bar.low === bar.high ? number(bar.low) : `${number(bar.low)}–${number(bar.high)}` }));
    const name = shown.platform < 0 ? "all platforms" : platforms[shown.platform].name;
    chart("bars-chart", {
      data: { values: bars },
      mark: { type: "bar", color: shown.platform < 0 ? "var(--accent)" : hue(shown.platform), cornerRadiusEnd: 3 },
      encoding: {
        x: { field: "label", type: "nominal", sort: null, title: "sessions", axis: { labelAngle: bars.length > 8 ? -40 : 0, labelOverlap: true, ticks: false } },
        y: { field: "users", type: "quantitative", title: "users", axis: { tickCount: 5, format: "~s" } },
        tooltip: [
          { field: "label", title: "sessions per user" },
          { field: "users", type: "quantitative", format: ",", title: "users" },
          { field: "sessions", type: "quantitative", format: ",", title: "total sessions" },
        ],
      },
      height: 240,
    }, bars.length > 0);
    by("bars-chart").setAttribute("aria-label", `Bar chart of users by number of sessions for ${name}; the table below has the numbers`);
    by("bars-table").replaceChildren(table("Users by number of sessions", [["Sessions per user", ""], ["Users", "num"], ["Total sessions", "num"]],
      bars.map((bar) => [bar.label, number(bar.users), number(bar.sessions)])));
    drawShares();
  }

  function drawShares() {
    by("share-title").textContent = `Share of the top ${number(shown.n)}`;
    const rows = selected().map((platform) => {
      const held = platform.top.slice(0, shown.n).reduce((sum, row) => sum + row[1], 0);
      return make(
        "div", { class: "share", "data-share": platform.name, style: { "--hue": hue(platform.position) } },
        make("span", { title: platform.name }, text(platform.name)),
        make("span", { class: "num" }, `${percent(held, platform.sessions)} of ${number(platform.sessions)} sessions`),
        make("span", { class: "meter", "aria-hidden": "true" }, make("i", { style: { width: `${(100 * held) / (platform.sessions || 1)}%` } })),
      );
    });
    by("shares").replaceChildren(...rows);
  }

  // -- movement -----------------------------------------------------------------------------------------------------

  function drawMoves() {
    const comparison = data.comparisons[shown.against];
    if (!comparison) return;
    by("movement-note").textContent = `Compared with the ${comparison.name} (${comparison.detail}). Users whose rank is not known there are not compared.`;
    const counts = selected().map((platform) => [
      text(platform.name), ...MOVES.map((how) => number(platform.moved[shown.against][how] ?? 0)),
    ]);
    const summary = table("Listed users by movement", [["Platform", "id"], ...MOVES.map((how) => [`${MARKS[how]} ${how}`, `num ${how}`])], counts, false);
    const gone = selected().flatMap((platform) => platform.gone[shown.against].map(([user, previous, sessions]) =>
      [text(user), text(platform.name), number(previous), number(sessions)]));
    const parts = [make("div", { class: "scroll card", tabindex: "0", role: "region", "aria-label": "Listed users by movement" }, summary)];
    if (gone.length) {
      const left = selected().reduce((sum, platform) => sum + (platform.moved[shown.against].out ?? 0), 0);
      parts.push(make("div", { class: "scroll card tall", tabindex: "0", role: "region", "aria-label": "Users who left" },
        table("Left the leaderboard", [["User", "id"], ["Platform", "id"], ["Rank before", "num"], ["Sessions now", "num"]], gone, false)));
      if (left > gone.length) parts.push(make("p", { class: "note" }, `${number(left - gone.length)} more left; uda leaderboard --movement lists all of them.`));
    } else {
      parts.push(make("p", { class: "note" }, "Nobody left the leaderboard."));
    }
    by("moves").replaceChildren(...parts);
  }

  // -- charts -------------------------------------------------------------------------------------------------------

  function chart(id, spec, drawable) {
    const place = by(id);
    if (!drawable) {
      place.replaceChildren(make("p", { class: "empty" }, "There is nothing to draw."));
      return;
    }
    place.setAttribute("role", "img");
    const axis = { labelColor: "var(--faint)", titleColor: "var(--faint)", gridColor: "var(--line)", domainColor: "var(--line)",
      tickColor: "var(--line)", labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal", labelPadding: 6 };
    const config = {
      aria: false, background: "transparent", font: "system-ui, sans-serif", view: { stroke: null }, axis,
    };
    const options = { ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true, theme: "custom" } };
    vegaEmbed(place, { ...spec, width: "container", autosize: { type: "fit-x", contains: "padding" }, config }, options)
      .then(() => {
        // The container is the image; the marks within it have no accessible names.
        place.querySelector("svg").setAttribute("aria-hidden", "true");
        place.dataset.drawn = String(Number(place.dataset.drawn ?? 0) + 1);
      })
      .catch((error) => { console.error(error); place.replaceChildren(make("p", { class: "empty" }, "This chart could not be drawn.")); });
  }

  // -- switches -----------------------------------------------------------------------------------------------------

  function draw() {
    drawBoards();
    drawTime();
    drawBars();
    drawMoves();
  }

  function announce() {
    const name = shown.platform < 0 ? "all platforms" : platforms[shown.platform].name;
    by("status").replaceChildren(`Top ${number(shown.n)} of `, text(name),
      data.comparisons.length ? `, compared with the ${data.comparisons[shown.against].name}.` : ".");
  }

  function choose(id, options, value, onChange) {
    const select = by(id);
    select.append(...options.map(([key, label]) => make("option", { value: key }, label)));
    select.value = String(value);
    select.addEventListener("change", () => { onChange(Number(select.value)); draw(); announce(); });
  }

  function remembered() {
    try { return localStorage.getItem("uda-report-theme"); } catch { return null; }
  }

  function setTheme(theme) {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("uda-report-theme", theme); } catch { /* storage is turned off */ }
  }

  function start() {
    by("fallback").remove();
    const most = Math.max(1, ...platforms.map((platform) => platform.top.length));
    const sizes = [...new Set([5, 10, 25, 50, 100].filter((size) => size < most).concat(most))];
    shown.n = Math.min(10, most);
    choose("platform", [[-1, "All"], ...platforms.map((platform) => [platform.position, platform.name])], -1, (value) => { shown.platform = value; });
    choose("n", sizes.map((size) => [size, number(size)]), shown.n, (value) => { shown.n = value; });
    choose("against", data.comparisons.map((comparison, place) => [place, comparison.name]), 0, (value) => { shown.against = value; });
    by("comparison").hidden = data.comparisons.length < 2;
    document.querySelector(".switches").hidden = false;
    document.querySelector(".theme").hidden = false;
    const theme = ["light", "dark"].includes(remembered()) ? remembered() : "auto";
    setTheme(theme);
    for (const radio of document.querySelectorAll("input[name=theme]")) {
      radio.checked = radio.value === theme;
      radio.addEventListener("change", () => setTheme(radio.value));
    }
    document.querySelector(".switches").addEventListener("submit", (event) => event.preventDefault());
    draw();
    announce();
  }

  start();
})();
