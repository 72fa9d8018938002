// View: the item on screen with its labels. It draws what it is given and knows nothing of the server.
import { byId, h, t } from "../shared/dom";
import { percent } from "../shared/format";
import { slots, type Slot } from "./digits";
import { imageFrame } from "./image";
import { shown } from "./keys";
import { othersSaid } from "./others";
import type { Label, NextItem, Suggestion } from "./types";

const LISTED = 30; // up to so many labels all have a button; of more, the rest is found by typing
const [SHORT, LONG] = [160, 700]; // characters: larger type below, smaller above

export class View {
  private shownSlots: { main: Slot[]; rest: Slot[] } = { main: [], rest: [] };
  private zoomBy: (steps: number) => void = () => undefined;
  private readonly main = byId("labels");
  private readonly rest = byId("rest");

  constructor(
    private readonly labels: Label[],
    private readonly choose: (label: number) => void,
    private readonly search: () => void,
    private readonly searchKey: () => string,
  ) {
    for (const group of [this.main, this.rest]) {
      group.addEventListener("click", (event) => {
        const button = (event.target as Element).closest<HTMLButtonElement>("button");
        if (!button) return;
        // After a click the button must not keep the focus: the next Enter would press it again.
        if (event.detail > 0) button.blur();
        if (button.dataset["label"]) this.choose(Number(button.dataset["label"]));
        else this.search();
      });
    }
  }

  get slots(): Slot[] {
    return [...this.shownSlots.main, ...this.shownSlots.rest];
  }

  /** The label that this key gives for the item on screen. */
  labelOf(key: string): number | undefined {
    return this.slots.find((slot) => slot.key === key)?.label.id;
  }

  zoom(steps: number): void {
    this.zoomBy(steps);
  }

  scroll(pages: number): boolean {
    const text = document.querySelector<HTMLElement>(".text");
    if (!text || text.scrollHeight <= text.clientHeight) return false;
    text.scrollBy({ top: pages * text.clientHeight * 0.9 });
    return true;
  }

  /** Show this item; `note` is the one to this person's flag on it, undefined where it is not flagged. */
  show(item: NextItem, note: string | undefined): void {
    byId("empty").hidden = true;
    for (const id of ["item", "choose", "actions"]) byId(id).hidden = false;
    byId("item").removeAttribute("aria-busy");
    byId("item-number").textContent = t("item_number", { number: item.row + 1 });
    const why = byId("why");
    why.textContent = item.reason.text;
    why.hidden = !item.reason.text;
    why.className = item.reason.code === "margin" ? "chip warn why" : "chip why";
    this.flag(note);
    this.showBody(item);
    this.showFacts(item);
    this.showLabels(item.suggestion);
    this.showSpoken(item.suggestion);
    const others = othersSaid(item.others, this.labels);
    byId("others").hidden = !others;
    byId("others").textContent = others;
  }

  /** Show in place of the item why there is none, and what can be done. */
  showEmpty(...content: (Node | string | null)[]): void {
    const empty = byId("empty");
    for (const id of ["item", "choose"]) byId(id).hidden = true;
    byId("actions").hidden = true;
    empty.hidden = false;
    empty.replaceChildren(...content.filter((part) => part !== null));
    this.shownSlots = { main: [], rest: [] };
  }

  flag(note: string | undefined): void {
    const on = note !== undefined;
    byId("flagged").hidden = !on;
    byId("note-form").hidden = !on;
    byId<HTMLInputElement>("note").value = note ?? "";
    document.querySelector('[data-action="flag"]')?.setAttribute("aria-pressed", String(on));
  }

  private showBody(item: NextItem): void {
    const body = byId("item-body");
    if (item.image) {
      const { frame, zoom } = imageFrame(item);
      this.zoomBy = zoom;
      body.replaceChildren(frame, item.text ? h("p", { class: "caption item-text", dir: "auto" }, item.text) : "");
      return;
    }
    this.zoomBy = () => undefined;
    const size = item.text.length <= SHORT ? "short" : item.text.length <= LONG ? "" : "long";
    const text = h("div", { class: `text item-text ${size}`, dir: "auto", lang: languageOf(item.text) }, item.text);
    body.replaceChildren(text);
    // A text that scrolls must be reachable by Tab; one that fits must not be a stop on the way.
    if (item.text.length > SHORT && text.scrollHeight > text.clientHeight) text.tabIndex = 0;
  }

