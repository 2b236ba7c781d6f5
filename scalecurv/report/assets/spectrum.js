// The spectral density of one checkpoint: a slider walks over those of a run.
const RANGE_BELOW_PEAK = 1e-6;
const BAND_ABOVE_PEAK = 20; // of two starts, a band reaches 13 times as high
let spectrumCurves = [];

async function drawSpectrum() {
  const at = Number(chosen("spectrum-step"));
  const curve = spectrumCurves[at];
  const every = await Promise.all(spectrumCurves.map((one) => column(one.grid)));
  const [grid, values, lower, upper] = await Promise.all([curve.grid, curve.values, curve.lower, curve.upper].map(column));
  const name = rowName(curve.row);
  note("spectrum-name", name);
  document.getElementById("spectrum-step").setAttribute("aria-valuetext", name);
  const log = chosen("spectrum-scale") === "log";
  const floor = largest(Array.from(values)) * RANGE_BELOW_PEAK;
  const color = lineColor(0);
  const shown = (value) => (log ? Math.max(value, floor / 10) : value);
  const quiet = { type: "scatter", mode: "lines", x: grid, hoverinfo: "skip", showlegend: false, line: { width: 0 } };
  const sampled = !curve.exact && curve.starts > 1;
  const band = sampled ? [
    { ...quiet, y: Array.from(lower, shown) },
    { ...quiet, y: Array.from(upper, shown), fill: "tonexty", fillcolor: faint(color) },
  ] : [];
  const line = {
    type: "scatter", mode: "lines", x: grid, y: Array.from(values, shown), line: { color, width: 2 }, name: escaped(name), customdata: Array.from(values, (v, i) => [v, lower[i], upper[i]]),
    hovertemplate: "eigenvalue %{x:.6g}<br>density %{customdata[0]:.6g}<br>interval %{customdata[1]:.6g} to %{customdata[2]:.6g}<extra></extra>",
  };
  const ends = [smallest(every.map((one) => one[0])), largest(every.map((one) => one.at(-1)))];
  const peak = largest(Array.from(values));
  const top = sampled ? Math.min(largest(Array.from(upper)), BAND_ABOVE_PEAK * peak) : peak; // the band in sight
  const vertical = log ? { type: "log", range: [Math.log10(floor), Math.log10(top) + 0.3], ...logTicks(Math.log10(floor), Math.log10(top) + 0.3) } : { range: [0, 1.1 * top] };
  const layout = {
    xaxis: axisLook("eigenvalue of H (loss/theta<sup>2</sup>)", { range: ends }), yaxis: axisLook("density", vertical), showlegend: false,
  };
  await paint("spectrum-plot", [...band, line], layout, `Spectral density of H at ${name}`);
  const found = curve.exact ? `all ${curve.nodes} eigenvalues` : `${curve.starts} start${curve.starts === 1 ? "" : "s"} of ${curve.nodes} nodes`;
  const total = DATA.densities.count;
  note("spectrum-note", [
    `${name}: ${found}, smoothed by a Gaussian of width ${sixDigits(Number(curve.width.toPrecision(3)))}.`,
    sampled ? `Band: Student's interval over the starts (95 %), with the ${sixDigits(Number(curve.truncation.toPrecision(3)))} that truncation adds at most.` : "",
    curve.exact || sampled ? "" : "One start says nothing of its error: analyze with another --seed.",
    DATA.densities.curves.length < total ? `Drawn: ${DATA.densities.curves.length} of ${thousands(total)} checkpoints, which lie evenly.` : "",
  ].filter(Boolean).join(" "));
}

function chooseSpectra() {
  const rows = new Set(SERIES[Number(chosen("spectrum-run"))].rows);
  spectrumCurves = DATA.densities.curves.filter((curve) => rows.has(curve.row));
  const slider = document.getElementById("spectrum-step");
  Object.assign(slider, { max: String(spectrumCurves.length - 1), value: String(spectrumCurves.length - 1) });
  slider.disabled = spectrumCurves.length < 2;
}

async function startSpectrum() {
  if (!document.getElementById("spectrum-plot")) return;
  const rows = new Set(DATA.densities.curves.map((curve) => curve.row));
  const there = SERIES.filter((one) => one.rows.some((row) => rows.has(row)));
  fill("spectrum-run", seriesOptions(there), String(there[0].number));
  chooseSpectra();
  const redraw = () => register("spectrum-plot", drawSpectrum);
  document.getElementById("spectrum-run").addEventListener("change", () => { chooseSpectra(); redraw(); });
  document.getElementById("spectrum-step").addEventListener("input", redraw);
  onChange(["spectrum-scale"], redraw);
  await redraw();
}
