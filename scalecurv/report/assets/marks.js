// How lines and statuses look: colour, then dash, for lines; the shape of the marker for statuses.
const PALETTE = DATA.style.palette;
const DASHES = ["solid", "dash", "dot", "dashdot", "longdashdot"];
const STATUS_MARKS = {
  exact: "circle", certified: "diamond", converged: "square", budget: "square-open", lower_bound: "triangle-up-open",
  inconsistent: "diamond-open", failed: "x-thin-open", "": "circle",
};
const VERDICT_MARKS = { holds: "circle", violated: "x-thin-open", undecided: "circle-open", not_applicable: "line-ew-open" };
const marks = (names, table) => names.map((name) => table[name] || "circle");

// Colours that the pictures on paper have; on a dark ground the darkest of them are too dark, and get lighter.
const lineColor = (number) => themed(PALETTE[number % PALETTE.length]);

function themed(color) {
  return document.documentElement.dataset.theme === "dark" ? mixed(color, 0.35) : color;
}

function mixed(color, share) {
  const parts = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return `rgb(${parts.map((part) => Math.round(part + (255 - part) * share)).join(",")})`;
}

function faint(color, alpha = DATA.style.band) {
  const parts = color.startsWith("#") ? [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)) : color.match(/\d+/g);
  return `rgba(${parts.slice(0, 3).join(",")},${alpha})`;
}

// A colour and a dash for each line: by the line itself, or by an attribute of its run and then by the line.
function linesBy(attribute, shown) {
  const values = shown.map((one) => (attribute ? String(ROWS.attributes[attribute][one.first]) : one.number));
  const different = [...new Set(values)];
  const seen = new Map();
  return shown.map((one, i) => {
    const color = different.indexOf(values[i]) % PALETTE.length;
    const dash = seen.get(color) || 0; // another one for each line of a colour
    seen.set(color, dash + 1);
    return { color: lineColor(color), dash: DASHES[dash % DASHES.length] };
  });
}
