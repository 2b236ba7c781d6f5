// The account of the rank: where the P parameters go, stacked.
const ACCOUNT = [
  ["rank", "rank", ""], ["account_rescaling", "rescaling", "/"], ["account_dead", "dead", "x"],
  ["account_data_limited", "data-limited", "\\"], ["account_unexplained", "unexplained", "."],
];
const MOST_BARS = 60;

async function drawAccount() {
  const one = SERIES[Number(chosen("account-run"))];
  const parts = await Promise.all(ACCOUNT.map(([name]) => (PACKED.has(name) ? quantity(name) : null)));
  const ranked = one.rows.filter((row) => parts[0] && Number.isFinite(parts[0].value[row]));
  const whole = ranked.filter((row) => parts.every((part) => part && Number.isFinite(part.value[row])));
  const there = whole.length ? whole : ranked; // a stack that lacks a part would end below P
  const rows = evenly(there.length, MOST_BARS).map((i) => there[i]);
  const names = rows.map(rowName);
  const traces = ACCOUNT.map(([name, label, shape], i) => parts[i] && {
    type: "bar", name: label, x: rows.map((_, at) => at), y: rows.map((row) => parts[i].value[row]), customdata: rows,
    marker: { color: lineColor(i), line: { width: 0 }, pattern: { shape, size: 6, solidity: 0.18, fillmode: "overlay", fgcolor: cssColor("ground") } },
    text: rows.map((row, at) => `${escaped(names[at])}<br>${name}: ${escaped(estimateText(parts[i], row))}, ${parts[i].status[row].replace("_", " ")}`),
    textposition: "none", hovertemplate: "%{text}<extra></extra>",
  }).filter(Boolean);
  const every = evenly(rows.length, narrow() ? 5 : 12);
  const ticks = { tickmode: "array", tickvals: every, ticktext: every.map((i) => escaped(shortened(names[i].replace("step ", ""), 12))) };
  const layout = {
    barmode: "stack", bargap: 0.15, xaxis: axisLook(stepTitle([one]), ticks), yaxis: axisLook("parameters", { rangemode: "tozero" }),
    legend: { ...layoutOf({}).legend, traceorder: "normal" },
  };
  await paint("account-plot", traces, layout, `Account of the rank of ${one.label}`);
  const bound = rows.some((row) => parts[0].status[row] === "lower_bound");
  note("account-note", [
    whole.length ? "P = rank + dead + rescaling + data-limited + unexplained." : "The other parts of P are not stored: bars end at the rank.",
    whole.length && whole.length < ranked.length ? `${thousands(ranked.length - whole.length)} checkpoints whose parts are not all known are left out.` : "",
    bound ? "The rank is a lower bound at some checkpoints: point at the bars." : "",
    rows.length < there.length ? `Drawn: ${rows.length} of ${thousands(there.length)} checkpoints, which lie evenly.` : "",
  ].filter(Boolean).join(" "));
}

async function startAccount() {
  if (!document.getElementById("account-plot")) return;
  const there = seriesWith((await quantity("rank")).value);
  fill("account-run", seriesOptions(there), String(there[0].number));
  const redraw = () => register("account-plot", drawAccount);
  onChange(["account-run"], redraw);
  await redraw();
}
