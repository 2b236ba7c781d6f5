// Thinning for the eye: of each stretch of a line the first, the last and the extremes of value and interval are drawn.
const MOST_POINTS = 500;

function thinned(columns, most = MOST_POINTS) {
  const count = columns[0].length;
  if (count <= most) return Array.from({ length: count }, (_, i) => i);
  const stretches = Math.max(1, Math.floor(most / (2 + 2 * columns.length)));
  const kept = new Set([0, count - 1]);
  for (let s = 0; s < stretches; s += 1) {
    const [begin, end] = [Math.floor((s * count) / stretches), Math.floor(((s + 1) * count) / stretches)];
    kept.add(begin).add(end - 1);
    for (const values of columns) {
      let [low, high] = [-1, -1];
      for (let i = begin; i < end; i += 1) {
        if (!Number.isFinite(values[i])) continue;
        if (low < 0 || values[i] < values[low]) low = i;
        if (high < 0 || values[i] > values[high]) high = i;
      }
      if (low >= 0) kept.add(low).add(high);
    }
  }
  return [...kept].sort((a, b) => a - b);
}

// The first of `count` columns, and every so many of them: at most `most` ticks of equal distance.
function stepped(count, most) {
  const wanted = Math.max(1, count / most);
  const size = 10 ** Math.floor(Math.log10(wanted));
  const every = [1, 2, 5, 10].map((digit) => digit * size).find((one) => one >= wanted - 1e-9);
  return Array.from({ length: Math.ceil(count / every) }, (_, i) => i * every);
}

// At most `most` numbers below `count` that lie evenly, the first and the last among them.
function evenly(count, most) {
  if (count <= most) return Array.from({ length: count }, (_, i) => i);
  return [...new Set(Array.from({ length: most }, (_, i) => Math.round((i * (count - 1)) / (most - 1))))];
}
