// The table of all checkpoints: a page of rows is drawn; filter, order and download work on all.
const PAGE = 50;
const MAIN = ["loss", "grad_norm", "beta", "trace", "lambda_max", "scalar_curvature", "t2_minus_f", "rank"];
const state = { rows: [], page: 0, order: { name: "", descending: false }, filter: "", trouble: "", turn: 0 };
const seriesOfRow = [];

function tableNames() {
  const facts = ["run", "step", ...Object.keys(ROWS.attributes), "status"];
  if (ROWS.texts.chain_status.some(Boolean)) facts.push("chain_status");
  const many = ["task_id", "dtype", "seed"].filter((name) => new Set(ROWS.texts[name] || ROWS.counts[name]).size > 1);
  const all = chosen("table-columns") === "all";
  const numbers = all ? PRESENT : MAIN.filter((name) => PRESENT.includes(name));
  return { facts: [...facts, ...many, ...(all ? ["checkpoint", "num_params", "total_matvecs", "error"] : [])], numbers };
}

async function refreshRows() {
  const turn = (state.turn += 1);
  const { rows, trouble } = await filtered(chosen("table-filter"));
  const ordered = await sorted(rows, state.order);
  if (turn !== state.turn) return; // a later filter has come since
  Object.assign(state, { rows: ordered, trouble, page: 0 });
  await drawTable();
}

async function drawTable() {
  const { facts, numbers } = tableNames();
  const found = await Promise.all(numbers.map(quantity));
  const columns = await Promise.all(facts.map(tableColumn));
  document.querySelector("#table thead").replaceChildren(headRow(facts, numbers));
  const first = state.page * PAGE;
  const lines = state.rows.slice(first, first + PAGE).map((row) => {
    const line = document.createElement("tr");
    facts.forEach((name, i) => line.append(cell(factText(name, columns[i][row]), name === "status" ? `status ${columns[i][row]}` : "")));
    found.forEach((one) => line.append(numberCell(one, row)));
    line.title = ROWS.texts.checkpoint[row];
    return line;
  });
  document.querySelector("#table tbody").replaceChildren(...lines);
  const [count, pages] = [state.rows.length, Math.max(1, Math.ceil(state.rows.length / PAGE))];
  const of = count < ROWS.count ? ` of ${thousands(ROWS.count)}` : "";
  const span = count ? `${thousands(first + 1)} to ${thousands(Math.min(first + PAGE, count))} of ` : "";
  note("table-page", state.trouble ? `${state.trouble}; names are in the titles of columns` : `${span}${thousands(count)} checkpoint${count === 1 ? "" : "s"}${of && ` (${thousands(ROWS.count)} in all)`}`);
  document.getElementById("table-back").disabled = state.page === 0;
  document.getElementById("table-next").disabled = state.page >= pages - 1;
  document.getElementById("table-csv").textContent = `Download CSV (${thousands(count)})`;
}

function factText(name, value) {
  if (name === "run") return DATA.series.labels.length > 1 ? shortened(runLabel(value), 40) : shortened(value.split("/").pop() || value, 40);
  if (name === "chain_status") return value.replace("_", " ");
  return typeof value === "number" ? (Number.isNaN(value) ? "" : sixOrWhole(value)) : value;
}

const sixOrWhole = (value) => (Number.isInteger(value) ? String(value) : sixDigits(value));
const runLabel = (path) => (SERIES.find((one) => one.run === path) || { label: path }).label.split(", task_id")[0];

function cell(text, kind = "") {
  const made = document.createElement("td");
  if (kind.startsWith("status")) {
    const mark = document.createElement("span");
    Object.assign(mark, { className: kind, textContent: text });
    made.append(mark);
  } else made.textContent = text;
  return made;
}

function numberCell(found, row) {
  const made = cell(estimateText(found, row));
  made.className = "number";
  if (found.method) made.title = `${found.status[row]}: ${found.method[row]}`;
  if (["budget", "lower_bound", "inconsistent"].includes(found.status[row])) {
    const mark = document.createElement("span");
    Object.assign(mark, { className: `status ${found.status[row]}`, textContent: found.status[row].replace("_", " ") });
    made.append(" ", mark);
  }
  return made;
}

function headRow(facts, numbers) {
  const line = document.createElement("tr");
  for (const name of [...facts, ...numbers]) {
    const head = document.createElement("th");
    head.scope = "col";
    if (numbers.includes(name)) head.className = "number";
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: name });
    if (state.order.name === name) head.setAttribute("aria-sort", state.order.descending ? "descending" : "ascending");
    button.addEventListener("click", () => sortBy(name));
    head.append(button);
    line.append(head);
  }
  return line;
}

async function sortBy(name) {
  const same = state.order.name === name;
  state.order = { name, descending: same && !state.order.descending };
  await refreshRows();
  const buttons = [...document.querySelectorAll("#table thead button")];
  buttons.find((button) => button.textContent === name)?.focus();
}

async function turnPage(by) {
  state.page += by;
  await drawTable();
  document.querySelector(".scroll.rows").scrollTop = 0;
}

async function startTable() {
  SERIES.forEach((one) => one.rows.forEach((row) => { seriesOfRow[row] = one.number; }));
  let waiting = 0;
  document.getElementById("table-filter").addEventListener("input", () => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(refreshRows, 150); // not at every key
  });
  onChange(["table-columns"], drawTable);
  document.getElementById("table-back").addEventListener("click", () => turnPage(-1));
  document.getElementById("table-next").addEventListener("click", () => turnPage(1));
  document.getElementById("table-csv").addEventListener("click", downloadCsv);
  await refreshRows();
}
