// Cutter: the histogram with its threshold, and accepting all that lie above it.
import { request } from "../shared/api";
import { byId, h, t } from "../shared/dom";
import { count, finePercent } from "../shared/format";
import { toast } from "../shared/toast";
import * as batches from "./batches";
import { type Job, nameOf, page, sure, view } from "./store";

interface Histogram {
  snapshot: number;
  count: number;
  bins: number[]; // in equal parts of [0, 1]
  above: number[]; // how many are at least k / 100 sure
  errors: number[]; // how many of those the model expects to be wrong
}

interface Preview {
  count: number;
  by_label: { label: number; count: number }[];
  expected_errors: number;
  expected_error: number | null;
}

const slider = byId<HTMLInputElement>("slider");
const number = byId<HTMLInputElement>("threshold");
const accept = byId<HTMLButtonElement>("accept");
const dialog = byId<HTMLDialogElement>("preview");
const confirm = byId<HTMLButtonElement>("confirm");
let histogram: Histogram | null = null;
let timer: ReturnType<typeof setTimeout> | undefined;
let settled: () => void = () => undefined;

/** Call `heard` when a batch was accepted. */
export function onAccepted(heard: () => void): void {
  settled = heard;
}

/** Ask for the histogram of what `view` shows. */
export async function refresh(): Promise<void> {
  clearTimeout(timer);
  const query = new URLSearchParams();
  if (view.label) query.set("label", view.label);
  if (view.snapshot) query.set("snapshot", String(view.snapshot));
  try {
    histogram = await request<Histogram>(`${page.api}/suggestions/histogram?${query}`);
  } catch {
    return; // the list says what is wrong, and offers to try again
  }
  draw();
}

/** The same a little later, once for several decisions. */
export function refreshSoon(): void {
  clearTimeout(timer);
  timer = setTimeout(() => void refresh(), 1200);
}

const threshold = (): number => Number(slider.value) / 100;

function draw(): void {
  if (!histogram) return;
  const { bins, above, errors } = histogram;
  const tallest = Math.max(...bins, 1);
  const bars = bins.map((n, place) => {
    const out = Math.min(Math.max(threshold() * bins.length - place, 0), 1);
    const height = n ? Math.max((n / tallest) * 100, 3) : 0;
    return h("i", { style: `height:${height}%;--out:${out * 100}%`, title: said(place, n) });
  });
  byId("hist").replaceChildren(...bars);
  (byId<HTMLTableElement>("hist-table").tBodies[0] as HTMLElement).replaceChildren(
    ...bins.map((n, place) => h("tr", {}, h("td", { class: "num" }, range(place)), h("td", { class: "num right" }, count(n)))),
  );
  const settles = above[Number(slider.value)] ?? 0;
  byId("settles").textContent = count(settles);
  byId("settles-unit").textContent = t(settles === 1 ? "one item settled" : "items settled");
  byId("expected").textContent = expected(settles, errors[Number(slider.value)] ?? 0);
  accept.textContent = t("Accept %(count)s", { count: count(settles) });
  accept.disabled = settles === 0;
  slider.style.setProperty("--at", `${slider.value}%`);
  slider.setAttribute("aria-valuetext", t("threshold", { count: count(settles), threshold: sure(threshold()) }));
}

const parts = (): number => histogram?.bins.length ?? 1;
const range = (place: number): string => `${sure(place / parts())} – ${sure((place + 1) / parts())}`;
const said = (place: number, n: number): string => t("bins", { low: sure(place / parts()), high: sure((place + 1) / parts()), count: count(n) });

function expected(settles: number, errors: number): string {
  if (!settles) return t("nothing settled");
  if (errors < 0.5) return t("expected none");
  return t("expected", { count: count(errors), share: finePercent(errors / settles) });
}

const choice = (): Record<string, unknown> => ({
  snapshot: histogram?.snapshot,
  threshold: threshold(),
  label: view.label ? Number(view.label) : null,
});

async function preview(): Promise<void> {
  accept.setAttribute("aria-busy", "true");
  try {
    const told = await request<Preview>(`${page.api}/acceptances/preview`, { method: "POST", body: choice() });
    byId("preview-text").textContent = t("threshold", { count: count(told.count), threshold: sure(threshold()) });
    byId("preview-expected").textContent = expected(told.count, told.expected_errors);
    (byId<HTMLTableElement>("preview-table").tBodies[0] as HTMLElement).replaceChildren(
      ...told.by_label.map((entry) => h("tr", {}, h("td", {}, h("bdi", {}, nameOf(entry.label))), h("td", { class: "right" }, count(entry.count)))),
    );
    confirm.textContent = t("Accept %(count)s", { count: count(told.count) });
    confirm.disabled = told.count === 0;
    dialog.showModal();
    confirm.focus();
  } catch (error) {
    batches.complain(error);
  } finally {
    accept.removeAttribute("aria-busy");
  }
}

async function settle(): Promise<void> {
  confirm.setAttribute("aria-busy", "true");
  try {
    const made = await request<{ batch: number; count: number; job: Job | null }>(`${page.api}/acceptances`, { method: "POST", body: choice(), timeout: 60_000 });
    dialog.close();
    const action = { text: t("Undo"), run: () => void batches.undo(made.batch) };
    toast(t(made.job ? "accepting" : "accepted", { count: count(made.count) }), { action });
    settled();
  } catch (error) {
    dialog.close();
    batches.complain(error);
    void refresh();
  } finally {
    confirm.removeAttribute("aria-busy");
  }
}

slider.addEventListener("input", () => {
  number.value = threshold().toFixed(2);
  draw();
});
number.addEventListener("input", () => {
  const typed = Number(number.value);
  if (number.value === "" || !(typed >= 0 && typed <= 1)) return number.setAttribute("aria-invalid", "true");
  number.removeAttribute("aria-invalid");
  slider.value = String(Math.round(typed * 100));
  draw();
});
number.addEventListener("change", () => {
  number.removeAttribute("aria-invalid");
  number.value = threshold().toFixed(2);
});
accept.addEventListener("click", () => void preview());
confirm.addEventListener("click", () => void settle());
