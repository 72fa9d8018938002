// Rules: the list with its figures, the proposals, and everything by keyboard; the form is in rules/editor.ts.
import { ApiError, request } from "./shared/api";
import { byId, h, t } from "./shared/dom";
import { count, percent } from "./shared/format";
import { listen } from "./shared/live";
import { toast } from "./shared/toast";
import { inTurn } from "./shared/turn";
import * as editor from "./rules/editor";
import { draw } from "./rules/found";
import { type Found, type Listed, type Proposal, type Which, nameOf, page, rulesUrl } from "./rules/store";

interface Everything {
  items: number;
  weight: number | null;
  rules: Listed[];
}

const body = byId("rules").querySelector("tbody")!;
const drawer = byId<HTMLDialogElement>("behind");
let rules: Listed[] = [];
let items = 0;
let selected = 0;
let proposed: Proposal[] = [];
let takeBack: (() => Promise<unknown>)[] = [];
const turn = inTurn(); // keys are quicker than the network

async function load(): Promise<void> {
  try {
    const told = await request<Everything>(rulesUrl);
    ({ rules, items } = told);
    show(told.weight);
  } catch (error) {
    failed(error);
  }
}

async function propose(): Promise<void> {
  try {
    proposed = (await request<{ results: Proposal[] }>(`${rulesUrl}/proposals`)).results;
  } catch {
    proposed = []; // proposals are a help; without them the page is whole
  }
  byId("proposals").hidden = !proposed.length;
  byId("proposals").querySelector("ol")!.replaceChildren(...proposed.slice(0, 9).map(proposalRow));
}

function proposalRow(one: Proposal, place: number): HTMLElement {
  return h(
    "li",
    {},
    h("span", { class: "grow", dir: "auto" }, h("b", {}, `“${one.text}”`), " → ", h("span", { class: "chip" }, nameOf(one.label))),
    h("span", { class: "small soft num" }, t("proposal", { right: count(one.right), count: count(one.answered), items: count(one.items) })),
    h("button", { class: "btn small", type: "button", "aria-keyshortcuts": String(place + 1), onclick: () => void add(place) }, t("Add"), " ", h("kbd", { "aria-hidden": "true" }, String(place + 1))),
  );
}

async function add(place: number): Promise<void> {
  const one = proposed[place];
  if (!one) return;
  await doing(async () => {
    const made = await request<{ id: number; says: string }>(rulesUrl, { method: "POST", body: { label: one.label, kind: one.kind, text: one.text } });
    takeBack.push(() => request(`${rulesUrl}/${made.id}`, { method: "DELETE" }));
    toast(t("made"), { action: { text: t("Undo"), run: () => void undo() } });
  });
  await propose();
}

function show(weight: number | null): void {
  byId("foot").hidden = true;
  byId("rules").hidden = !rules.length;
  byId("empty").hidden = rules.length > 0;
  byId("count").hidden = !rules.length;
  byId("count").textContent = count(rules.length);
  byId("weight").hidden = weight === null;
  byId("weight").textContent = weight === null ? "" : t("weight", { weight });
  const focused = body.contains(document.activeElement);
  body.replaceChildren(...rules.map(row));
  selected = Math.max(0, Math.min(selected, rules.length - 1));
  mark(focused);
}

