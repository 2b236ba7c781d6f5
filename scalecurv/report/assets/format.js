// Numbers as `scalecurv show` prints them, and text that Plotly shows letter by letter.
function escaped(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function shortened(text, longest = 36) {
  if (text.length <= longest) return text;
  const head = Math.floor(longest / 2);
  return `${text.slice(0, head)}…${text.slice(text.length - (longest - head - 1))}`;
}

// Python's %.6g
function sixDigits(number) {
  if (number === 0) return "0";
  if (!Number.isFinite(number)) return Number.isNaN(number) ? "nan" : number > 0 ? "inf" : "-inf";
  const [digits, exponent] = number.toExponential(5).split("e");
  const power = Number(exponent);
  const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (power < -4 || power >= 6) {
    const size = String(Math.abs(power)).padStart(2, "0");
    return `${trimmed(digits)}e${power < 0 ? "-" : "+"}${size}`;
  }
  return trimmed(number.toFixed(Math.max(0, 5 - power)));
}

function plainNumber(number) {
  if (Number.isInteger(number) && Math.abs(number) < 1e12) return String(number);
  return sixDigits(number);
}

// Decimals that show a half-width to one significant digit, or to two where it begins with 1.
function decimalsOf(halfwidth) {
  const [leading, exponent] = halfwidth.toExponential(17).split("e");
  return -Number(exponent) + (leading.startsWith("1") ? 1 : 0);
}

function fixedNumber(number, decimals) {
  const exponent = Math.floor(Math.log10(Math.abs(number) || 1));
  if (number !== 0 && (decimals > 9 || exponent > 9)) {
    const [digits, power] = number.toExponential(Math.min(Math.max(decimals + exponent, 0), 100)).split("e");
    return `${digits}e${power[0]}${power.slice(1).padStart(2, "0")}`;
  }
  if (number === 0 && decimals > 9) return "0";
  const unit = 10 ** Math.max(-decimals, 0);
  return (Math.round(number / unit) * unit === number || unit === 1 ? number : Math.round(number / unit) * unit).toFixed(
    Math.max(decimals, 0),
  );
}

// A value with its interval: the text of an Estimate.
function estimateText(found, row) {
  const [value, status] = [found.value[row], found.status[row]];
  if (status === "not_applicable" || status === "failed") return status.replace("_", " ");
  if (Number.isNaN(value)) return "";
  const [lower, upper] = [found.lower[row], found.upper[row]];
  const confidence = found.confidence ? found.confidence[row] : NaN;
  const half = (upper - lower) / 2;
  const short = half <= 1e-6 * Math.abs(value);
  const sure = Math.round(confidence * 1e8) === 1e8;
  if (status === "exact" || (sure && (short || half === 0)) || Number.isNaN(half)) {
    if (status !== "lower_bound" || half === 0) return plainNumber(value);
  }
  const share = Number.isNaN(confidence) ? "" : ` (${sixDigits(100 * confidence)} %)`;
  if (lower === -Infinity) return `${plainNumber(value)} +- inf${share}`;
  if (upper === Infinity || Number.isNaN(upper) || status === "lower_bound") {
    return `>= ${plainNumber(lower)}${upper < Infinity ? `, <= ${plainNumber(upper)}` : ""}`;
  }
  if (short) return `${plainNumber(value)}${share}`;
  const digits = decimalsOf(half);
  const shown = fixedNumber(value, digits);
  if (Math.abs(value - (upper + lower) / 2) > 1e-6 * half) {
    return `${shown} in [${fixedNumber(lower, digits)}, ${fixedNumber(upper, digits)}]${share}`;
  }
  return `${shown} +- ${fixedNumber(half, digits)}${share}`;
}

const thousands = (number) => number.toLocaleString("en-US");
