// List: suggestions a page at a time, moved through and decided by keyboard.
import { ApiError, request } from "../shared/api";
import { byId, h, t } from "../shared/dom";
import { ago, count } from "../shared/format";
import { toast } from "../shared/toast";
import { askForLabel } from "./change";
import * as layout from "./layout";
import { type Act, type Row, canUndo, draw, newRow } from "./row";
import { type Given, type State, type Suggestion, nameOf, page, sure, view } from "./store";

const TAB = "review"; // what the undo of an answer is leased to, until it is given back at once
const AHEAD = 12; // rows below the selected one that are kept loaded

interface Loaded {
  snapshot: number;
  count: number;
  results: Suggestion[];
  next: string | null;
}

const table = byId<HTMLTableElement>("list");
const body = table.tBodies[0] as HTMLTableSectionElement;
const foot = byId("foot");
const passed = byId<HTMLButtonElement>("accept-passed");
let rows: Row[] = [];
let selected = -1;
let next: string | null = null;
let total = 0;
let loading = false;
let generation = 0; // counts reloads: what an older one brings is dropped
let decided: Row[] = []; // oldest first, for undo
let changed: () => void = () => undefined;

/** Call `heard` after every decision that the server has kept. */
export function onDecision(heard: () => void): void {
  changed = heard;
}

/** Begin anew with what `view` asks for. */
export async function reload(): Promise<void> {
  generation += 1;
  [rows, decided, selected, next, loading] = [[], [], -1, null, false];
  body.replaceChildren();
  countPassed();
  await more();
}

async function more(): Promise<void> {
  if (loading) return;
  loading = true;
  const mine = generation;
  foot.replaceChildren(h("span", { class: "spinner" }));
  try {
    const query = new URLSearchParams({ state: view.state, order: view.order, limit: "50" });
    if (view.label) query.set("label", view.label);
    if (view.snapshot) query.set("snapshot", String(view.snapshot));
    if (next) query.set("cursor", next);
    const loaded = await request<Loaded>(`${page.api}/suggestions?${query}`);
    if (mine === generation) add(loaded);
  } catch (error) {
    if (mine === generation) failed(error);
  } finally {
    if (mine === generation) loading = false;
  }
}

function add(loaded: Loaded): void {
  next = loaded.next;
  total = loaded.count + decided.length;
  view.snapshot = loaded.snapshot;
  const fresh = loaded.results.map(newRow);
  for (const row of fresh) {
    draw(row, act);
    row.element.addEventListener("click", (event) => choose(row, !(event.target as Element).closest("button, a")));
    row.element.addEventListener("focusin", () => choose(row, false));
  }
  rows.push(...fresh);
  body.append(...fresh.map((row) => row.element));
  if (selected < 0 && rows.length) mark(0);
  byId("shown").textContent = rows.length ? t("shown of", { shown: count(rows.length), count: count(Math.max(total, rows.length)) }) : "";
  foot.replaceChildren(...(next ? [] : [rows.length ? "" : t(view.state === "open" && !view.label ? "nothing left" : "nothing matches")]));
  foot.hidden = !next && rows.length > 0;
}

function failed(error: unknown): void {
  const detail = error instanceof ApiError && error.status ? error.message : t("could not load");
  const again = (): void => {
    // What is no longer kept will not come back: the newest takes its place.
    if (error instanceof ApiError && error.status === 409) {
      view.snapshot = null;
      void reload();
      changed();
    } else void more();
  };
  foot.hidden = false;
  foot.replaceChildren(h("span", {}, detail), h("button", { class: "btn small", type: "button", onclick: again }, t("try again")));
}

function mark(place: number): void {
  const before = rows[selected];
  if (before) {
    before.element.setAttribute("aria-selected", "false");
    before.element.tabIndex = -1;
  }
  selected = place;
  const row = rows[place];
  if (!row) return;
  row.element.setAttribute("aria-selected", "true");
  row.element.tabIndex = 0;
  countPassed();
  if (next && place > rows.length - AHEAD) void more();
}

function choose(row: Row, focus: boolean): void {
  const place = rows.indexOf(row);
  if (place !== selected) mark(place);
  if (focus) row.element.focus({ preventScroll: true });
}

function move(place: number): void {
  const row = rows[Math.min(Math.max(place, 0), rows.length - 1)];
  if (!row) return;
  choose(row, true);
  row.element.scrollIntoView({ block: "nearest" });
}

const KEYS: Record<string, Act> = { a: "accept", e: "change", x: "reject", u: "undo", h: "history", o: "gold" };

document.addEventListener("keydown", (event) => {
  const target = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (target.closest("input, select, textarea, summary")) return;
  if (event.key === "?") return byId<HTMLDialogElement>("keys").showModal();
  const inList = table.contains(target) || target === document.body || target.id === "main";
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const to = { j: selected + 1, k: selected - 1, ...(inList ? arrows() : {}) }[key];
  const what = KEYS[key];
  const row = rows[selected];
  if (to !== undefined) move(to);
  else if (key === "v" && page.image) layout.toggle();
  else if (key === "a" && event.shiftKey) void (event.repeat || acceptPassed());
  else if (what && row && !event.repeat) act(row, what);
  else return;
  event.preventDefault();
});

