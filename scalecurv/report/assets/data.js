// The columns of the page: base64 of gzip of little-endian numbers, unpacked when first asked for.
const DATA = JSON.parse(document.getElementById("data").textContent);
const plain = () => Object.create(null); // an attribute may be called __proto__
const ROWS = { count: DATA.rows.count, texts: plain(), counts: plain(), attributes: plain() };
const TYPES = { f8: Float64Array, i4: Int32Array };
const unpackedBlobs = new Map();

async function unpack(number, Type) {
  const raw = atob(DATA.blobs[number]);
  const bytes = Uint8Array.from(raw, (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Type(await new Response(stream).arrayBuffer());
}

function column([number, kind]) {
  if (!unpackedBlobs.has(number)) unpackedBlobs.set(number, unpack(number, TYPES[kind]));
  return unpackedBlobs.get(number);
}

async function texts(packed) {
  const codes = await column(packed.codes);
  return Array.from(codes, (code) => packed.words[code]);
}

// A quantity, or an expression, by its name: typed arrays of its parts, and the status and method of each row.
const PACKED = new Map(DATA.quantities.map((one) => [one.name, one]));
for (const one of DATA.expressions) if (!PACKED.has(one.name)) PACKED.set(one.name, { ...one, expression: true });
const quantities = new Map();

function quantity(name) {
  if (!quantities.has(name)) quantities.set(name, loadQuantity(PACKED.get(name)));
  return quantities.get(name);
}

async function loadQuantity(packed) {
  const found = { name: packed.name, unit: packed.unit || "", meaning: packed.meaning || "", note: packed.note || "" };
  found.integer = Boolean(packed.integer);
  for (const part of ["value", "stderr", "lower", "upper", "confidence", "num_samples", "num_matvecs"]) {
    found[part] = packed[part] ? await column(packed[part]) : null;
  }
  found.status = await texts(packed.status);
  found.method = packed.method ? await texts(packed.method) : null;
  return found;
}

async function loadRows() {
  for (const [name, packed] of Object.entries(DATA.rows.texts)) ROWS.texts[name] = await texts(packed);
  for (const [name, packed] of Object.entries(DATA.rows.counts)) {
    ROWS.counts[name] = packed.numbers ? await column(packed.numbers) : await texts(packed);
  }
  for (const [name, packed] of Object.entries(DATA.rows.attributes)) {
    ROWS.attributes[name] = packed.numbers ? await column(packed.numbers) : await texts(packed);
  }
  const codes = await column(DATA.series.codes);
  SERIES.push(...DATA.series.labels.map((one, number) => ({ ...one, number, rows: [] })));
  codes.forEach((code, row) => SERIES[code].rows.push(row));
}

const SERIES = []; // the lines of the pictures: label, run, and the rows of each in the order of training

// Whether all checkpoints that have numbers have steps: one that failed may have none.
const haveSteps = (rows) => rows.every((row) => ROWS.texts.status[row] === "failed" || Number.isFinite(ROWS.counts.step[row]));

// Where the rows of a line stand: at their steps, else at their places in the order of training.
function positions(rows, bySteps = haveSteps(rows)) {
  return bySteps ? rows.map((row) => ROWS.counts.step[row]) : rows.map((_, i) => i);
}

function rowName(row) {
  const step = ROWS.counts.step[row];
  return Number.isFinite(step) ? `step ${step}` : ROWS.texts.checkpoint[row].split("/").pop();
}

// Names of quantities that some checkpoint has.
const PRESENT = DATA.quantities.filter((one) => !one.empty).map((one) => one.name);
