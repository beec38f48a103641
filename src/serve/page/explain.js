// The explain table of one instant: the choice, what else was weighed, the signals, the changes before it.
import { el, table } from "./dom.js";
import { chip } from "./reasons.js";
import { get, policyPath } from "./store.js";
import * as units from "./units.js";

/** The constraints in words, as `arbiter explain` says them. */
const BOUND_BY = {
  NoData: "nothing measured yet", SignalsStale: "signals that cannot be believed", Rollout: "a rollout", Behavior: "spec.behavior",
  MaxReplicas: "spec.replicas.max", MinReplicas: "spec.replicas.min", Quota: "a quota", Schedule: "a schedule",
  OtherWriter: "a count that somebody else wrote", NotManaged: "not managed", Downstream: "something behind the service",
  Saturation: "pods that are short", Resize: "a resize under way", Memory: "memory", ZeroOff: "zero is off",
  Backlog: "the time to drain what waits", Demand: "demand when new pods are ready", Hold: "the hold of idle replicas",
  Bounds: "CPU bounds", Inadmissible: "objective or known peak",
};
const boundBy = (constraint) => BOUND_BY[constraint] || constraint;

const perHour = (x) => units.dollars(x, x !== 0 && Math.abs(x) < 0.1 ? 3 : 2);

function choices(explain) {
  const rows = (explain.alternatives || []).map((a) => ({
    marked: a.chosen,
    cells: [`${a.chosen ? "▸ " : ""}${units.shape(a.replicas, a.podCores)}`, units.number(a.carriesCores), units.number(a.missingCores),
      perHour(a.podsPerHour), perHour(a.shortagePerHour), perHour(a.switchPerHour),
      perHour(a.podsPerHour + a.shortagePerHour + a.switchPerHour), a.ruledOut ? boundBy(a.ruledOut) : ""],
  }));
  const heads = ["Choice", "Carries", "Missing", "Pods $/h", "Shortage $/h", "Switch $/h", "Total $/h", "Ruled out by"];
  return rows.length ? table("What was weighed", heads, rows, { text: [7] }) : null;
}

function signals(explain) {
  const value = (s) => s.role === "Latency" ? units.seconds(s.value) : s.role === "Demand" ? units.rate(s.value) : units.number(s.value);
  const rows = (explain.signals || []).map((s) => ({ cells: [s.name, s.role, value(s), units.seconds(s.ageSeconds), s.note ? `${s.state}: ${s.note}` : s.state] }));
  return rows.length ? table("Signals", ["Signal", "Role", "Value", "Age", "State"], rows, { text: [1, 4] }) : null;
}

function changes(list) {
  const rows = list.slice(0, 8).map((c) => ({
    cells: [units.clock(c.at, true), `${units.shape(c.from.replicas, c.from.podCores)} → ${units.shape(c.to.replicas, c.to.podCores)}`, c.reason, c.message],
  }));
  return rows.length ? table("Last changes", ["Time", "Change", "Reason", "Sentence"], rows, { text: [1, 2, 3] }) : null;
}

function facts(explain) {
  const list = [
    ["bound by", explain.binding, (b) => `${boundBy(b.constraint)}${b.secondsLeft === undefined ? "" : `, ${units.seconds(b.secondsLeft)} left`}`],
    ["CPU used", explain.usageCores, units.cores],
    ["demand", explain.demandCores, (x) => `${units.cores(x)}${explain.demandFrom ? `, from ${explain.demandFrom}` : ""}`],
    ["planned for", explain.plannedCores, (x) => `${units.cores(x)}${explain.headroom === undefined ? "" : ` (${units.percent(explain.headroom)} headroom)`}`],
    ["one pod carries", explain.capacityCores, (x) => `${units.cores(x)}${explain.allowedUtilization === undefined ? "" : ` (${units.percent(explain.allowedUtilization)} of its request)`}`],
    ["a pod is ready after", explain.leadSeconds, units.seconds],
    ["next to leave", explain.hold, (h) => `replica ${h.replica}, idle for ${units.seconds(h.idleSeconds)}, in ${units.seconds(h.secondsLeft)}`],
    ["after it", (explain.thenLeave || []).length ? explain.thenLeave : undefined, (l) => l.map((h) => `replica ${h.replica} in ${units.seconds(h.secondsLeft)}`).join(", ")],
    ["other size", explain.size, (s) => `${units.cores(s.podCores)}: would have saved ${units.dollars(s.regretDollars, 3)} of the ${units.dollars(s.thresholdDollars, 3)} that a change asks for`],
    ["limited", explain.limited, String],
    ["objective", explain.unreachable, String],
    ["held back by", (explain.heldBackBy || []).length ? explain.heldBackBy : undefined, (l) => l.join("; ")],
  ].filter(([, value]) => value !== undefined && value !== null);
  return list.length ? el("dl", { class: "facts" }, list.map(([name, value, show]) => [el("dt", {}, name), el("dd", {}, show(value))])) : null;
}

/** Size of a pod as decided, in words. */
function sizes(decision) {
  return decision.containers.map((c) => {
    const r = c.requests;
    const parts = [r.cpuCores === undefined ? null : units.cores(r.cpuCores), r.memoryBytes === undefined ? null : units.bytes(r.memoryBytes)];
    return `${c.name} ${parts.filter(Boolean).join(", ")}`;
  }).join(" · ");
}

/** Opens the dialog on one instant of a policy; Escape or the button closes it and the focus goes back. */
export async function openExplain(dialog, policy, name, at) {
  const { decision, changes: list, ready } = await get(`${policyPath(policy)}/explain?at=${at}`);
  const when = Date.parse(decision.at);
  const pods = `${decision.replicas} ${decision.replicas === 1 ? "replica" : "replicas"} wanted${ready === null || ready === undefined ? "" : `, ${ready} ready`}`;
  dialog.replaceChildren(
    el("header", {},
      el("h2", { id: "explain-title" }, `${name} at ${units.clock(when, true)}`),
      el("button", { type: "button", class: "quiet", autofocus: true, onclick: () => dialog.close() }, "Close")),
    el("p", { class: "sentence big" }, chip(decision.reason), " ", decision.message),
    el("p", { class: "numbers" }, [pods, sizes(decision)].filter(Boolean).join(" · ")),
    ...[choices(decision.explain), facts(decision.explain), signals(decision.explain), changes(list)].filter(Boolean),
  );
  if (!dialog.open) dialog.showModal();
}