function arrows(): Record<string, number> {
  const step = layout.columns();
  const sideways = step > 1 ? { ArrowRight: selected + 1, ArrowLeft: selected - 1 } : {};
  const down = selected + step < rows.length || step === 1 ? selected + step : rows.length - 1;
  return { ...sideways, ArrowDown: down, ArrowUp: selected >= step ? selected - step : selected, Home: 0, End: rows.length - 1 };
}

/** The list's rows follow the reader by scrolling too. */
new IntersectionObserver((seen) => {
  if (seen.some((entry) => entry.isIntersecting) && next) void more();
}, { rootMargin: "600px" }).observe(foot);

function act(row: Row, what: Act): void {
  if (what === "history") return void history(row);
  if (what === "gold") return void useAsGold(row);
  const meant = what === "undo" && row.suggestion.state === "open" ? decided.pop() : row;
  if (!meant) return toast(t("cannot undo"));
  if (meant.pending) return toast(t("pending"));
  if (what === "accept") void accept(meant);
  else if (what === "reject") void reject(meant);
  else if (what === "undo") void undo(meant);
  else void change(meant);
}

/** Whoever is asked the item from now on is scored by the label that it has. */
async function useAsGold(row: Row): Promise<void> {
  const { item, given } = row.suggestion;
  if (!given || row.pending) return toast(t(row.pending ? "pending" : "gold needs a label"));
  try {
    await request(`${page.api}/gold/`, { method: "POST", body: { item: item.id, label: given.label } });
    toast(t("gold made", { label: nameOf(given.label) }));
  } catch (error) {
    toast(error instanceof ApiError && error.status ? error.message : t("away"), { bad: true });
  }
}

async function accept(row: Row): Promise<void> {
  const { item, label, state } = row.suggestion;
  if (state !== "open") return;
  await decide(row, "accepted", by("accepted", label), async () => {
    const body = { snapshot: view.snapshot, items: [item.id] };
    const made = await request<{ batch: number }>(`${page.api}/acceptances`, { method: "POST", body });
    row.suggestion.given = { ...by("accepted", label), batch: made.batch };
  });
}

/** What the reader has gone past without objecting: the open ones down to the selected one. */
const gonePast = (): Row[] => rows.slice(0, selected + 1).filter((row) => row.suggestion.state === "open" && !row.pending);

function countPassed(): void {
  const n = gonePast().length;
  passed.hidden = n < 2;
  (passed.firstElementChild as HTMLElement).textContent = t("accept passed", { count: count(n) });
}

async function acceptPassed(): Promise<void> {
  const meant = gonePast();
  if (!meant.length) return toast(t("cannot accept"));
  const mine = generation;
  for (const row of meant) become(row, "accepted", by("accepted", row.suggestion.label), true);
  decided.push(...meant);
  move(selected + 1);
  try {
    const body = { snapshot: view.snapshot, items: meant.map((row) => row.suggestion.item.id) };
    const made = await request<{ batch: number; count: number }>(`${page.api}/acceptances`, { method: "POST", body });
    const takeBack = (): void => void undoPassed(meant, made.batch);
    toast(t("accepted", { count: count(made.count) }), { action: { text: t("Undo"), run: takeBack } });
    if (mine === generation && made.count < meant.length) void reload(); // others settled some of them meanwhile
    else for (const row of meant) become(row, "accepted", { ...by("accepted", row.suggestion.label), batch: made.batch }, false);
  } catch (error) {
    decided = decided.filter((row) => !meant.includes(row));
    for (const row of meant) become(row, "open", null, false);
    toast(error instanceof ApiError && error.status ? error.message : t("away"), { bad: true });
    if (error instanceof ApiError && error.status === 409 && mine === generation) void reload();
  }
  changed();
}

/** All of them open again, but for those that were taken back or answered since. */
async function undoPassed(meant: Row[], batch: number): Promise<void> {
  const still = meant.filter(({ suggestion: { given } }) => given?.batch === batch);
  const items = still.map((row) => row.suggestion.item.id);
  try {
    await request(`${page.api}/acceptances/${batch}/undo`, { method: "POST", body: items.length === meant.length ? {} : { items } });
    decided = decided.filter((row) => !still.includes(row));
    for (const row of still) become(row, "open", null, false);
    const first = rows.indexOf(still[0] as Row);
    if (first >= 0) move(first);
  } catch (error) {
    toast(error instanceof ApiError && error.status ? error.message : t("away"), { bad: true });
  }
  changed();
}

function become(row: Row, state: State, given: Given | null, pending: boolean): void {
  Object.assign(row.suggestion, { state, given });
  show(row, pending);
}

async function reject(row: Row): Promise<void> {
  if (row.suggestion.state !== "open") return;
  const body = { item: row.suggestion.item.id, snapshot: view.snapshot };
  await decide(row, "rejected", null, () => request(`${page.api}/rejections`, { method: "POST", body }));
}