  private showFacts(item: NextItem): void {
    const facts = Object.entries(item.metadata ?? {}).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]);
    if (item.external_id) facts.unshift([t("external_id"), item.external_id]);
    if (item.name) facts.unshift([t("file_name"), item.name]);
    byId("facts").hidden = facts.length === 0;
    byId("facts-list").replaceChildren(...facts.flatMap(([name, value]) => [h("dt", { dir: "auto" }, name ?? ""), h("dd", { dir: "auto" }, value ?? "")]));
  }

  /** The rules that spoke of the item; the label too where it is another than the suggested one. */
  private showSpoken(suggestion: Suggestion | null): void {
    const words = (suggestion?.rules ?? []).map(({ label, says }) => {
      const name = this.labels.find((other) => other.id === label)?.name ?? "";
      return label === suggestion?.label ? t("rule", { says }) : t("rule_against", { says, label: name });
    });
    byId("spoken").hidden = words.length === 0;
    byId("spoken").textContent = words.join(" · ");
  }

  private showLabels(suggestion: Suggestion | null): void {
    this.shownSlots = slots(this.labels, suggestion);
    const { main, rest } = this.shownSlots;
    const likeliest = suggestion?.top[0]?.[0];
    this.main.classList.toggle("few", this.labels.length <= 4);
    fill(this.main, main.length + (rest.length ? 1 : 0), (button, place) => {
      const slot = main[place];
      if (slot) drawSlot(button, slot, slot.label.id === likeliest);
      else drawFind(button, this.labels.length, this.searchKey());
    });
    const listed = this.labels.length <= LISTED ? rest : rest.filter((slot) => slot.key);
    this.rest.hidden = listed.length === 0;
    fill(this.rest, listed.length, (button, place) => drawSlot(button, listed[place]!, false));
    this.showAccept(suggestion);
  }

  private showAccept(suggestion: Suggestion | null): void {
    const button = document.querySelector<HTMLElement>('[data-action="accept"]');
    const label = this.labels.find((other) => other.id === suggestion?.label);
    if (!button) return;
    button.hidden = !label;
    if (!label || !suggestion) return;
    const p = percent(suggestion.confidence);
    byId("accept-text").textContent = t("accept_this", { label: label.name });
    byId("accept-p").textContent = p;
    button.title = t("calibrated", { p });
  }
}

/** Make `group` have `count` buttons, keeping those it has, so that the focus stays; `draw` fills each. */
function fill(group: HTMLElement, count: number, draw: (button: HTMLElement, place: number) => void): void {
  while (group.childElementCount > count) group.lastElementChild?.remove();
  while (group.childElementCount < count) group.append(h("button", { type: "button" }));
  Array.from(group.children).forEach((button, place) => draw(button as HTMLElement, place));
}

function drawSlot(button: HTMLElement, { label, key, p }: Slot, suggested: boolean): void {
  button.className = suggested ? "lab sug" : "lab";
  button.dataset["label"] = String(label.id);
  button.title = label.description;
  if (key) button.setAttribute("aria-keyshortcuts", key);
  else button.removeAttribute("aria-keyshortcuts");
  button.replaceChildren(
    ...[
      key ? h("kbd", { "aria-hidden": "true" }, shown(key)) : null,
      label.color ? h("span", { class: "swatch", style: `background: ${label.color}` }) : null,
      h("span", { class: "g", dir: "auto" }, label.name),
      p === null ? null : h("small", { class: "num" }, percent(p)),
      p === null ? null : h("i", { class: "p", style: `width: ${(p * 100).toFixed(1)}%` }),
    ].filter((part) => part !== null),
  );
}

function drawFind(button: HTMLElement, count: number, key: string): void {
  button.className = "lab find";
  delete button.dataset["label"];
  button.title = "";
  button.replaceChildren(h("kbd", { "aria-hidden": "true" }, shown(key)), h("span", { class: "g muted" }, t("find_among", { count })));
}

/** The language of a text, where its script tells and the drawing of its characters depends on it. */
function languageOf(text: string): string | undefined {
  const start = text.slice(0, 400);
  if (/[\u3040-\u30ff]/.test(start)) return "ja";
  if (/[\uac00-\ud7af]/.test(start)) return "ko";
  return /[\u3400-\u9fff]/.test(start) ? "zh" : undefined;
}
