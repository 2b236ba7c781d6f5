// A heat map of one quantity: its layers or other components over the checkpoints of a run.
async function drawLayers() {
  const packed = DATA.layers.find((one) => one.name === chosen("layer-quantity"));
  const [rows, value, lower, upper] = await Promise.all([packed.rows, packed.value, packed.lower, packed.upper].map(column));
  const statuses = await texts(packed.status);
  const one = SERIES[Number(chosen("layer-run"))];
  const mine = new Set(one.rows);
  const at = Array.from(rows, (row, i) => (mine.has(row) ? i : -1)).filter((i) => i >= 0);
  const grid = packed.components.map((_, c) => at.map((i) => value[c * rows.length + i]));
  const flat = finite(grid.flat());
  const signed = flat.some((v) => v < 0);
  const most = largest(flat.map(Math.abs));
  const wide = !signed && most / smallest(flat.filter((v) => v > 0)) >= WIDE;
  const wanted = chosen("layer-scale");
  const log = wanted === "log" ? !signed : wanted === "auto" && wide;
  const z = grid.map((line) => line.map((v) => (Number.isFinite(v) && (!log || v > 0) ? (log ? Math.log10(v) : v) : null)));
  const text = packed.components.map((component, c) => at.map((i) => {
    const place = c * rows.length + i;
    if (Number.isNaN(value[place])) return "";
    return `${escaped(shortened(component))}, ${escaped(rowName(rows[i]))}<br>${packed.name} ${String(value[place])}<br>interval ${String(lower[place])} to ${String(upper[place])}<br>${statuses[place].replace("_", " ")}`;
  }));
  const every = stepped(at.length, narrow() ? 5 : 12);
  const powers = log ? evenly(1 + Math.floor(Math.log10(most)) - Math.ceil(Math.log10(smallest(flat.filter((v) => v > 0)))), 6) : [];
  const first = log ? Math.ceil(Math.log10(smallest(flat.filter((v) => v > 0)))) : 0;
  const bar = { title: { text: packed.name, side: "right" }, thickness: 14, outlinewidth: 0, ...(powers.length > 1 ? { tickvals: powers.map((p) => p + first), ticktext: powers.map((p) => tickText(10 ** (p + first))) } : {}), ...(log && powers.length <= 1 ? { tickprefix: "10^" } : {}) };
  const trace = {
    type: "heatmap", z, x: at.map((_, i) => i), y: packed.components.map((_, c) => c), text, hovertemplate: "%{text}<extra></extra>", hoverongaps: false,
    colorscale: signed ? DATA.style.signed : DATA.style.scale, ...(signed ? { zmin: -most, zmax: most } : {}), colorbar: bar,
    xgap: at.length > 60 ? 0 : 1, ygap: packed.components.length > 60 ? 0 : 1,
  };
  const layout = {
    xaxis: axisLook(stepTitle([one]), { tickmode: "array", tickvals: every, ticktext: every.map((i) => escaped(shortened(rowName(rows[at[i]]).replace("step ", ""), 12))), showgrid: false }),
    yaxis: axisLook("", { autorange: "reversed", tickmode: "array", tickvals: evenly(packed.components.length, 40), ticktext: evenly(packed.components.length, 40).map((c) => escaped(shortened(packed.components[c] || "whole", narrow() ? 12 : 28))), showgrid: false }),
    height: Math.min(900, Math.max(320, 140 + 26 * packed.components.length)),
  };
  await paint("layer-plot", [trace], layout, `${packed.name} by layer of ${one.label}`);
  note("layer-note", [
    log ? "Colours are logarithmic; empty cells have no value, or none above 0." : signed ? "Colours are centred at 0." : "Empty cells have no value.",
    rows.length < packed.count ? `Drawn: ${thousands(rows.length)} of ${thousands(packed.count)} checkpoints, which lie evenly.` : "",
  ].filter(Boolean).join(" "));
}

async function startLayers() {
  if (!document.getElementById("layer-plot")) return;
  fill("layer-quantity", DATA.layers.map((one) => [one.name, one.name]), (DATA.layers.find((one) => one.name === "trace") || DATA.layers[0]).name);
  const redraw = () => register("layer-plot", drawLayers);
  const runs = async () => {
    const rows = new Set(await column(DATA.layers.find((one) => one.name === chosen("layer-quantity")).rows));
    const [there, before] = [SERIES.filter((one) => one.rows.some((row) => rows.has(row))), chosen("layer-run")];
    fill("layer-run", seriesOptions(there), there.some((one) => String(one.number) === before) ? before : String(there[0].number));
  };
  await runs();
  document.getElementById("layer-quantity").addEventListener("change", async () => { await runs(); await redraw(); });
  onChange(["layer-run", "layer-scale"], redraw);
  await redraw();
}