function row(rule: Listed, place: number): HTMLElement {
  const label = h("span", { class: rule.active ? "chip accent" : "chip" }, h("bdi", {}, nameOf(rule.label)));
  const share = items ? percent(rule.counts.all / items) : "";
  const voting = rule.active && rule.voted < items ? h("span", { class: "small muted num" }, t("voting", { done: count(rule.voted), count: count(items) })) : null;
  const element = h(
    "tr",
    { role: "row", tabindex: "-1", "aria-selected": "false", "data-rule": String(rule.id), class: rule.active ? "" : "off", onclick: () => choose(place, false) },
    h("td", { role: "gridcell", class: "rule" }, h("div", { class: "says" }, label, h("span", { dir: "auto" }, rule.says)), rule.learned && h("span", { class: "small model num" }, t("believed", { share: percent(rule.learned.precision) })), voting),
    h("td", { role: "gridcell", class: "right num", "data-title": page.which.all }, number(rule, "all"), h("span", { class: "small muted" }, share)),
    h("td", { role: "gridcell", "data-title": page.which.right }, precision(rule)),
    h("td", { role: "gridcell", class: "right num", "data-title": page.which.overlap }, number(rule, "overlap")),
    h("td", { role: "gridcell", class: "right num", "data-title": page.which.conflict }, number(rule, "conflict")),
    h("td", { role: "gridcell", class: "right num", "data-title": page.which.model }, number(rule, "model")),
    h(
      "td",
      { role: "gridcell" },
      h("div", { class: "actions" }, button(t("Edit"), "E", () => editor.change(rule)), button(rule.active ? t("Off") : t("On"), "O", () => void toggle(rule)), button(t("Delete"), "Del", () => void remove(rule))),
    ),
  );
  element.setAttribute("aria-label", t("selected", { label: nameOf(rule.label), says: rule.says, count: count(rule.counts.all) }));
  return element;
}

const button = (text: string, key: string, run: () => void): HTMLElement => h("button", { class: "btn small", type: "button", tabindex: "-1", onclick: run }, text, " ", h("kbd", { "aria-hidden": "true" }, key));

function number(rule: Listed, which: Which): HTMLElement {
  const n = rule.counts[which];
  if (!n) return h("span", { class: "muted" }, "0");
  return h("button", { class: "link num", type: "button", "data-which": which, title: page.which[which], onclick: () => void showBehind(rule, which) }, count(n));
}

/** Right and wrong answers, each leading to them, and the interval as a bar. */
function precision(rule: Listed): HTMLElement {
  const share = rule.precision;
  if (!share) return h("span", { class: "muted small" }, t("no answers"));
  const bar = h("span", { class: "interval", "aria-hidden": "true" });
  bar.style.setProperty("--low", `${100 * share.low}%`);
  bar.style.setProperty("--high", `${100 * share.high}%`);
  bar.style.setProperty("--at", `${100 * share.estimate}%`);
  return h(
    "div",
    { class: "precision num" },
    h("span", {}, h("b", {}, percent(share.estimate)), " ", h("span", { class: "small muted" }, t("interval", { low: percent(share.low), high: percent(share.high) }))),
    bar,
    h("span", { class: "small" }, "✓ ", number(rule, "right"), "  ✕ ", number(rule, "wrong")),
  );
}

function choose(place: number, focus = true): void {
  selected = Math.max(0, Math.min(place, rules.length - 1));
  mark(focus);
}

function mark(focus: boolean): void {
  for (const [place, element] of [...body.children].entries()) {
    element.setAttribute("aria-selected", String(place === selected));
    (element as HTMLElement).tabIndex = place === selected ? 0 : -1;
  }
  const element = body.children[selected] as HTMLElement | undefined;
  if (focus) element?.focus({ preventScroll: true });
  if (focus) element?.scrollIntoView({ block: "nearest" });
}

async function showBehind(rule: Listed, which: Which, after = -1): Promise<void> {
  try {
    const told = await request<{ count: number; results: Found[]; next: number | null }>(`${rulesUrl}/${rule.id}/items?which=${which}&cursor=${after}`);
    const drawn = draw(told.results, rule.label, rule.column);
    byId("behind-title").textContent = t("items behind", { which: page.which[which], count: count(told.count) });
    byId("behind-rule").textContent = `${nameOf(rule.label)}: ${rule.says}`;
    const place = byId("behind-items");
    if (after < 0) place.replaceChildren(...drawn);
    else place.append(...drawn);
    const more = byId("more");
    more.hidden = told.next === null;
    more.onclick = () => void showBehind(rule, which, told.next ?? -1);
    if (!drawer.open) drawer.showModal();
  } catch (error) {
    failed(error);
  }
}

