// One line of a trajectory as traces: the interval below, the line and its markers above.
function hoverText(found, one, row) {
  const lines = [`<b>${escaped(shortened(one.label))}</b>, ${escaped(rowName(row))}`];
  lines.push(`${escaped(found.name)}: ${escaped(estimateText(found, row))}`, `value ${String(found.value[row])}`);
  const ends = [found.lower[row], found.upper[row]];
  if (!ends.every(Number.isNaN)) lines.push(`interval ${ends.map(String).join(" to ")}`);
  const method = found.method ? found.method[row] : "";
  lines.push([found.status[row].replace("_", " "), escaped(shortened(method, 70))].filter(Boolean).join(": "));
  return lines.filter(Boolean).join("<br>");
}

// A line's numbers where it has any, thinned for the eye; `beside` are columns whose extremes are kept too.
function pointsOf(found, one, beside = [], bySteps = haveSteps(one.rows)) {
  const at = positions(one.rows, bySteps);
  const there = one.rows.map((row, i) => ({ row, x: at[i] })).filter((point) => Number.isFinite(found.value[point.row]));
  const columns = [found.value, found.lower, found.upper, ...beside].map((values) => there.map((point) => values[point.row]));
  return { count: there.length, points: thinned(columns).map((i) => there[i]) };
}

function trajectoryTraces(found, one, points, look, scales, axes, bars) {
  const x = points.map((point) => place(scales.x, point.x));
  const floor = scales.floor; // a logarithm shows nothing at 0 and below: the interval goes on to the edge
  const shown = (value) => (scales.y.kind === "log" && !(value > 0) ? floor : value);
  const end = (value, open) => place(scales.y, Number.isFinite(value) ? shown(value) : open);
  const lower = points.map((point) => end(found.lower[point.row], Number.isNaN(found.lower[point.row]) ? found.value[point.row] : scales.low));
  const upper = points.map((point) => end(found.upper[point.row], Number.isNaN(found.upper[point.row]) ? found.value[point.row] : scales.high));
  const y = points.map((point) => place(scales.y, shown(found.value[point.row])));
  const group = { legendgroup: String(one.number), xaxis: axes.x, yaxis: axes.y };
  const traces = [];
  const line = {
    ...group, type: "scatter", mode: "lines+markers", name: escaped(shortened(one.label)), x, y,
    line: { color: look.color, dash: look.dash, width: 2 },
    marker: { color: look.color, size: points.length > 120 ? 4 : 7, symbol: marks(points.map((point) => found.status[point.row]), STATUS_MARKS), line: { width: 1.5, color: look.color } },
    text: points.map((point) => hoverText(found, one, point.row)), hovertemplate: "%{text}<extra></extra>",
    customdata: points.map((point) => point.row), showlegend: axes.legend,
  };
  if (bars || points.length === 1) { // a band of one point has no width
    line.error_y = {
      type: "data", symmetric: false, array: upper.map((v, i) => Math.max(v - y[i], 0)), arrayminus: lower.map((v, i) => Math.max(y[i] - v, 0)),
      color: look.color, thickness: 1.2, width: 3,
    };
  } else {
    const quiet = { ...group, type: "scatter", mode: "lines", x, hoverinfo: "skip", showlegend: false, line: { width: 0 } };
    traces.push({ ...quiet, y: lower }, { ...quiet, y: upper, fill: "tonexty", fillcolor: faint(look.color) });
  }
  return [...traces, line];
}
