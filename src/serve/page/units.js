// Numbers as people read them: each with its unit, none finer than it is known.

const counts = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
let zone = "local";

/** `utc` for a recorded day, `local` for a running controller. */
export function setZone(name) {
  zone = name;
}

const known = (x) => x !== null && x !== undefined && Number.isFinite(x);

/** 0.05 · 0.85 · 7.4 · 12 · 140 */
export function number(x) {
  if (!known(x)) return "–";
  const size = Math.abs(x);
  const digits = size >= 99.5 || size === 0 ? 0 : size >= 9.95 ? 1 : size >= 0.995 ? 2 : 3;
  return String(Number(x.toFixed(digits)));
}

export const count = (x) => (known(x) ? counts.format(Math.round(x)) : "–");

export const cores = (x) => (known(x) ? `${number(x)} ${number(x) === "1" ? "core" : "cores"}` : "–");

export function seconds(x) {
  if (!known(x)) return "–";
  if (x === 0) return "0 s";
  if (x < 1) return `${Math.round(x * 1000)} ms`;
  if (x < 60) return `${number(x)} s`;
  // Rounded before it is split, so that 119.7 s is 2 min and not 1 min 60 s.
  const whole = x < 3600 ? Math.round(x) : Math.round(x / 60);
  const [large, small] = x < 3600 ? ["min", "s"] : ["h", "min"];
  const rest = whole % 60;
  return `${Math.floor(whole / 60)} ${large}${rest ? ` ${rest} ${small}` : ""}`;
}

export const rate = (x) => (known(x) ? `${number(x)}/s` : "–");

export const dollars = (x, digits = 2) => (known(x) ? `$${x.toFixed(digits)}` : "–");

export function percent(ratio) {
  if (!known(ratio)) return "–";
  const p = ratio * 100;
  return `${p === 0 ? "0" : p < 0.01 ? "<0.01" : p < 1 ? p.toFixed(2) : p < 10 ? p.toFixed(1) : Math.round(p)} %`;
}

export function bytes(x) {
  if (!known(x)) return "–";
  return x >= 1024 ** 3 ? `${number(x / 1024 ** 3)} GiB` : `${Math.round(x / 1024 ** 2)} MiB`;
}

/** Minutes that local time is ahead of UTC, 0 for a recorded day. */
export function zoneShift(ms) {
  return zone === "utc" ? 0 : -new Date(ms).getTimezoneOffset() * 60_000;
}

/** 14:03 or 14:03:15 */
export function clock(ms, withSeconds = false) {
  const text = new Date(ms + zoneShift(ms)).toISOString();
  return text.slice(11, withSeconds ? 19 : 16);
}

/** A span as hours and minutes: 14:32 */
export function hours(ms) {
  const minutes = Math.floor(ms / 60_000);
  return `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
}

export const day = (ms) => new Date(ms + zoneShift(ms)).toISOString().slice(5, 10);

/** `9 × 1.2 cores` */
export const shape = (replicas, podCores) => (known(podCores) ? `${replicas} × ${cores(podCores)}` : `${replicas} pods`);
