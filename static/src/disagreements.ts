// Disagreements: one item at a time with who said what; a key decides and the next item comes at once.
import { ApiError, request } from "./shared/api";
import { byId, h, pageData, t } from "./shared/dom";
import { ago, percent } from "./shared/format";
import { toast } from "./shared/toast";
import { inTurn } from "./shared/turn";

interface Label { id: number; name: string; hotkey: string; color: string }
interface Said { id: number; author: string; label: number; purpose: string; origin: string; at: string; suggested: number | null; withdrawn: boolean; withdrawn_by: string | null }
interface Talk { id: number; author: string; text: string; sent_to: string | null; created_at: string }
interface Case {
  item: { id: number; row: number; text: string; image: string | null };
  answers: Said[];
  consensus: { label: number; p: number; method: string };
  suggestion?: { label: number; confidence: number } | null;
  comments: Talk[];
  decided: boolean;
  gold: boolean;
}

const PAGE = 50;
const data = pageData<{ api: string; labels: Label[]; query: Record<string, string>; methods: Record<string, string> }>();
const names = new Map(data.labels.map((label) => [label.id, label.name]));
const decided: Case[] = []; // newest last: what Z takes back
const turn = inTurn(); // keys are quicker than the network
let underWay = 0; // decisions the server has not heard yet
let cases: Case[] = [];
let total = 0;
let at = 0;
let choices: Label[] = [];

const name = (id: number): string => names.get(id) ?? `#${id}`;
const current = (): Case | undefined => cases[at];

async function load(): Promise<void> {
  const query = new URLSearchParams({ ...data.query, limit: String(PAGE) });
  const told = await request<{ count: number; results: Case[] }>(`${data.api}/disagreements/?${query}`);
  [cases, total, at] = [told.results, told.count, 0];
  draw();
}

function draw(): void {
  const one = current();
  byId("decide").hidden = !one;
  byId("none").hidden = Boolean(one);
  drawGold();
  byId("place").textContent = one ? t("place", { place: at + 1, count: total }) : "";
  if (!one) return;
  byId("item-title").textContent = t("item", { number: one.item.row + 1 });
  byId("item-body").replaceChildren(one.item.image ? h("img", { src: one.item.image, alt: t("image", { number: one.item.row + 1 }) }) : one.item.text);
  byId("said").replaceChildren(...one.answers.map(saidRow));
  const { label, p, method } = one.consensus;
  byId("consensus").textContent = t("consensus", { label: name(label), p: percent(p), method: data.methods[method] ?? method });
  byId("suggestion").textContent = one.suggestion ? t("suggestion", { label: name(one.suggestion.label), p: percent(one.suggestion.confidence) }) : "";
  byId("talk").replaceChildren(...one.comments.map((talk) => h("li", {}, h("b", {}, talk.sent_to ? t("sent_to", { author: talk.author, who: talk.sent_to }) : talk.author), h("span", { class: "muted small" }, ago(new Date(talk.created_at))), h("p", { dir: "auto" }, talk.text))));
  drawChoices(one);
}

/** What O makes gold: the item on screen once it is decided, else the one decided last. */
const decidedOne = (): Case | undefined => (current()?.decided ? current() : decided.at(-1));

function drawGold(): void {
  const one = decidedOne();
  byId("gold-line").hidden = !one || one.gold;
  if (one) byId("gold-text").textContent = t(one === current() ? "gold_this" : "gold_last", { label: name(one.consensus.label) });
}

async function useAsGold(): Promise<void> {
  const one = decidedOne();
  if (!one || one.gold) return toast(t("gold_none"));
  one.gold = true;
  drawGold();
  try {
    await turn(() => request(`${data.api}/gold/`, { method: "POST", body: { item: one.item.id, label: one.consensus.label } }));
    toast(t("gold_made", { label: name(one.consensus.label) }));
  } catch (error) {
    one.gold = false;
    drawGold();
    complain(error);
  }
}

function saidRow(said: Said): HTMLElement {
  const who = said.author || t("imported");
  const marks = [said.purpose === "decision" ? t("decision") : "", said.withdrawn ? (said.withdrawn_by ? t("withdrawn_by", { who: said.withdrawn_by }) : t("withdrawn")) : "", said.suggested ? t("shown", { label: name(said.suggested) }) : ""].filter(Boolean);
  const back = !said.withdrawn && said.purpose === "label" && said.origin === "person";
  return h("li", {}, h("span", { dir: "auto" }, who), h("b", { class: said.withdrawn ? "gone" : "", dir: "auto" }, name(said.label)), h("span", { class: "muted small grow" }, [ago(new Date(said.at)), ...marks].join(" · ")), back && h("button", { class: "btn quiet small", type: "button", onclick: () => sendBack(said) }, t("send_back")));
}

