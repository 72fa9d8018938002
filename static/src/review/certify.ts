// Certify: what a certificate would take, starting one, the evidence as it grows, stopping it, accepting its set.
import { request } from "../shared/api";
import { byId, h, t } from "../shared/dom";
import { count, finePercent, percent } from "../shared/format";
import { toast } from "../shared/toast";
import * as batches from "./batches";
import { type Job, page } from "./store";

interface Proposal {
  candidates: number;
  at_best: number;
  likely: number;
  chance: number;
  expected: number;
  expected_wrong: number;
  budget: number;
  attempt: number;
  auditors: number;
  self_audited: boolean;
  reason: string;
}

interface Test {
  size: number;
  audits: number;
  wrong: number;
  evidence: number;
  needed: number;
  state: "open" | "passed" | "failed";
}

interface Interval {
  estimate: number;
  low: number;
  high: number;
}

export interface Certificate {
  number: number;
  kind: "claim" | "sample";
  state: "running" | "passed" | "failed" | "measured" | "given_up";
  state_name: string;
  items: number;
  budget: number;
  audits: { answered: number; wrong: number; unanswered: number; waiting: number };
  problem: string;
  accepted?: number;
  claim?: string;
  tests?: Test[];
  clean_to_next?: number;
  clean_to_all?: number;
  batch?: number | null;
  right?: Interval | null;
}

const form = byId<HTMLFormElement>("certify-form");
const told = byId("proposal");
const start = byId<HTMLButtonElement>("certify-start");
const list = byId("certificates");
let known: Certificate[] = page.certificates;
let changed: () => void = () => undefined;

/** Call `heard` when a certificate's set was accepted. */
export function onAccepted(heard: () => void): void {
  changed = heard;
}

export const running = (): boolean => known.some(({ state }) => state === "running");

/** Ask the server where the certificates stand, and draw them. */
export async function refresh(): Promise<void> {
  try {
    known = (await request<{ results: Certificate[] }>(`${page.api}/certificates`)).results;
  } catch {
    return; // the next news or poll asks again
  }
  show();
}

export function show(): void {
  if (location.hash === "#certify") byId<HTMLDetailsElement>("certify").open = true;
  list.replaceChildren(...known.map(entry));
  const busy = known.some(({ kind, state }) => kind === "claim" && state === "running");
  form.hidden = busy;
  if (busy) told.replaceChildren();
}

const asked = (): Record<string, number> => ({
  eps: Number(byId<HTMLInputElement>("eps").value) / 100,
  confidence: Number(byId<HTMLInputElement>("confidence").value) / 100,
  budget: Number(byId<HTMLInputElement>("budget").value),
});

async function propose(event: Event): Promise<void> {
  event.preventDefault();
  start.hidden = true;
  told.replaceChildren(h("span", { class: "spinner", role: "img", "aria-label": t("thinking") }));
  const query = new URLSearchParams(Object.entries(asked()).map(([name, value]) => [name, String(value)]));
  try {
    draw(await request<Proposal>(`${page.api}/certificates/proposal?${query}`, { timeout: 60_000 }));
  } catch (error) {
    told.replaceChildren();
    batches.complain(error);
  }
}

function draw(proposal: Proposal): void {
  if (proposal.reason) {
    const missing: [string, string][] = [
      [t("candidates"), count(proposal.candidates)],
      [t("at best"), count(proposal.at_best)],
      [t("allowed"), count(proposal.budget)],
      [t("expected wrong"), finePercent(proposal.expected_wrong)],
    ];
    told.replaceChildren(
      h("p", { class: "banner warn" }, h("span", {}, h("b", {}, t("not yet")), ` ${proposal.reason}`)),
      ...(proposal.candidates ? [described(missing)] : []),
    );
    return;
  }
  const facts: [string, string][] = [
    [t("candidates"), count(proposal.candidates)],
    [t("at best"), count(proposal.at_best)],
    [t("likely"), count(proposal.likely)],
    [t("chance"), percent(proposal.chance)],
    [t("expected items"), count(proposal.expected)],
    [t("expected wrong"), finePercent(proposal.expected_wrong)],
    [t("auditors"), count(proposal.auditors)],
    [t("attempt"), count(proposal.attempt)],
  ];
  told.replaceChildren(
    described(facts),
    h("p", { class: "small muted" }, t("forecast")),
    ...(proposal.self_audited ? [h("p", { class: "banner warn small" }, t("alone"))] : []),
  );
  start.hidden = false;
  start.focus();
}

