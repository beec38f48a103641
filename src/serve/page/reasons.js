// What a reason means at a glance: five meanings, each with its hue, its pattern and its sign.
import { el } from "./dom.js";

const MEANINGS = {
  demand: { sign: "●", says: "follows demand" },
  short: { sign: "▲", says: "capacity is short or limited" },
  held: { sign: "■", says: "holds what runs" },
  size: { sign: "◆", says: "changes the pod's size" },
  blind: { sign: "?", says: "waits for data" },
};

const OF = {
  CpuDemand: "demand", BacklogDeadline: "demand", LatencyObjective: "demand", WokenByDemand: "demand",
  Saturated: "short", OutOfMemory: "short", ObjectiveUnreachable: "short", DownstreamBound: "short",
  LimitedByMax: "short", LimitedByQuota: "short", LimitedByBehavior: "short", RivalWrites: "short",
  HoldingForDemand: "held", RolloutInProgress: "held", LimitedByMin: "held", ScaledToZero: "held",
  IdleToZero: "held", ScheduledMinimum: "held",
  SizeCheaper: "size", MemoryPeak: "size", BoostedMeanwhile: "size",
  SignalsStale: "blind", WaitingForData: "blind", SignalDiesAtZero: "blind",
};

export const meaning = (reason) => OF[reason] || "blind";

export const sign = (reason) => MEANINGS[meaning(reason)].sign;

/** The reason as a chip: sign, word, hue; the meaning as its description. */
export function chip(reason) {
  const of = meaning(reason);
  return el("span", { class: `chip ${of}`, title: MEANINGS[of].says },
    el("span", { class: "sign", "aria-hidden": "true" }, MEANINGS[of].sign), reason);
}
