// Picker: a label found by typing a part of its name.
import { byId, h } from "../shared/dom";
import { percent } from "../shared/format";
import { match, type Match } from "../shared/fuzzy";
import { shown } from "./keys";
import type { Slot } from "./digits";

const LIKELY = 300; // what certainty (probability 1) counts beside a match's score
const MOST = 60; // rows shown; typing narrows them

interface Question {
  title: string;
  item?: string; // the item's text, where it is not on screen
  others?: string; // what others said of it
  now?: number; // the label it has
  slots: Slot[];
  choose: (label: number) => void;
}

const worth = ({ slot, match }: { slot: Slot; match: Match | null }): number => (match?.score ?? 0) + LIKELY * (slot.p ?? 0);

export class Picker {
  private readonly dialog = byId<HTMLDialogElement>("picker");
  private readonly input = byId<HTMLInputElement>("picker-input");
  private readonly list = byId("picker-list");
  private question: Question | undefined;
  private found: Slot[] = [];
  private active = 0;

  constructor() {
    this.input.addEventListener("input", () => this.draw());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("click", (event) => {
      const row = (event.target as Element).closest<HTMLElement>("[data-place]");
      if (row) this.choose(Number(row.dataset["place"]));
    });
  }

  open(question: Question): void {
    this.question = question;
    byId("picker-title").textContent = question.title;
    const item = byId("picker-item");
    item.textContent = question.item ?? "";
    item.hidden = !question.item;
    byId("picker-others").textContent = question.others ?? "";
    byId("picker-others").hidden = !question.others;
    this.input.value = "";
    this.draw();
    this.dialog.showModal();
    this.input.focus();
  }

  private key(event: KeyboardEvent): void {
    if (event.isComposing) return; // Enter ends the input method's word, not the search
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      this.mark(this.active + step);
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.choose(this.active);
    }
  }

  private choose(place: number): void {
    const slot = this.found[place];
    const question = this.question;
    if (!slot || !question) return;
    this.input.blur();
    this.dialog.close();
    question.choose(slot.label.id);
  }

  private draw(): void {
    const query = this.input.value;
    const fits = (this.question?.slots ?? [])
      .map((slot, place) => ({ slot, place, match: match(query, slot.label.name) }))
      .filter((fit) => fit.match !== null)
      // What fits best; of what fits about equally (or when nothing is typed) the likeliest.
      .sort((a, b) => worth(b) - worth(a) || a.place - b.place)
      .slice(0, MOST);
    this.found = fits.map((fit) => fit.slot);
    this.list.replaceChildren(...fits.map((fit, place) => this.row(fit.slot, fit.match?.at ?? [], place)));
    byId("picker-none").hidden = fits.length > 0;
    this.mark(0);
  }

  private row({ label, p, key }: Slot, at: number[], place: number): HTMLElement {
    const marked = new Set(at);
    const name = h("span", { class: "grow", dir: "auto" }, ...Array.from(label.name, (c, k) => (marked.has(k) ? h("b", {}, c) : c)));
    return h(
      "li",
      { id: `pick-${place}`, role: "option", "data-place": place, "aria-selected": "false" },
      label.color ? h("span", { class: "swatch", style: `background: ${label.color}` }) : null,
      name,
      this.question?.now === label.id ? h("span", { class: "chip human" }, "✓") : null,
      p === null ? null : h("small", { class: "num model" }, percent(p)),
      key ? h("kbd", { "aria-hidden": "true" }, shown(key)) : null,
    );
  }

  private mark(place: number): void {
    this.active = Math.max(0, Math.min(place, this.found.length - 1));
    for (const row of this.list.children) row.setAttribute("aria-selected", String(row.id === `pick-${this.active}`));
    const row = this.list.children[this.active];
    row?.scrollIntoView({ block: "nearest" });
    if (row) this.input.setAttribute("aria-activedescendant", row.id);
    else this.input.removeAttribute("aria-activedescendant");
  }
}
