// Batches: what was accepted in one go, how far a big one is, and taking it back.
import { ApiError, request } from "../shared/api";
import { byId, h, t } from "../shared/dom";
import { ago, count } from "../shared/format";
import { toast } from "../shared/toast";
import { type Batch, type Job, nameOf, page, sure } from "./store";

const section = byId("batches");
const list = section.querySelector("ul") as HTMLUListElement;
let batches: Batch[] = page.batches;
let changed: () => void = () => undefined;

/** Call `heard` when items were settled or opened again by a batch. */
export function onBatch(heard: () => void): void {
  changed = heard;
}

export const running = (): Batch[] => batches.filter(({ job }) => job !== null && isActive(job));
const isActive = (job: Job): boolean => job.state === "queued" || job.state === "running";

/** Ask the server for the batches, and draw them. */
export async function refresh(): Promise<void> {
  const before = running().length;
  try {
    batches = (await request<{ results: Batch[] }>(`${page.api}/acceptances`)).results;
  } catch {
    return; // the next news or poll asks again
  }
  show();
  if (running().length < before) changed();
}

/** News of a job: how far an accepting one is. */
export function hear(job: Job): void {
  if (job.kind !== "accept") return;
  const batch = batches.find((one) => one.job?.id === job.id);
  if (!batch || !isActive(job)) return void refresh();
  batch.job = job;
  show();
}

export function show(): void {
  section.hidden = batches.length === 0;
  byId("batches-count").textContent = count(batches.filter((batch) => !batch.undone_at).length);
  list.replaceChildren(...batches.map(entry));
  const [first] = running();
  byId("running").hidden = !first;
  if (!first?.job) return;
  const bar = byId("running").querySelector("progress") as HTMLProgressElement;
  if (first.job.total) bar.value = first.job.done / first.job.total;
  else bar.removeAttribute("value");
  const taking = first.undone_at !== null;
  (byId("running").querySelector("p") as HTMLElement).textContent = `${t(taking ? "taking back" : "accepting", { count: count(first.job.total) })} ${progress(first.job)}`;
}

const progress = (job: Job): string => (job.total ? t("batch running", { done: count(job.done), total: count(job.total) }) : "");

function entry(batch: Batch): HTMLElement {
  const { job } = batch;
  const active = job !== null && isActive(job);
  const facts = [
    batch.threshold === null ? t("batch chosen") : t("batch threshold", { threshold: sure(batch.threshold) }),
    batch.label === null ? "" : nameOf(batch.label),
    t("model", { number: batch.snapshot }),
    `${batch.by}, ${ago(new Date(batch.created_at))}`,
  ];
  const state = batch.undone_at ? t("batch undone", { who: batch.undone_by }) : job?.state === "failed" ? t("batch failed", { error: job.error }) : job?.state === "cancelled" ? t("stopped") : "";
  return h(
    "li",
    { "data-batch": batch.id },
    h("b", { class: "num" }, count(active && !batch.undone_at ? (job.result.accepted ?? batch.count) : batch.count)),
    h("span", { class: "grow soft" }, facts.filter(Boolean).join(" · ")),
    active && h("span", { class: "num soft" }, progress(job)),
    state && h("span", { class: job?.state === "failed" ? "chip bad" : "chip" }, state),
    active && page.may_stop && !batch.undone_at && h("button", { class: "btn small", type: "button", onclick: () => void stop(job) }, t("stop")),
    !batch.undone_at && h("button", { class: "btn small", type: "button", onclick: () => void undo(batch.id) }, t("Undo")),
  );
}

async function stop(job: Job): Promise<void> {
  try {
    await request(`${page.api}/jobs/${job.id}/cancel`, { method: "POST" });
    await refresh();
  } catch (error) {
    complain(error);
  }
}

/** Take a whole batch back. */
export async function undo(id: number): Promise<void> {
  try {
    const batch = await request<Batch>(`${page.api}/acceptances/${id}/undo`, { method: "POST", body: {} });
    toast(t(batch.job ? "taking back" : "taken back", { count: count(batch.count) }));
    changed();
    await refresh();
  } catch (error) {
    complain(error);
  }
}

export function complain(error: unknown): void {
  toast(error instanceof ApiError && error.status ? error.message : t("away"), { bad: true });
}