/** The labels that were said, the consensus first, then the others: the first nine have the digits. */
function drawChoices(one: Case): void {
  const said = new Set([one.consensus.label, ...one.answers.map((answer) => answer.label)]);
  const rank = (label: Label): number => (label.id === one.consensus.label ? 0 : said.has(label.id) ? 1 : 2);
  choices = [...data.labels].sort((a, b) => rank(a) - rank(b)).slice(0, 9);
  byId("choices").replaceChildren(
    ...choices.map((label, place) =>
      h("button", { class: `btn${label.id === one.consensus.label ? " primary" : ""}`, type: "button", "data-label": label.id, onclick: () => void decide(label.id) }, h("kbd", {}, String(place + 1)), h("span", { class: "grow", dir: "auto" }, label.name), place === 0 ? h("kbd", {}, "Enter") : label.hotkey ? h("kbd", {}, label.hotkey.toUpperCase()) : null),
    ),
  );
  byId("find-field").hidden = data.labels.length <= choices.length;
}

async function decide(label: number): Promise<void> {
  const one = current();
  if (!one) return;
  // The next item is there at once; where the server refuses, this one comes back.
  cases.splice(at, 1);
  total -= 1;
  if (at >= cases.length) at = Math.max(cases.length - 1, 0);
  const done: Case = { ...one, decided: true, consensus: { label, p: 1, method: "decision" } };
  decided.push(done);
  draw();
  underWay += 1;
  try {
    await turn(() => request(`${data.api}/items/${one.item.id}/decision`, { method: "POST", body: { label, key: crypto.randomUUID() } }));
    toast(t("decided", { label: name(label) }));
  } catch (error) {
    const place = decided.lastIndexOf(done);
    if (place >= 0) decided.splice(place, 1);
    cases.splice(at, 0, one);
    total += 1;
    draw();
    complain(error);
  } finally {
    underWay -= 1;
  }
  if (!cases.length && total > 0 && !underWay) await load().catch(complain);
}

async function takeBack(): Promise<void> {
  const last = decided.pop();
  if (!last) return toast(t("nothing_to_undo"));
  try {
    await turn(() => request(`${data.api}/items/${last.item.id}/decision`, { method: "DELETE" }));
    toast(t("undone"));
    await load();
    at = Math.max(cases.findIndex((one) => one.item.id === last.item.id), 0);
    draw();
  } catch (error) {
    decided.push(last);
    complain(error);
  }
}

function sendBack(said: Said): void {
  const one = current();
  const dialog = byId<HTMLDialogElement>("back");
  const reason = byId<HTMLTextAreaElement>("reason");
  if (!one) return;
  reason.value = "";
  byId("back-why").textContent = t("why", { who: said.author });
  dialog.returnValue = "";
  dialog.showModal();
  dialog.onclose = async () => {
    if (dialog.returnValue !== "send" || !reason.value.trim()) return;
    try {
      await request(`${data.api}/items/${one.item.id}/send-back`, { method: "POST", body: { answer: said.id, text: reason.value } });
      toast(t("sent", { who: said.author }));
      await load();
    } catch (error) {
      complain(error);
    }
  };
}

async function comment(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  const one = current();
  const field = byId<HTMLTextAreaElement>("comment");
  if (!one || !field.value.trim()) return;
  try {
    one.comments.push(await request<Talk>(`${data.api}/items/${one.item.id}/comments`, { method: "POST", body: { text: field.value } }));
    field.value = "";
    field.blur();
    toast(t("comment_kept"));
    draw();
  } catch (error) {
    complain(error);
  }
}

function move(by: number): void {
  at = Math.min(Math.max(at + by, 0), Math.max(cases.length - 1, 0));
  draw();
}

function find(): void {
  const field = byId<HTMLInputElement>("find");
  const label = data.labels.find((one) => one.name === field.value);
  if (!label) return;
  field.value = "";
  field.blur();
  void decide(label.id);
}

function complain(error: unknown): void {
  toast(error instanceof ApiError && error.status ? error.message : t("unreachable"), { bad: true });
}

const KEYS: Record<string, () => void> = {
  Enter: () => void (current() && decide(current()!.consensus.label)),
  ArrowLeft: () => move(-1),
  ArrowRight: () => move(1),
  z: () => void takeBack(),
  o: () => void useAsGold(),
  c: () => byId("comment").focus(),
  g: () => byId("guidelines").toggleAttribute("open"),
  "/": () => !byId("find-field").hidden && byId("find").focus(),
};

function pressed(event: KeyboardEvent): void {
  const target = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.altKey || byId<HTMLDialogElement>("back").open) return;
  if (target.closest("input, textarea, select")) {
    if (event.key === "Escape") target.blur();
    return;
  }
  if (event.key === "Enter" && target.closest("button, a, summary")) return; // that one is meant
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const label = choices[Number(key) - 1] ?? data.labels.find((one) => one.hotkey && one.hotkey.toLowerCase() === key);
  const run = label ? () => void decide(label.id) : KEYS[key];
  if (!run) return;
  event.preventDefault();
  run();
}

byId("all-labels").append(...data.labels.map((label) => h("option", { value: label.name })));
byId("find").addEventListener("change", find);
byId("use-as-gold").addEventListener("click", () => void useAsGold());
byId("earlier").addEventListener("click", () => move(-1));
byId("later").addEventListener("click", () => move(1));
byId("comment-form").addEventListener("submit", (event) => void comment(event as SubmitEvent));
document.addEventListener("keydown", pressed);
load().catch(complain);