async function change(row: Row): Promise<void> {
  const { item, state } = row.suggestion;
  const label = await askForLabel(row.suggestion);
  row.element.focus({ preventScroll: true });
  if (label === null) return;
  const key = crypto.randomUUID?.() ?? uuid();
  const before = { state, given: row.suggestion.given };
  await decide(row, "answered", by("person", label), async () => {
    // What others have said is put right by a correction; what nobody has said becomes this person's answer.
    const others = (state === "answered" || state === "imported") && !canUndo(row);
    if (others) await request(`${page.api}/items/${item.id}/correct`, { method: "POST", body: { label, key } });
    else {
      const made = await request<{ answer: { id: number } }>(`${page.api}/answers`, { method: "POST", body: { item: item.id, label, key, tab: TAB, count: 0 } });
      row.suggestion.given = { ...by("person", label), answer: made.answer.id };
      if (state !== "answered") row.before = before; // an answer after an answer keeps what came first
    }
  });
}

async function undo(row: Row): Promise<void> {
  const { item, state, given } = row.suggestion;
  if (!canUndo(row)) return toast(t("cannot undo"));
  decided = decided.filter((other) => other !== row);
  choose(row, true);
  row.element.scrollIntoView({ block: "nearest" });
  // Under an answer an acceptance or a rejection still stands.
  const left = (state === "answered" && row.before) || { state: "open" as State, given: null };
  await carryOut(row, left.state, left.given, async () => {
    if (state === "rejected") await request(`${page.api}/rejections/${item.id}`, { method: "DELETE" });
    else if (state === "accepted") await request(`${page.api}/acceptances/${given?.batch}/undo`, { method: "POST", body: { items: [item.id] } });
    else {
      await request(`${page.api}/answers/${given?.answer}?tab=${TAB}`, { method: "DELETE" });
      await request(`${page.api}/release`, { method: "POST", body: { tab: TAB } });
      if (!row.before) await lookAgain(row);
      row.before = null;
    }
  });
}

/** Show the decision at once, go on to the next row, and take it back where the server refuses. */
async function decide(row: Row, state: State, given: Given | null, send: () => Promise<unknown>): Promise<void> {
  if (rows[selected] === row) move(selected + 1);
  decided.push(row);
  if (!(await carryOut(row, state, given, send))) decided = decided.filter((other) => other !== row);
}

async function carryOut(row: Row, state: State, given: Given | null, send: () => Promise<unknown>): Promise<boolean> {
  const before = { state: row.suggestion.state, given: row.suggestion.given };
  Object.assign(row.suggestion, { state, given });
  show(row, true);
  try {
    await send();
    show(row, false);
    changed();
    return true;
  } catch (error) {
    Object.assign(row.suggestion, before);
    if (error instanceof ApiError && error.status === 409) await lookAgain(row);
    show(row, false);
    toast(error instanceof ApiError && error.status ? error.message : t("away"), { bad: true });
    return false;
  }
}

function show(row: Row, pending: boolean): void {
  row.pending = pending;
  const focused = row.element.contains(document.activeElement);
  draw(row, act);
  countPassed();
  // The button that was pressed is gone; the keyboard stays in the row.
  if (focused && !row.element.contains(document.activeElement)) row.element.focus({ preventScroll: true });
}

const by = (origin: string, label: number): Given => ({ origin, label, by: "", by_id: page.me, at: new Date().toISOString() });

/** randomUUID needs a secure context, which plain HTTP on another machine of the network is not. */
function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

interface Past {
  event: string;
  at: string;
  who: string;
  label: string;
  origin?: string;
  confidence?: number;
  snapshot?: number;
  note?: string;
}

interface Whole {
  status: State;
  label: number | null;
  text: string;
  history: Past[];
}

/** Someone was faster: say what the item is now. */
async function lookAgain(row: Row): Promise<void> {
  try {
    const item = await request<Whole>(`${page.api}/items/${row.suggestion.item.id}`);
    const last = item.history[0];
    const origin = item.status === "answered" ? "person" : item.status;
    row.suggestion.state = item.status;
    row.suggestion.given = item.label === null ? null : { origin, label: item.label, by: last?.who ?? "", by_id: null, at: last?.at ?? new Date().toISOString() };
  } catch {
    // The refusal itself is shown; the row stays as it was.
  }
}

async function history(row: Row): Promise<void> {
  if (row.past) row.past = null;
  else {
    try {
      const item = await request<Whole>(`${page.api}/items/${row.suggestion.item.id}`);
      row.past = item.history.map(line);
      row.suggestion.item.text = item.text;
      row.suggestion.item.cut = false;
      row.whole = true;
    } catch (error) {
      toast(error instanceof ApiError && error.status ? error.message : t("away"), { bad: true });
    }
  }
  show(row, row.pending);
}

function line(past: Past): string {
  const code = past.event === "answer" && past.origin === "imported" ? "answer imported" : past.event === "accepted" ? "event accepted" : past.event;
  const values = { who: past.who, label: past.label, note: past.note ?? "", confidence: sure(past.confidence ?? 0), snapshot: past.snapshot ?? "" };
  return `${t(code, values)} · ${ago(new Date(past.at))}`;
}

passed.addEventListener("click", () => void acceptPassed());
