// Trajectories of a quantity or an expression: all runs over each other, or one panel a run.
const MOST_FACETS = 24;
const MOST_BELOW = 10; // lines in a legend below the picture: that of more covers it
const MOST_LINES = PALETTE.length * DASHES.length; // no two lines look the same

async function drawTrajectories() {
  const found = await quantity(chosen("trajectory-quantity"));
  const [run, layout] = [chosen("trajectory-runs"), chosen("trajectory-layout")];
  const all = seriesWith(found.value).filter((one) => run === "all" || String(one.number) === run);
  const shown = all.slice(0, layout === "facets" ? MOST_FACETS : MOST_LINES);
  const rows = shown.flatMap((one) => one.rows).filter((row) => Number.isFinite(found.value[row]));
  const parts = ["value", "lower", "upper"].map((part) => rows.map((row) => found[part][row]));
  const bySteps = shown.every((one) => haveSteps(one.rows)); // one axis holds steps or places, never both
  const steps = shown.flatMap((one) => positions(one.rows, bySteps));
  const scales = { x: stepScale(steps), y: valueScale(...parts, chosen("trajectory-scale")) };
  const axis = axisOf(scales.y, ...parts);
  const far = (end) => (scales.y.kind === "log" ? 10 ** axis.range[end] : Number.MAX_VALUE * (end ? 1 : -1));
  const beyond = scales.y.kind === "linear" && axis.range ? axis.range : [far(0), far(1)];
  Object.assign(scales, { low: beyond[0], high: beyond[1], floor: axis.range ? 10 ** (axis.range[0] - 1) : 1 });
  if (scales.y.kind === "symlog") Object.assign(scales, { low: -largest(parts[0].map(Math.abs)) * 10, high: largest(parts[0].map(Math.abs)) * 10 });
  const looks = linesBy(chosen("trajectory-color"), shown);
  const [traces, more] = [[], {}];
  let [drawn, count] = [0, 0];
  const [columns, lines] = layout === "facets" ? gridOf(shown.length) : [1, 1];
  shown.forEach((one, i) => {
    const panel = layout === "facets" ? i + 1 : 1;
    const axes = { x: `x${panel}`, y: `y${panel}`, legend: layout !== "facets" };
    const { count: of, points } = pointsOf(found, one, [], bySteps);
    [drawn, count] = [drawn + points.length, count + of];
    traces.push(...trajectoryTraces(found, one, points, looks[i], scales, axes, chosen("trajectory-interval") === "bars"));
  });
  const horizontal = { ...axisOf(scales.x, steps), ...(scales.x.kind === "linear" ? {} : { tickangle: 0 }) };
  for (let panel = 0; panel < (layout === "facets" ? shown.length : 1); panel += 1) {
    const [column, line] = [panel % columns, Math.floor(panel / columns)];
    const last = panel + columns >= shown.length;
    const domains = [domainOf(column, columns, 0.06), domainOf(lines - 1 - line, lines, 0.2)];
    const suffix = panel ? String(panel + 1) : "";
    const linked = panel ? { matches: "x" } : {};
    const level = panel ? { matches: "y" } : {};
    more[`xaxis${suffix}`] = axisLook(last || layout !== "facets" ? stepTitle(shown) : "", { ...horizontal, ...linked, domain: domains[0], anchor: `y${panel + 1}` });
    more[`yaxis${suffix}`] = axisLook(layout === "facets" ? "" : axisTitle(found), { ...axis, ...level, domain: domains[1], anchor: `x${panel + 1}` });
  }
  const annotations = layout === "facets" ? shown.map((one, i) => ({
    text: escaped(shortened(one.label)), showarrow: false, x: 0.5, y: 1, xref: `x${i ? i + 1 : ""} domain`, yref: `y${i ? i + 1 : ""} domain`, yanchor: "bottom",
  })) : [];
  if (layout === "facets") annotations.push({ text: axisTitle(found), showarrow: false, textangle: -90, xref: "paper", yref: "paper", x: 0, y: 0.5, xanchor: "right", yanchor: "middle", xshift: -48 });
  const height = layout === "facets" ? Math.max(380, 230 * lines) : undefined;
  const named = !(narrow() && shown.length > MOST_BELOW);
  await paint("trajectory-plot", traces, { ...more, annotations, height, ...(layout === "facets" ? { margin: { l: 72, r: 12, t: 56, b: 48 } } : {}), showlegend: named && shown.length > 1 && layout !== "facets" }, `${found.name} over training`);
  const left = all.length - shown.length;
  note("trajectory-note", [
    found.meaning ? `${found.name}: ${found.meaning}.` : "", found.note, drawn < count ? `Drawn: ${thousands(drawn)} of ${thousands(count)} points, extremes among them.` : "",
    named || layout === "facets" ? "" : "Point at a line for the name of its run.",
    left ? `The first ${shown.length} of ${all.length} runs are drawn; choose others in Runs.` : "",
    `Markers are ${statusWords(found, rows)}.`,
  ].filter(Boolean).join(" "));
}

const SHAPES = { exact: "circles", certified: "diamonds", converged: "squares", budget: "hollow squares", lower_bound: "hollow triangles", inconsistent: "hollow diamonds", failed: "crosses", "": "circles" };

function statusWords(found, rows) {
  const there = [...new Set(rows.map((row) => found.status[row]))];
  return there.map((status) => `${SHAPES[status] || "circles"}: ${status ? status.replace("_", " ") : "no status"}`).join("; ");
}

const axisTitle = (found) => escaped(shortened(found.name, 44)) + (found.unit && found.unit !== "1" && found.unit !== found.name ? ` (${found.unit.replace(/\^(\d)/g, "<sup>$1</sup>")})` : "");
const stepTitle = (shown) => (shown.every((one) => haveSteps(one.rows)) ? "step" : "place in the order of training");

function gridOf(count) {
  const columns = Math.min(narrow() ? 1 : 3, Math.max(count, 1));
  return [columns, Math.max(1, Math.ceil(count / columns))];
}

function domainOf(number, count, gap) {
  const size = (1 - (gap * (count - 1)) / Math.max(count / 2, 1)) / count;
  return [number * (size + (count > 1 ? (1 - size * count) / (count - 1) : 0)), number * (size + (count > 1 ? (1 - size * count) / (count - 1) : 0)) + size];
}

async function startTrajectories() {
  if (!document.getElementById("trajectory-plot")) return;
  const asked = DATA.expressions.filter((one) => one.asked).map((one) => one.name);
  const others = DATA.expressions.filter((one) => !one.asked).map((one) => one.name);
  const names = [...new Set([...asked, ...PRESENT, ...others])];
  const first = asked[0] || ["lambda_max", "scalar_curvature", "trace", "loss"].find((name) => PRESENT.includes(name)) || names[0];
  fill("trajectory-quantity", names.map((name) => [name, name]), first);
  fill("trajectory-runs", [["all", `all (${SERIES.length})`], ...seriesOptions(SERIES)], "all");
  fill("trajectory-color", [["", "run"], ...Object.keys(ROWS.attributes).map((name) => [name, name])], "");
  const redraw = () => register("trajectory-plot", drawTrajectories);
  onChange(["quantity", "runs", "layout", "scale", "interval", "color"].map((name) => `trajectory-${name}`), redraw);
  await redraw();
}
