// The page begins: rows first, then the table and each picture; a fault is told in words, not in silence.
async function start() {
  if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old to unpack the numbers; open the page in one of 2023 or later");
  await loadRows();
  const began = [startTable, startTrajectories, startSpectrum, startAccount, startBrackets, startLayers];
  for (const [i, begin] of began.entries()) {
    await begin();
    if (i === 0) document.documentElement.dataset.table = "ready";
    if (i === 1) document.documentElement.dataset.plot = "ready";
  }
  document.documentElement.dataset.report = "ready";
}

document.getElementById("theme").addEventListener("click", () => { nextTheme(); redrawn(); });
prefersDark.addEventListener("change", () => { showTheme(); redrawn(); });
window.matchMedia("(max-width: 40rem)").addEventListener("change", redrawn);
window.scalecurv = { DATA, ROWS, SERIES, quantity, thinned, csvOf, estimateText, valueScale, place, symlogTicks }; // for those who look inside
start().catch((error) => {
  const trouble = document.getElementById("trouble");
  trouble.hidden = false;
  trouble.textContent = `The pictures cannot be shown: ${error.message}`;
  console.error(error);
});
