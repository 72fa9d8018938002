// Export: starts a file, follows it, and lists those made before.
import { ApiError, request } from "./shared/api";
import { byId, h, pageData, t } from "./shared/dom";
import { ago, count } from "./shared/format";
import { listen } from "./shared/live";
import { toast } from "./shared/toast";

interface Job {
  id: number;
  kind: string;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  done: number;
  total: number;
  error: string;
}

interface Options {
  format: string;
  origins?: string[];
  min_confidence?: number;
  pseudonyms?: boolean;
  include_open?: boolean;
  include_suggestions?: boolean;
  data_card?: boolean;
}

interface Export {
  id: number;
  name: string;
  size: number;
  ready: boolean;
  created_at: string;
  created_by: string;
  options: Options;
  job: Job;
}

interface PageData {
  api: string;
  events: string;
  exports: Export[];
  formats: Record<string, string>;
  origins: Record<string, string>;
}

const page = pageData<PageData>();
const form = byId<HTMLFormElement>("form");
const list = byId("made").querySelector("ul") as HTMLUListElement;
const problem = byId("problem");
let made = page.exports;
const awaited = new Set<number>(); // exports whose end has not been told yet
const language = document.documentElement.lang || "en";

const isActive = ({ job }: Export): boolean => job.state === "queued" || job.state === "running";
const checked = (name: string): boolean => (form.elements.namedItem(name) as HTMLInputElement).checked;
const boxes = (): HTMLInputElement[] => [...form.querySelectorAll<HTMLInputElement>("input[name=origins]")];

function chosen(): Options {
  return {
    format: new FormData(form).get("format") as string,
    origins: boxes().filter((box) => box.checked).map((box) => box.value),
    min_confidence: Number((form.elements.namedItem("min_confidence") as HTMLInputElement).value || 0),
    pseudonyms: checked("pseudonyms"),
    include_open: checked("include_open"),
    include_suggestions: checked("include_suggestions"),
    data_card: checked("data_card"),
  };
}

/** How many items the file will hold; with a confidence filter, or suggestions alone, only the server knows. */
function tellTotal(): void {
  const options = chosen();
  const counted = [...form.querySelectorAll<HTMLInputElement>("input[data-count]:checked")];
  const labelled = counted.reduce((sum, box) => sum + Number(box.dataset["count"]), 0);
  const suggestions = form.elements.namedItem("include_suggestions") as HTMLInputElement;
  const maybe = suggestions.checked && !options.include_open ? Number(suggestions.dataset["open"]) : 0;
  const total = labelled + maybe;
  const exact = !options.min_confidence && !maybe;
  byId("total").textContent = total ? (exact ? (total === 1 ? t("one") : t("total", { count: count(total) })) : "") : t("none");
  byId<HTMLButtonElement>("go").disabled = total === 0;
}

async function start(): Promise<void> {
  problem.hidden = true;
  const go = byId<HTMLButtonElement>("go");
  go.setAttribute("aria-busy", "true");
  try {
    made = [await request<Export>(`${page.api}/exports`, { method: "POST", body: chosen() }), ...made];
    show();
    byId("made").scrollIntoView({ block: "nearest", behavior: "smooth" });
  } catch (error) {
    problem.textContent = error instanceof ApiError && error.status ? error.message : t("away");
    problem.hidden = false;
  } finally {
    go.removeAttribute("aria-busy");
  }
}

async function refresh(): Promise<void> {
  for (const one of made) if (isActive(one)) awaited.add(one.id);
  try {
    made = (await request<{ results: Export[] }>(`${page.api}/exports?limit=30`)).results;
  } catch {
    return; // the next news or poll asks again
  }
  show();
  for (const one of made) if (one.ready && awaited.delete(one.id)) toast(t("ready", { name: one.name }));
}

function hear(job: Job): void {
  if (job.kind !== "export") return;
  const one = made.find((other) => other.job.id === job.id);
  if (!one || !(job.state === "queued" || job.state === "running")) return void refresh();
  one.job = job;
  show();
}

function show(): void {
  const focused = (document.activeElement as HTMLElement | null)?.dataset["focus"];
  list.replaceChildren(...made.map(entry));
  byId("nothing").hidden = made.length > 0;
  if (focused) list.querySelector<HTMLElement>(`[data-focus="${focused}"]`)?.focus();
}

function entry(one: Export): HTMLElement {
  const when = ago(new Date(one.created_at));
  const { options } = one;
  const facts = [
    page.formats[options.format] ?? options.format,
    one.ready && size(one.size),
    options.origins && options.origins.length < Object.keys(page.origins).length && options.origins.map((origin) => page.origins[origin]).join(", "),
    options.min_confidence && t("from", { confidence: options.min_confidence.toLocaleString(language) }),
    options.include_open && t("open"),
    options.include_suggestions && t("suggestions"),
    options.pseudonyms && t("pseudonyms"),
    options.data_card && t("card"),
  ];
  return h(
    "li",
    { "data-export": one.id },
    h(
      "div",
      { class: "name" },
      h("b", {}, one.name),
      h("div", { class: "small soft num" }, facts.filter(Boolean).join(" · ")),
      h("div", { class: "small muted" }, t(one.created_by ? "made" : "made by nobody", { when, who: one.created_by })),
    ),
    !one.ready && state(one.job),
    one.ready &&
      h("a", { class: "btn small", href: `${page.api}/exports/${one.id}/download`, download: one.name, "data-focus": `get-${one.id}`, "aria-label": t("download this", { name: one.name }) }, t("Download")),
    h(
      "button",
      { class: "btn small quiet", type: "button", "data-focus": `end-${one.id}`, "aria-label": t(isActive(one) ? "stop this" : "delete this", { name: one.name }), onclick: () => void remove(one) },
      t(isActive(one) ? "Stop" : "Delete"),
    ),
  );
}

function state(job: Job): HTMLElement {
  if (job.state === "failed") return h("div", { class: "state bad small" }, t("failed", { error: job.error }));
  if (job.state === "cancelled") return h("div", { class: "state soft small" }, t("cancelled"));
  const told = job.state === "running" && job.total ? t("rows", { done: count(job.done), total: count(job.total) }) : t(job.state);
  const share = job.state === "running" && job.total ? String(job.done / job.total) : null;
  return h("div", { class: "state" }, h("progress", { max: 1, value: share, "aria-label": told }), h("p", { class: "small soft num" }, told));
}

function size(bytes: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const step = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  const format = new Intl.NumberFormat(language, { style: "unit", unit: units[step] ?? "byte", unitDisplay: step ? "short" : "long", maximumFractionDigits: step ? 1 : 0 });
  return format.format(bytes / 1000 ** step);
}

async function remove(one: Export): Promise<void> {
  try {
    await request(`${page.api}/exports/${one.id}`, { method: "DELETE" });
    await refresh();
  } catch (error) {
    toast(error instanceof ApiError && error.status ? error.message : t("away"), { bad: true });
  }
}

form.addEventListener("input", tellTotal);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void start();
});
tellTotal();
show();
listen(page.events, {
  on: { job: hear },
  poll: () => {
    if (made.some(isActive)) void refresh();
  },
  every: 2000,
});
