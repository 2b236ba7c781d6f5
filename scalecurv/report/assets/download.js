// The rows of the table as CSV: all columns, with every digit of every number.
function csvField(value) {
  if (typeof value === "number") {
    if (Number.isNaN(value)) return "";
    return Number.isFinite(value) ? String(value) : value > 0 ? "inf" : "-inf";
  }
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

async function csvOf(rows) {
  const names = ["checkpoint", "run", "step", ...Object.keys(ROWS.attributes)];
  names.push("epoch", "num_params", "fingerprint", "task_id", "dtype", "seed", "status", "chain_status", "error", "total_matvecs");
  for (const name of PRESENT) names.push(name, ...["stderr", "lower", "upper", "status"].map((part) => `${name}_${part}`));
  const columns = await Promise.all(names.map(tableColumn));
  const lines = rows.map((row) => columns.map((values) => csvField(values[row])).join(","));
  return [names.map(csvField).join(","), ...lines, ""].join("\n");
}

async function downloadCsv() {
  const address = URL.createObjectURL(new Blob([await csvOf(state.rows)], { type: "text/csv" }));
  const link = document.createElement("a");
  Object.assign(link, { href: address, download: `${DATA.name.replace(/[^\w.-]+/g, "_") || "results"}.csv` });
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(address), 1000);
}
