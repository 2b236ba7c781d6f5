// Scales chosen by the data, by the rules of `scalecurv plot`: symlog has its linear part where signs are unsure.
const WIDE = 50;
const PADDING = 0.05;
const finite = (values) => Array.from(values).filter(Number.isFinite);
const smallest = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
const largest = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);

function valueScale(value, lower, upper, kind = "auto") {
  const sizes = finite(value).filter((v) => v !== 0).map(Math.abs);
  if (!sizes.length) return { kind: kind === "auto" || kind === "log" ? "linear" : kind, threshold: 1 };
  const most = largest(sizes);
  const ends = [];
  value.forEach((v, i) => {
    const end = Math.max(Math.abs(lower[i]), Math.abs(upper[i]));
    if (Number.isFinite(v) && lower[i] < 0 && upper[i] > 0 && end <= most) ends.push(end);
  });
  const edge = Math.max(ends.length ? largest(ends) : smallest(sizes), most * 1e-12);
  const threshold = 10 ** Math.ceil(Math.log10(edge) - 1e-9);
  const positive = finite(value).every((v) => v > 0);
  if (kind === "log" && !finite(value).some((v) => v > 0)) return { kind: "symlog", threshold };
  if (kind !== "auto") return { kind, threshold };
  if (positive) return { kind: most / smallest(sizes) >= WIDE ? "log" : "linear", threshold };
  return { kind: most / threshold >= WIDE ? "symlog" : "linear", threshold };
}

// Steps: logarithmic, with step 0 in sight, where they are spaced geometrically.
function stepScale(steps) {
  const sorted = [...new Set(finite(steps))].sort((a, b) => a - b);
  const positive = sorted.filter((step) => step > 0);
  const spread = (values) => {
    const gaps = values.slice(1).map((v, i) => (v - values[i]) / (values.at(-1) - values[0]));
    const mean = gaps.reduce((a, b) => a + b, 0) / gaps.length;
    return Math.sqrt(gaps.reduce((a, gap) => a + (gap - mean) ** 2, 0) / gaps.length);
  };
  const wide = positive.length >= 4 && positive.at(-1) / positive[0] >= 15;
  if (!wide || spread(positive.map(Math.log)) >= 0.7 * spread(positive)) return { kind: "linear", threshold: 1 };
  return sorted.length > positive.length ? { kind: "symlog", threshold: positive[0], linear: 0.35 } : { kind: "log" };
}

// Where a value is drawn: Plotly has linear and logarithmic axes, and symlog is drawn on a linear one.
function place(scale, value) {
  if (scale.kind !== "symlog") return value;
  const size = Math.abs(value) / scale.threshold;
  const linear = scale.linear || 1;
  if (size <= 1) return (value / scale.threshold) * linear;
  return Math.sign(value) * (linear + Math.log10(size));
}

function symlogTicks(scale, low, high) {
  const [first, last] = [Math.ceil(Math.log10(scale.threshold)), Math.floor(Math.log10(Math.max(-low, high, scale.threshold)))];
  const both = low < -scale.threshold && high > scale.threshold;
  const every = Math.max(1, Math.ceil((last - first + 1) / (both ? 3 : narrow() ? 4 : 6)));
  const powers = [];
  for (let power = last; power >= first; power -= every) powers.push(10 ** power);
  let values = [...powers.map((v) => -v), 0, ...powers.reverse()].filter((v) => v >= low && v <= high);
  if (values.length < 2) values = within(low, high); // all of it lies between two powers of ten, or in the linear part
  return { tickmode: "array", tickvals: values.map((v) => place(scale, v)), ticktext: values.map(tickText) };
}

// Round numbers from low to high, about four.
function within(low, high) {
  const size = 10 ** Math.floor(Math.log10((high - low) / 4));
  const every = [1, 2, 5, 10].map((digit) => digit * size).find((one) => one >= (high - low) / 5);
  const first = Math.ceil(low / every);
  return Array.from({ length: Math.max(0, Math.floor(high / every) - first + 1) }, (_, i) => (first + i) * every);
}

// Ticks between two powers of ten: 1, 2 and 5 of each decade, or every so many decades where there are more.
function logTicks(low, high) {
  const span = high - low;
  const digits = span > 2.5 ? [1] : span > 1.2 ? [1, 3] : [1, 2, 5];
  const every = Math.max(1, Math.ceil(span / (narrow() ? 5 : 8)));
  const powers = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, i) => Math.floor(low) + i);
  const values = powers.filter((power) => power % every === 0).flatMap((power) => digits.map((digit) => digit * 10 ** power))
    .filter((v) => Math.log10(v) >= low && Math.log10(v) <= high);
  if (values.length < 2) return { nticks: 5, dtick: undefined };
  return { tickmode: "array", tickvals: values, ticktext: values.map(tickText) };
}

function tickText(value) {
  const size = Math.abs(value);
  if (size === 0 || (size >= 0.01 && size < 1e5)) return sixDigits(value);
  const power = Math.floor(Math.log10(size) + 1e-9);
  const digit = Math.round(size / 10 ** power);
  return `${value < 0 ? "−" : ""}${digit > 1 ? `${digit}·` : ""}10<sup>${power < 0 ? "−" : ""}${Math.abs(power)}</sup>`;
}

// The axis of a scale that shows all values, and intervals up to twice the range of the values beyond them.
function axisOf(scale, value, lower = [], upper = [], also = []) {
  const moved = (values) => finite(values).filter((v) => scale.kind !== "log" || v > 0)
    .map((v) => (scale.kind === "log" ? Math.log10(v) : place(scale, v)));
  const shown = moved([...value, ...also]);
  if (!shown.length) return { type: "linear" };
  let [low, high] = [smallest(shown), largest(shown)];
  const lengths = Array.from(lower, (v, i) => [v, upper[i]]).map((pair) => moved(pair))
    .filter((pair) => pair.length === 2).map(([a, b]) => b - a).sort((a, b) => a - b);
  const reach = 2 * Math.max(high - low, lengths.length ? lengths[Math.floor(lengths.length / 2)] : 0);
  const ends = moved([...lower, ...upper]).filter((v) => v >= low - reach && v <= high + reach);
  [low, high] = [Math.min(low, smallest(ends)), Math.max(high, largest(ends))];
  const pad = PADDING * (high - low) || (scale.kind === "linear" ? 0.05 * Math.abs(low) : 0.3) || 0.5;
  const range = [low - pad, high + pad];
  if (scale.kind !== "symlog") {
    return { type: scale.kind, range, exponentformat: "power", ...(scale.kind === "log" ? logTicks(...range) : {}) };
  }
  const real = (v) => Math.sign(v) * (Math.abs(v) <= (scale.linear || 1)
    ? (Math.abs(v) / (scale.linear || 1)) * scale.threshold : scale.threshold * 10 ** (Math.abs(v) - (scale.linear || 1)));
  return { type: "linear", range, ...symlogTicks(scale, real(range[0]), real(range[1])) };
}
