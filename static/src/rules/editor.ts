// Editor: a rule while it is written, with what it would do shown below as one types.
import { ApiError, request } from "../shared/api";
import { byId, h, t } from "../shared/dom";
import { count, percent } from "../shared/format";
import { toast } from "../shared/toast";
import { draw } from "./found";
import { type Figures, type Found, type Listed, type Rule, type Which, nameOf, page, rulesUrl } from "./store";

type Tried = Figures & { items: number; examples: Found[] };

const form = byId<HTMLFormElement>("editor");
const fault = byId("fault");
const trial = byId("trial");
const field = (id: string): HTMLInputElement => byId<HTMLInputElement>(id);
const FIELDS = ["kind", "column", "comparison", "text", "number", "threshold", "label"];
const FOR_FIELD: Record<string, string> = { item: "number", row: "number" };
let changing: number | null = null;
let which: Which = "all";
let asked = 0;
let timer = 0;
let last = "";
let onSaved: () => void = () => undefined;

export const isOpen = (): boolean => !form.hidden;

/** Open the form, empty or with a rule's values, and put the cursor where typing begins. */
export function open(rule: Partial<Rule> = {}, id: number | null = null): void {
  changing = id;
  which = "all";
  byId("editor-title").textContent = id === null ? t("new") : t("change");
  const first = field("kind").querySelector<HTMLOptionElement>("option")?.value ?? "similar";
  field("kind").value = rule.kind ?? first;
  field("text").value = rule.text ?? "";
  if (rule.column) field("column").value = rule.column;
  if (rule.comparison) field("comparison").value = rule.comparison;
  field("number").value = rule.row === undefined || rule.row === null ? "" : String(rule.row + 1);
  field("threshold").value = String(rule.threshold || 0.6);
  if (rule.label !== undefined) field("label").value = String(rule.label);
  form.hidden = false;
  showFields();
  field(field("kind").value === "similar" ? "number" : "text").focus();
  form.scrollIntoView({ block: "nearest" });
  last = "";
  soon(0);
}

export function close(): void {
  form.hidden = true;
  changing = null;
  asked += 1; // what still comes is not shown
  byId("new").focus({ preventScroll: true });
}

function values(): Record<string, unknown> {
  const kind = field("kind").value;
  const given: Record<string, unknown> = { kind, label: Number(field("label").value), text: field("text").value };
  if (kind === "column") Object.assign(given, { column: field("column").value, comparison: field("comparison").value });
  if (kind === "similar") Object.assign(given, { row: Math.max(0, Number(field("number").value) - 1), threshold: Number(field("threshold").value), text: "" });
  return given;
}

const ready = (): boolean => (field("kind").value === "similar" ? field("number").value !== "" : field("text").value.trim() !== "" || field("kind").value === "column");

function showFields(): void {
  const kind = field("kind").value;
  for (const part of form.querySelectorAll<HTMLElement>("[data-for]")) part.hidden = !part.dataset["for"]!.split(" ").includes(kind);
}

function soon(wait = 180): void {
  clearTimeout(timer);
  timer = window.setTimeout(() => void look(), wait);
}

async function look(): Promise<void> {
  if (!isOpen()) return;
  const body = { ...values(), which, rule: changing };
  const key = JSON.stringify(body);
  if (key === last) return;
  last = key;
  const mine = (asked += 1);
  if (!ready()) {
    complain();
    byId("examples").replaceChildren();
    return trial.replaceChildren(h("p", { class: "muted" }, t("waiting")));
  }
  try {
    const told = await request<Tried>(`${rulesUrl}/preview`, { method: "POST", body });
    if (mine !== asked) return;
    complain();
    trial.replaceChildren(...strip(told));
    byId("examples").replaceChildren(...draw(told.examples, Number(field("label").value), field("kind").value === "column" ? field("column").value : ""));
  } catch (error) {
    if (mine !== asked) return;
    trial.replaceChildren();
    byId("examples").replaceChildren();
    complain(error);
  }
}

function strip(told: Tried): HTMLElement[] {
  const { counts, precision } = told;
  const figure = (what: Which, note: string): HTMLElement =>
    h(
      "button",
      { class: "figure", type: "button", "aria-pressed": String(which === what), "data-which": what, onclick: () => ((which = what), (last = ""), soon(0)) },
      h("span", { class: "num strong" }, count(counts[what])),
      h("span", { class: "small" }, page.which[what]),
      note ? h("span", { class: "small muted num" }, note) : null,
    );
  const share = told.looked ? percent(counts.all / told.looked) : "";
  const interval = precision ? t("interval", { low: percent(precision.low), high: percent(precision.high) }) : t("no answers");
  const looked = told.looked < told.items ? t("looked at some", { looked: count(told.looked), count: count(told.items) }) : t("looked at all", { count: count(told.items) });
  return [
    h("div", { class: "figures" }, figure("all", share), figure("right", interval), figure("wrong", ""), figure("overlap", ""), figure("conflict", ""), figure("model", "")),
    h("p", { class: "small muted num" }, counts.all ? looked : `${t("none found")} ${looked}`),
    ...told.others.map((other) => h("p", { class: "small soft", dir: "auto" }, t("together", { says: other.says, label: nameOf(other.label), count: count(other.count) }))),
  ];
}

function complain(error?: unknown): void {
  for (const id of FIELDS) field(id).removeAttribute("aria-invalid");
  fault.textContent = "";
  if (error === undefined) return;
  if (!(error instanceof ApiError) || error.status === 0) fault.textContent = t("away");
  else {
    fault.textContent = error.message;
    for (const name of Object.keys(error.fields)) document.getElementById(FOR_FIELD[name] ?? name)?.setAttribute("aria-invalid", "true");
  }
}

async function save(): Promise<void> {
  const was = changing;
  try {
    if (was === null) await request<Rule>(rulesUrl, { method: "POST", body: values() });
    else await request<Rule>(`${rulesUrl}/${was}`, { method: "PATCH", body: values() });
    close();
    toast(t(was === null ? "made" : "changed"));
    onSaved();
  } catch (error) {
    complain(error);
  }
}

/** Wire the form; `saved` is called when a rule was made or changed. */
export function start(saved: () => void): void {
  onSaved = saved;
  form.addEventListener("submit", (event) => (event.preventDefault(), void save()));
  form.addEventListener("input", () => (showFields(), soon()));
  byId("cancel").addEventListener("click", close);
}

export const change = (rule: Listed): void => open(rule, rule.id);
