// Row: one suggestion as a row of the table, in whatever state it is.
import { h, t } from "../shared/dom";
import { ago, count } from "../shared/format";
import { type Given, type Suggestion, nameOf, page, sure } from "./store";

export interface Row {
  suggestion: Suggestion;
  element: HTMLTableRowElement;
  pending: boolean;
  before: Pick<Suggestion, "state" | "given"> | null; // what this person's answer took the place of
  past: string[] | null; // the item's history in words, while it is shown
  whole: boolean; // the whole text is shown
}

export type Act = "accept" | "change" | "reject" | "undo" | "history" | "gold";

export function newRow(suggestion: Suggestion): Row {
  const element = h("tr", { role: "row", tabindex: "-1", "aria-selected": "false" });
  return { suggestion, element, pending: false, before: null, past: null, whole: false };
}

/** Draw the row anew. `act` is called by its buttons. */
export function draw(row: Row, act: (row: Row, what: Act) => void): void {
  const { suggestion } = row;
  row.element.toggleAttribute("data-pending", row.pending);
  row.element.dataset["state"] = suggestion.state;
  row.element.dataset["item"] = String(suggestion.item.id);
  row.element.replaceChildren(
    h("td", { role: "gridcell" }, content(row)),
    h("td", { role: "gridcell" }, verdict(suggestion), ...suggestion.rules.map((rule) => h("div", { class: "small soft rule-said", dir: "auto" }, ruleWords(rule, suggestion.label)))),
    h("td", { role: "gridcell", class: "runner soft num" }, runnerUp(suggestion)),
    h("td", { role: "gridcell" }, h("div", { class: "actions" }, note(row), ...buttons(row, act))),
  );
  row.element.setAttribute("aria-label", spoken(suggestion));
}

function content(row: Row): HTMLElement {
  const { item } = row.suggestion;
  const words = h("div", { class: "words grow" });
  if (item.text) {
    const text = h("div", { class: row.whole ? "item-text clamp open" : "item-text clamp", dir: "auto" }, item.text + (item.cut ? " …" : ""));
    text.addEventListener("click", () => text.classList.toggle("open", (row.whole = !row.whole)));
    words.append(text);
  }
  words.append(h("a", { class: "small muted num", href: `/projects/${page.project}/items/${item.id}`, tabindex: "-1" }, item.name || `#${count(item.row + 1)}`));
  if (row.past) words.append(h("ul", { class: "past" }, ...(row.past.length ? row.past : [t("no history")]).map((line) => h("li", {}, line))));
  return h("div", { class: "what" }, item.image && picture(row), words);
}

function picture(row: Row): HTMLElement {
  const { item } = row.suggestion;
  const small = (item.width ?? 99) <= 64 && (item.height ?? 99) <= 64;
  return h("img", {
    class: small ? "thumb small-drawing" : "thumb",
    src: item.image,
    alt: t("image", { name: item.name || `#${item.row + 1}` }),
    loading: "lazy",
    decoding: "async",
  });
}

function verdict({ state, label, confidence, given }: Suggestion): HTMLElement {
  if (state === "open") return h("span", { class: "chip model num" }, h("b", {}, h("bdi", {}, nameOf(label))), h("span", { class: "nowrap" }, sure(confidence)));
  if (state === "rejected") return h("span", { class: "chip warn num" }, "✕ ", h("s", {}, h("bdi", {}, nameOf(label))), sure(confidence));
  return h("span", { class: state === "imported" ? "chip imported" : "chip human" }, "✓ ", h("b", {}, h("bdi", {}, nameOf(given?.label ?? label))));
}

/** What a rule said; the label too where it is another than the suggested one. */
function ruleWords({ label, says }: Suggestion["rules"][number], suggested: number): string {
  return label === suggested ? t("rule", { says }) : t("rule against", { says, label: nameOf(label) });
}

function runnerUp({ runner_up, runner_up_confidence, state, given, label, confidence }: Suggestion): HTMLElement | null {
  // An item that people labelled otherwise still says what the model thinks.
  if (state === "answered" && given && given.label !== label) return h("span", {}, t("otherwise", { label: nameOf(label), confidence: sure(confidence) }));
  if (runner_up === null) return null;
  return h("span", {}, h("bdi", {}, nameOf(runner_up)), " ", sure(runner_up_confidence ?? 0));
}

function note({ pending, suggestion: { state, given } }: Row): HTMLElement | null {
  const text = pending ? t("saving") : state === "rejected" ? t("rejected") : given ? told(given) : "";
  return text ? h("span", { class: "note" }, text) : null;
}

function told(given: Given): string {
  const who = given.by_id === page.me ? t("you") : given.by;
  const when = ago(new Date(given.at));
  if (given.origin === "imported") return t("imported");
  return t(given.origin === "accepted" ? "accepted by" : "answered by", { who, when });
}

/** Whether this person can take back what was decided here. */
export function canUndo({ suggestion: { state, given } }: Row): boolean {
  if (state === "rejected") return true;
  if (state === "accepted") return given?.batch !== undefined;
  return state === "answered" && given?.by_id === page.me && given.answer !== undefined;
}

function buttons(row: Row, act: (row: Row, what: Act) => void): (HTMLElement | false)[] {
  const { state } = row.suggestion;
  const button = (what: Act, key: string, text: string): HTMLElement =>
    h("button", { class: "btn", type: "button", tabindex: "-1", "data-act": what, "aria-keyshortcuts": key, onclick: () => act(row, what) }, text, " ", h("kbd", { "aria-hidden": "true" }, key));
  return [
    state === "open" && button("accept", "A", t("Accept")),
    button("change", "E", t("Change")),
    state === "open" && button("reject", "X", t("Reject")),
    canUndo(row) && button("undo", "U", t("Undo")),
    state !== "open" && button("history", "H", t("History")),
  ];
}

function spoken({ item, label, confidence, state, given }: Suggestion): string {
  const text = item.text.slice(0, 200) || t("image", { name: item.name });
  const said = t("selected", { position: `#${item.row + 1}`, text, label: nameOf(label), confidence: sure(confidence) });
  return state === "open" ? said : `${said} ${state === "rejected" ? t("rejected") : given ? `${nameOf(given.label)}, ${told(given)}` : ""}`;
}