async function toggle(rule: Listed): Promise<void> {
  const set = (active: boolean) => (): Promise<unknown> => request(`${rulesUrl}/${rule.id}`, { method: "PATCH", body: { active } });
  await doing(async () => {
    await set(!rule.active)();
    takeBack.push(set(rule.active));
    toast(t(rule.active ? "switched off" : "switched on", { says: rule.says }), { action: { text: t("Undo"), run: () => void undo() } });
  });
}

async function remove(rule: Listed): Promise<void> {
  await doing(async () => {
    await request(`${rulesUrl}/${rule.id}`, { method: "DELETE" });
    takeBack.push(() => request(`${rulesUrl}/${rule.id}/restore`, { method: "POST" }));
    toast(t("deleted", { says: rule.says }), { action: { text: t("Undo"), run: () => void undo() } });
  });
}

async function undo(): Promise<void> {
  await doing(async () => {
    const last = takeBack.pop();
    if (!last) return toast(t("nothing to undo"));
    await last();
  });
}

async function doing(work: () => Promise<unknown>): Promise<void> {
  try {
    await turn(work);
  } catch (error) {
    failed(error);
  }
  await load();
}

function failed(error: unknown): void {
  toast(error instanceof ApiError && error.status ? error.message : t("away"), { bad: true });
}

async function take(file: File): Promise<void> {
  let rulesOfFile: unknown;
  try {
    rulesOfFile = JSON.parse(await file.text());
  } catch {
    return toast(t("not JSON"), { bad: true });
  }
  await doing(async () => {
    const told = await request<{ made: unknown[]; known: number; left: string[] }>(`${rulesUrl}/file`, { method: "POST", body: rulesOfFile });
    toast([t("imported", { made: count(told.made.length), known: count(told.known) }), ...told.left.slice(0, 3)].join(" "), { bad: told.left.length > 0 });
  });
}

const typing = (target: EventTarget | null): boolean => target instanceof Element && target.matches("input, select, textarea");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && editor.isOpen()) return editor.close();
  if (typing(event.target)) return;
  const rule = rules[selected];
  const onButton = event.target instanceof Element && event.target.closest("button, a, summary") !== null;
  const doings: Record<string, () => void> = {
    n: () => editor.open(),
    j: () => choose(selected + 1),
    ArrowDown: () => choose(selected + 1),
    k: () => choose(selected - 1),
    ArrowUp: () => choose(selected - 1),
    u: () => void undo(),
    "?": () => byId<HTMLDialogElement>("keys").showModal(),
  };
  if (rule) {
    Object.assign(doings, { e: () => editor.change(rule), o: () => void toggle(rule), Delete: () => void remove(rule) });
    if (!onButton) doings["Enter"] = () => void showBehind(rule, "all");
  }
  if (/^[1-9]$/.test(event.key) && proposed[Number(event.key) - 1]) doings[event.key] = () => void add(Number(event.key) - 1);
  const does = doings[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!does) return;
  event.preventDefault();
  does();
});

editor.start(() => (void load(), void propose()));
byId("new").addEventListener("click", () => editor.open());
byId("first").addEventListener("click", () => editor.open());
const chooser = byId<HTMLInputElement>("file");
byId("import").addEventListener("click", () => chooser.click());
chooser.addEventListener("change", () => {
  const file = chooser.files?.[0];
  chooser.value = "";
  if (file) void take(file);
});

void load();
void propose();
const like = new URLSearchParams(location.search).get("like");
if (like && /^\d+$/.test(like)) editor.open({ kind: "similar", row: Number(like), threshold: 0.6 });

// Votes and models come in the background; a burst of news is one look.
let coming = 0;
const again = (): void => {
  clearTimeout(coming);
  coming = window.setTimeout(() => void load(), 400);
};
listen(page.events, { on: { snapshot: again, job: (job: { kind: string; state: string }) => job.kind === "vote" && job.state === "done" && again() }, poll: again });
