// The rows of the table that a filter leaves, and their order.
const NUMBERS_OF_ROWS = ["step", "epoch", "num_params", "seed", "total_matvecs"];
const CONDITION = /^(\w+)(>=|<=|!=|=|>|<)(.*)$/;

// A column by its name: numbers, or texts.
async function tableColumn(name) {
  if (name in ROWS.texts) return ROWS.texts[name];
  if (name in ROWS.counts) return ROWS.counts[name];
  if (name in ROWS.attributes) return ROWS.attributes[name];
  const base = name.replace(/_(stderr|lower|upper|status|method)$/, "");
  if (PACKED.has(name)) return (await quantity(name)).value;
  if (!PACKED.has(base)) return null;
  const found = await quantity(base);
  const values = found[name.slice(base.length + 1)];
  const whole = found.integer && /_(lower|upper)$/.test(name); // an infinite end of whole numbers is null in `results`
  return whole ? values.map((v) => (Number.isFinite(v) ? v : NaN)) : values;
}

const COMPARED = {
  ">": (a, b) => a > b, "<": (a, b) => a < b, ">=": (a, b) => a >= b, "<=": (a, b) => a <= b, "=": (a, b) => a === b, "!=": (a, b) => a !== b,
};

// Return the rows that meet every word of a filter, and what is wrong with the filter.
async function filtered(text) {
  let rows = Array.from({ length: ROWS.count }, (_, row) => row);
  let trouble = "";
  for (const word of text.trim().split(/\s+/).filter(Boolean)) {
    const [, name, sign, wanted] = CONDITION.exec(word) || [];
    const values = name ? await tableColumn(name) : null;
    if (name && !values) {
      trouble = `no column ${name}`;
    } else if (values) {
      const numeric = typeof values[0] === "number";
      const goal = numeric ? Number(wanted) : wanted.toLowerCase();
      if (numeric && (wanted === "" || Number.isNaN(goal))) trouble = `${name} is a number, and "${wanted}" is none`;
      else rows = rows.filter((row) => COMPARED[sign](numeric ? values[row] : String(values[row]).toLowerCase(), goal));
    } else {
      const wantedText = word.toLowerCase();
      rows = rows.filter((row) => rowText(row).includes(wantedText));
    }
  }
  return { rows, trouble };
}

const rowTexts = new Map();

function rowText(row) {
  if (!rowTexts.has(row)) {
    const words = Object.values(ROWS.texts).map((column) => column[row]);
    rowTexts.set(row, [...words, rowName(row), SERIES.find((one) => one.number === seriesOfRow[row]).label].join("\n").toLowerCase());
  }
  return rowTexts.get(row);
}

// Sort by a column; what is missing comes last, and equal rows stay in the order of training.
async function sorted(rows, { name, descending }) {
  if (!name) return rows;
  const values = await tableColumn(name);
  const missing = (value) => value === "" || (typeof value === "number" && Number.isNaN(value));
  const order = (a, b) => {
    if (missing(values[a]) || missing(values[b])) return Number(missing(values[a])) - Number(missing(values[b]));
    if (values[a] === values[b]) return 0;
    const rise = typeof values[a] === "number" ? values[a] - values[b] : values[a] < values[b] ? -1 : 1;
    return descending ? -rise : rise;
  };
  return [...rows].sort((a, b) => order(a, b) || a - b);
}
