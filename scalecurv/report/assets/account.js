// The account of the rank: where the P parameters go, stacked.
const ACCOUNT = DATA.style.account; // the parts from the bottom to the top, as `scalecurv plot` draws them
const MOST_BARS = 60;
const FEW_BARS = 5;

async function drawAccount() {
  const one = SERIES[Number(chosen("account-run"))];
  const parts = await Promise.all(ACCOUNT.map(({ name }) => (PACKED.has(name) ? quantity(name) : null)));
  const ranked = one.rows.filter((row) => parts[0] && Number.isFinite(parts[0].value[row]));
  const whole = ranked.filter((row) => parts.every((part) => part && Number.isFinite(part.value[row])));
  const less = ranked.length - whole.length;
  const there = whole.length ? whole : ranked; // a stack that lacks a part would end below P
  const rows = evenly(there.length, MOST_BARS).map((i) => there[i]);
  const names = rows.map(rowName);
  const traces = ACCOUNT.map(({ name, words, color, hatch }, i) => parts[i] && {
    type: "bar", name: words, x: rows.map((_, at) => at), y: rows.map((row) => parts[i].value[row]), customdata: rows,
    marker: { color: themed(color), line: { width: 0 }, pattern: { shape: hatch, size: 6, solidity: 0.18, fillmode: "overlay", fgcolor: cssColor("ground") } },
    text: rows.map((row, at) => `${escaped(names[at])}<br>${name}: ${escaped(estimateText(parts[i], row))}, ${parts[i].status[row].replace("_", " ")}`),
    textposition: "none", hovertemplate: "%{text}<extra></extra>",
  }).filter(Boolean);
  const every = stepped(rows.length, narrow() ? 5 : 12);
  const few = Math.max(0, (FEW_BARS - rows.length) / 2); // bars that are no wider than they are high
  const ticks = { range: [-0.5 - few, rows.length - 0.5 + few], tickmode: "array", tickvals: every, ticktext: every.map((i) => escaped(shortened(names[i].replace("step ", ""), 12))) };
  const layout = {
    barmode: "stack", bargap: 0.15, xaxis: axisLook(stepTitle([one]), ticks), yaxis: axisLook("parameters", { rangemode: "tozero" }),
    legend: { ...layoutOf({}).legend, traceorder: narrow() ? "normal" : "reversed" },
  };
  await paint("account-plot", traces, layout, `Account of the rank of ${one.label}`);
  const bound = rows.some((row) => parts[0].status[row] === "lower_bound");
  note("account-note", [
    whole.length ? "P = rank + dead + rescaling + data-limited + unexplained." : "The other parts of P are not stored: bars end at the rank.",
    whole.length && less ? `${thousands(less)} checkpoint${less === 1 ? "" : "s"} left out: parts of the account are not known.` : "",
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