const described = (facts: [string, string][]): HTMLElement =>
  h("dl", { class: "claim-facts num" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

async function post<T>(path: string, body: unknown, busy: HTMLElement): Promise<T | null> {
  busy.setAttribute("aria-busy", "true");
  try {
    return await request<T>(`${page.api}/${path}`, { method: "POST", body, timeout: 60_000 });
  } catch (error) {
    batches.complain(error);
    return null;
  } finally {
    busy.removeAttribute("aria-busy");
  }
}

async function begin(): Promise<void> {
  if (!(await post("certificates", asked(), start))) return;
  start.hidden = true;
  toast(t("started"));
  await refresh();
}

async function sample(button: HTMLButtonElement, only: boolean): Promise<void> {
  const audits = Number(byId<HTMLInputElement>("sample-audits").value);
  if (await post("samples", { audits, accepted_only: only }, button)) {
    toast(t("started"));
    await refresh();
  }
}

function entry(one: Certificate): HTMLElement {
  const address = `/projects/${page.project}/certificates/${one.number}`;
  const title = t(one.kind === "claim" ? "certificate" : "sample", { number: one.number });
  const live = one.state === "running";
  const tone = { running: "accent", passed: "human", measured: "human", failed: "bad", given_up: "" }[one.state];
  return h(
    "li",
    { "data-certificate": one.number },
    h("div", { class: "row wrap" }, h("a", { class: "strong", href: address }, title), h("span", { class: `chip ${tone}` }, one.state_name), h("span", { class: "soft num grow" }, summary(one)), ...actions(one)),
    live && one.kind === "claim" && h("div", { class: "tests" }, ...(one.tests ?? []).map(bar)),
    live && one.kind === "claim" && h("p", { class: "small soft num" }, t("clean", { count: count(one.clean_to_next ?? 0), all: count(one.clean_to_all ?? 0) })),
    one.problem && h("p", { class: "small bad" }, one.problem),
  );
}

function summary(one: Certificate): string {
  const done = t("audited", { count: count(one.audits.answered), wrong: count(one.audits.wrong) });
  const waiting = one.audits.waiting ? ` · ${t("waiting", { count: count(one.audits.waiting) })}` : "";
  if (one.state === "passed") return `${one.claim ?? ""} ${done}`;
  if (one.right) return `${t("right", { share: finePercent(one.right.estimate), low: finePercent(one.right.low), high: finePercent(one.right.high) })} ${done}`;
  return done + waiting;
}

/** The evidence of one prefix against what it needs, on a scale where each doubling is a step. */
function bar(test: Test): HTMLElement {
  const share = test.state === "passed" ? 1 : Math.min(Math.max(Math.log(Math.max(test.evidence, 1)) / Math.log(test.needed), 0), 1);
  const words = t(`test ${test.state}`, { size: count(test.size), evidence: test.evidence.toFixed(1), needed: test.needed.toFixed(0), count: count(test.audits), wrong: count(test.wrong) });
  return h("label", { class: "test" }, h("span", { class: "small num" }, words), h("progress", { max: 1, value: share }));
}

function actions(one: Certificate): HTMLElement[] {
  if (one.state === "running") {
    return [h("button", { class: "btn small", type: "button", onclick: (event: Event) => void stop(one, event.target as HTMLElement) }, t("stop audits"))];
  }
  if (one.state === "passed" && !one.batch) {
    return [h("button", { class: "btn small primary", type: "button", onclick: (event: Event) => void accept(one, event.target as HTMLElement) }, t("accept certified", { count: count(one.accepted ?? 0) }))];
  }
  return [];
}

async function stop(one: Certificate, button: HTMLElement): Promise<void> {
  if (await post(`certificates/${one.number}/stop`, {}, button)) await refresh();
}

async function accept(one: Certificate, button: HTMLElement): Promise<void> {
  const made = await post<{ batch: number; count: number; job: Job | null }>(`certificates/${one.number}/accept`, {}, button);
  if (!made) return;
  const action = { text: t("Undo"), run: () => void batches.undo(made.batch).then(refresh) };
  toast(t(made.job ? "accepting" : "accepted", { count: count(made.count) }), { action });
  changed();
  await refresh();
}

form.addEventListener("submit", (event) => void propose(event));
for (const input of form.querySelectorAll("input")) {
  input.addEventListener("input", () => {
    start.hidden = true;
    told.replaceChildren();
  });
}
start.addEventListener("click", () => void begin());
for (const button of document.querySelectorAll<HTMLButtonElement>("[data-sample]")) {
  button.addEventListener("click", () => void sample(button, button.dataset["sample"] === "accepted"));
}
