// K with its interval between its brackets, and the verdict on the chain of bounds at each checkpoint below it.
async function drawBrackets() {
  const one = SERIES[Number(chosen("bracket-run"))];
  const names = ["scalar_curvature", "curvature_lower", "curvature_upper"];
  const [found, lowest, highest] = await Promise.all(names.map((name) => (PACKED.has(name) ? quantity(name) : null)));
  const brackets = [lowest && lowest.lower, highest && highest.upper].filter(Boolean);
  const { count, points } = pointsOf(found, one, brackets);
  const inside = (bracket, part, point) => (bracket ? bracket[part][point.row] : NaN);
  const [below, above] = [points.map((p) => inside(lowest, "lower", p)), points.map((p) => inside(highest, "upper", p))];
  const parts = ["value", "lower", "upper"].map((part) => points.map((point) => found[part][point.row]));
  const kind = chosen("bracket-scale");
  const usual = valueScale(...parts, kind);
  const scale = usual.kind === "log" ? { ...usual, kind: "symlog" } : usual; // a bracket may hold 0
  const horizontal = stepScale(positions(one.rows));
  const x = points.map((point) => place(horizontal, point.x));
  const [color, grey] = [lineColor(0), cssColor("quiet")];
  const moved = (values) => values.map((value) => place(scale, value));
  const axis = axisOf(scale, [...parts[0], ...finite(below), ...finite(above)], parts[1], parts[2]);
  const alone = points.length === 1 ? { mode: "markers", marker: { symbol: "line-ew-open", size: 18, color: grey, line: { width: 2 } } } : {};
  const edge = { type: "scatter", mode: "lines", ...alone, x, line: { color: grey, width: 1.2, dash: "dash" }, legendgroup: "bracket" };
  const ends = (values, which) => values.map((value, i) => `${escaped(rowName(points[i].row))}<br>${which} bracket ${String(value)}`);
  const traces = [];
  if (finite(below).length) {
    traces.push({ ...edge, y: moved(below), name: "bracket", showlegend: false, text: ends(below, "lower"), hovertemplate: "%{text}<extra></extra>" });
    traces.push({ ...edge, y: moved(above), name: "bracket of K", fill: "tonexty", fillcolor: faint("#8A8A8A", 0.15), text: ends(above, "upper"), hovertemplate: "%{text}<extra></extra>" });
  }
  const limits = { low: axis.range ? axis.range[0] : 0, high: axis.range ? axis.range[1] : 1, floor: 1 };
  const scales = { x: horizontal, y: scale, ...limits };
  traces.push(...trajectoryTraces(found, { ...one, label: "K" }, points, { color, dash: "solid" }, scales, { x: "x", y: "y", legend: true }, false));
  const verdicts = one.rows.map((row) => ROWS.texts.chain_status[row]);
  const at = positions(one.rows).map((v) => place(horizontal, v));
  for (const verdict of Object.keys(VERDICT_MARKS)) {
    const there = verdicts.map((_, i) => i).filter((i) => verdicts[i] === verdict);
    const rows = evenly(there.length, MOST_POINTS).map((i) => there[i]); // of each verdict some, however rare it is
    if (!rows.length) continue;
    traces.push({
      type: "scatter", mode: "markers", name: `chain ${verdict.replace("_", " ")}`, x: rows.map((i) => at[i]), y: rows.map(() => 0), yaxis: "y2",
      marker: { symbol: VERDICT_MARKS[verdict], size: 9, color: verdict === "violated" ? cssColor("bad") : cssColor("ink"), line: { width: 1.5, color: verdict === "violated" ? cssColor("bad") : cssColor("ink") } },
      text: rows.map((i) => `${escaped(rowName(one.rows[i]))}<br>chain of bounds: ${verdict.replace("_", " ")}`), hovertemplate: "%{text}<extra></extra>",
    });
  }
  const strip = { domain: [0, 0.08], range: [-1, 1], showticklabels: false, showgrid: false, zeroline: false, fixedrange: true };
  const judged = verdicts.some((verdict) => verdict in VERDICT_MARKS);
  const layout = {
    xaxis: axisLook(stepTitle([one]), { ...axisOf(horizontal, positions(one.rows)), anchor: judged ? "y2" : "y" }),
    yaxis: axisLook(axisTitle(found), { ...axis, domain: [judged ? 0.14 : 0, 1] }), ...(judged ? { yaxis2: strip } : {}),
  };
  await paint("bracket-plot", traces, layout, `K and its brackets of ${one.label}`);
  const tally = Object.keys(VERDICT_MARKS).map((name) => [name, verdicts.filter((v) => v === name).length]).filter(([, n]) => n);
  note("bracket-note", [
    tally.length ? `The chain of bounds: ${tally.map(([name, n]) => `${name.replace("_", " ")} at ${thousands(n)}`).join(", ")}.` : "No chain of bounds is stored.",
    finite(below).length ? "" : "No bracket of K applies to this run.",
    points.length < count ? `Drawn: ${thousands(points.length)} of ${thousands(count)} points, extremes among them.` : "",
  ].filter(Boolean).join(" "));
}

async function startBrackets() {
  if (!document.getElementById("bracket-plot")) return;
  const there = seriesWith((await quantity("scalar_curvature")).value);
  fill("bracket-run", seriesOptions(there), String(there[0].number));
  const redraw = () => register("bracket-plot", drawBrackets);
  onChange(["bracket-run", "bracket-scale"], redraw);
  await redraw();
}
