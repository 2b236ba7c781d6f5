// Choosers of the page: what the store holds as options, and what happens when one is chosen.
const chosen = (id) => document.getElementById(id).value;

function fill(id, options, selected) {
  const target = document.getElementById(id);
  target.replaceChildren(...options.map(([value, text]) => new Option(text, value, value === selected, value === selected)));
  target.closest("label").hidden = options.length < 2; // nothing to choose
}

function onChange(ids, draw) {
  for (const id of ids) {
    const target = document.getElementById(id);
    if (target) target.addEventListener("change", draw);
  }
}

const seriesOptions = (some) => some.map((one) => [String(one.number), shortened(one.label, 48)]);

// Lines that have a number of this quantity somewhere.
function seriesWith(values) {
  return SERIES.filter((one) => one.rows.some((row) => Number.isFinite(values[row])));
}
