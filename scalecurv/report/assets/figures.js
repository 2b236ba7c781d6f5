// What all pictures share: colours of the theme, fonts, margins, and one way to draw them again.
const drawings = new Map(); // id of a plot -> what draws it
const PAPER_WIDTH = 1000; // pixels between the margins of a sheet of A4 across
let onPaper = false;
const narrow = () => !onPaper && window.matchMedia("(max-width: 40rem)").matches;

function axisLook(title, more = {}) {
  const line = cssColor("line");
  const look = { gridcolor: line, linecolor: line, zerolinecolor: line, ticks: "outside", tickcolor: line, automargin: true };
  return { ...look, title: { text: title, standoff: 8 }, ...more };
}

function layoutOf(more) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", dragmode: narrow() ? false : "zoom",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: cssColor("ink") },
    margin: { l: 72, r: 12, t: 28, b: 48 }, autosize: true, modebar: { bgcolor: "rgba(0,0,0,0)", color: cssColor("quiet"), activecolor: cssColor("accent") },
    hoverlabel: { bgcolor: cssColor("raised"), bordercolor: cssColor("line"), font: { color: cssColor("ink"), size: 13 }, align: "left", namelength: 0 },
    legend: narrow() ? { orientation: "h", y: -0.22, x: 0, yanchor: "top" } : { x: 1.01, y: 1, xanchor: "left", yanchor: "top", tracegroupgap: 2 },
    ...(onPaper ? { width: PAPER_WIDTH, autosize: false } : {}),
    ...more,
  };
}

const CONFIG = {
  displaylogo: false, responsive: true, typesetMath: false, // a run may be called $x_1$
  doubleClick: "reset", plotlyServerURL: "", // nothing leaves the page
  modeBarButtonsToRemove: ["sendChartToCloud", "lasso2d", "select2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
  toImageButtonOptions: { format: "svg", filename: "curvature" },
};

async function paint(id, traces, layout, label) {
  const target = document.getElementById(id);
  const height = layout.height || (narrow() ? 400 : 430);
  await Plotly.react(target, traces, layoutOf({ ...layout, height }), CONFIG);
  target.setAttribute("role", "group");
  target.setAttribute("aria-label", label);
  for (const button of target.querySelectorAll(".modebar-btn")) button.setAttribute("tabindex", "-1");
}

// Draw now, and again where the theme, the width or paper asks for it.
async function register(id, draw) {
  if (!document.getElementById(id)) return;
  drawings.set(id, draw);
  await draw();
}

async function redrawn() {
  for (const draw of drawings.values()) await draw();
}

function note(id, text) {
  const target = document.getElementById(id);
  if (target.textContent !== text) target.textContent = text;
}
