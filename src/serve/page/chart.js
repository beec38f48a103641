// The small geometry under the plots: scales, ticks, and paths that stay honest when there are more instants than
// pixels. Instants of one pixel column are drawn as their whole range, so no peak is lost between pixels.
import { zoneShift } from "./units.js";

/** Linear scale; `.invert` goes back. */
export function linear(d0, d1, r0, r1) {
  const k = (r1 - r0) / (d1 - d0 || 1);
  const scale = (v) => r0 + (v - d0) * k;
  scale.invert = (p) => d0 + (p - r0) / k;
  return scale;
}

const STEPS = [1, 2, 2.5, 5, 10];

/** Steps of a value axis: at most `most` of them, the last at or above `max`. */
export function valueTicks(max, most, whole = false) {
  const top = max > 0 ? max : 1;
  const raw = top / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  let step = power * STEPS.find((s) => s * power >= raw * 0.9999);
  if (whole) step = Math.max(1, Math.ceil(step));
  const ticks = [];
  for (let i = 0; i === 0 || ticks[ticks.length - 1] < top * 0.9999; i += 1) ticks.push(i * step);
  return ticks;
}

const MINUTE = 60_000;
const SPANS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080].map((m) => m * MINUTE);

/** Instants of a time axis, at whole local hours and the like, at least `apart` pixels from each other. */
export function timeTicks(x, t0, t1, apart) {
  const perPixel = (t1 - t0) / Math.max(1, x(t1) - x(t0));
  const span = SPANS.find((s) => s >= perPixel * apart) || SPANS[SPANS.length - 1];
  const shift = zoneShift(t0);
  const ticks = [];
  for (let t = Math.ceil((t0 + shift) / span) * span - shift; t <= t1; t += span) ticks.push(t);
  return ticks;
}

/** Groups instants by pixel column: `[{px, from, to}]`, `to` exclusive; instants outside t0..t1 are left out. */
export function pixelColumns(t, x, t0, t1) {
  const columns = [];
  let last = null;
  for (let i = 0; i < t.length; i += 1) {
    if (t[i] < t0 || t[i] > t1) continue;
    const px = Math.round(x(t[i]));
    if (last && last.px === px) last.to = i + 1;
    else columns.push(last = { px, from: i, to: i + 1 });
  }
  return columns;
}

const isNumber = (v) => v !== null && v !== undefined;

function extent(values, from, to) {
  let range = null;
  for (let i = from; i < to; i += 1) {
    const v = values[i];
    if (!isNumber(v)) continue;
    if (!range) range = { first: v, min: v, max: v, last: v };
    else {
      range.min = Math.min(range.min, v);
      range.max = Math.max(range.max, v);
      range.last = v;
    }
  }
  return range;
}

const p = (v) => Math.round(v * 10) / 10;

/** A line through the values; a gap where none is known. */
export function linePath(columns, values, y) {
  let path = "";
  let open = false;
  for (const { px, from, to } of columns) {
    const range = extent(values, from, to);
    if (!range) {
      open = false;
      continue;
    }
    path += `${open ? "L" : "M"}${px} ${p(y(range.first))}`;
    if (range.max !== range.min) path += `L${px} ${p(y(range.min))}L${px} ${p(y(range.max))}L${px} ${p(y(range.last))}`;
    open = true;
  }
  return path;
}

/** Steps: a value holds until the next. */
export function stepPath(columns, values, y) {
  let path = "";
  let before = null;
  for (const { px, from, to } of columns) {
    const range = extent(values, from, to);
    if (!range) {
      if (before !== null) path += `H${px}`;
      before = null;
      continue;
    }
    if (before === null) path += `M${px} ${p(y(range.first))}`;
    else if (range.min !== before || range.max !== before) path += `H${px}`;
    if (range.max !== range.min) path += `V${p(y(range.min))}V${p(y(range.max))}`;
    if (range.last !== before || range.max !== range.min) path += `V${p(y(range.last))}`;
    before = range.last;
  }
  if (before !== null && columns.length) path += `H${columns[columns.length - 1].px + 0.5}`;
  return path;
}

/** The area between two columns of values, where both are known. */
export function bandPath(columns, upper, lower, y) {
  let path = "";
  let top = [];
  let bottom = [];
  const close = () => {
    if (top.length > 1) path += `M${top.join("L")}L${bottom.reverse().join("L")}Z`;
    top = [];
    bottom = [];
  };
  for (const { px, to } of columns) {
    const [u, l] = [upper[to - 1], lower[to - 1]];
    if (isNumber(u) && isNumber(l)) {
      top.push(`${px} ${p(y(u))}`);
      bottom.push(`${px} ${p(y(l))}`);
    } else close();
  }
  close();
  return path;
}

/** Where `above` exceeds `below`: of each pixel column the worst instant, at least one pixel wide and two high. */
export function excessPath(columns, above, below, y) {
  let path = "";
  columns.forEach(({ px, from, to }, n) => {
    let worst = -1;
    for (let i = from; i < to; i += 1) {
      if (!isNumber(above[i]) || !isNumber(below[i]) || above[i] <= below[i]) continue;
      if (worst < 0 || above[i] - below[i] > above[worst] - below[worst]) worst = i;
    }
    if (worst < 0) return;
    const next = n + 1 < columns.length ? columns[n + 1].px : px + 1;
    const [low, high] = [y(below[worst]), y(above[worst])];
    path += `M${px} ${p(low)}H${Math.max(px + 1, Math.min(next, px + 12))}V${p(Math.min(high, low - 2))}H${px}Z`;
  });
  return path;
}

/** Stretches of equal values at pixel resolution: `[{from, to, value}]` in pixels. */
export function stretches(columns, values) {
  const found = [];
  for (const { px, to } of columns) {
    const value = values[to - 1];
    const last = found[found.length - 1];
    if (last) last.to = px;
    if (!last || last.value !== value) found.push({ from: px, to: px + 1, value });
  }
  return found;
}

/** The largest known value within t0..t1; 0 when none is. */
export function largest(history, names, t0, t1) {
  let most = 0;
  const t = history.columns.t;
  for (const name of names) {
    const values = history.columns[name] || [];
    for (let i = 0; i < values.length; i += 1) {
      if (t[i] >= t0 && t[i] <= t1 && isNumber(values[i]) && values[i] > most) most = values[i];
    }
  }
  return most;
}
