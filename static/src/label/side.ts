// Side: how far the project is, how good, what was just answered, and what the model is doing.
import { byId, h, t } from "../shared/dom";
import { ago, count, finePercent, percent } from "../shared/format";
import { told } from "./others";
import type { Label, Other, Progress } from "./types";

export interface JustAnswered {
  item: number;
  label: number;
  text: string;
  name: string;
  image: string | null;
  state: "kept" | "sent" | "refused";
  others?: Other[];
}

const LISTED = 8;

export class Side {
  private progress: Progress;

  constructor(
    first: Progress,
    private readonly labels: Label[],
    private readonly goal: number,
    private readonly change: (answered: JustAnswered) => void,
  ) {
    this.progress = first;
    this.show(first);
    setInterval(() => this.showModel(), 1000);
  }

  get now(): Progress {
    return this.progress;
  }

  show(progress: Progress): void {
    // Only some replies count this person's answers.
    this.progress = { ...progress, mine: progress.mine ?? this.progress.mine ?? 0 };
    this.showCounts();
    this.showAccuracy();
    this.showModel();
  }

  /** One more (or less) by this person, before the server counts it. */
  countMine(change: number): void {
    this.progress = { ...this.progress, mine: Math.max(0, (this.progress.mine ?? 0) + change) };
    this.showCounts();
  }

  showJust(answered: JustAnswered[]): void {
    byId("just").hidden = answered.length === 0;
    byId("just-list").replaceChildren(...answered.slice(0, LISTED).map((one) => this.justRow(one)));
  }

  private justRow(one: JustAnswered): HTMLElement {
    const label = this.labels.find((other) => other.id === one.label)?.name ?? "";
    const others = told(one.others, this.labels);
    const state = one.state === "sent" ? null : h("span", { class: one.state === "kept" ? "dot warn" : "dot bad", role: "img", "aria-label": t(one.state === "kept" ? "kept_here" : "was_refused"), title: t(one.state === "kept" ? "kept_here" : "was_refused") });
    return h(
      "li",
      {},
      h(
        "button",
        { type: "button", title: t("change_answer", { label }), onclick: (event: MouseEvent) => ((event.currentTarget as HTMLElement).blur(), this.change(one)) },
        one.image ? h("img", { class: "thumb", src: one.image, alt: one.name, loading: "lazy" }) : null,
        h("span", { class: "what cut", dir: "auto" }, one.text || one.name),
        state,
        h("b", { class: "cut", dir: "auto" }, label),
      ),
      others ? h("p", { class: one.others?.every((other) => other.label === one.label) ? "others" : "others differ", dir: "auto" }, others) : null,
    );
  }

  private showCounts(): void {
    const { items, answered, imported, accepted, open, mine } = this.progress;
    const width = (n: number): string => `${items ? (100 * n) / items : 0}%`;
    byId("bar-human").style.width = width(answered);
    byId("bar-imported").style.width = width(imported);
    byId("bar-model").style.width = width(accepted);
    byId("bar").setAttribute("aria-label", t("progress_label", { done: count(items - open), items: count(items) }));
    const part = (name: string, n: number, kind: string): HTMLElement | null => (n || kind === "human" ? h("span", { class: kind }, t(name, { count: count(n) })) : null);
    const parts = [part("by_people", answered, "human"), part("by_file", imported, "imported"), part("by_model", accepted, "model"), h("span", {}, t("open", { count: count(open) }))];
    byId("counts").replaceChildren(...parts.filter((one) => one !== null));
    byId("mine").textContent = t("mine", { count: count(mine ?? 0) });
  }

  private showAccuracy(): void {
    const accuracy = this.progress.accuracy;
    byId("accuracy").hidden = !accuracy;
    if (!accuracy) return;
    byId("estimate").textContent = finePercent(accuracy.estimate);
    byId("interval").textContent = t("interval", { low: finePercent(accuracy.low), high: finePercent(accuracy.high) });
    byId("how").textContent = t("goal", { goal: percent(this.goal) });
    this.showAhead();
  }

  /** Said quietly, between two items: the person decides. */
  private showAhead(): void {
    const ahead = this.progress.ahead;
    byId("ahead").hidden = !ahead || ahead.pays;
    if (ahead && !ahead.pays) put("ahead", t("ahead", { answers: count(ahead.answers), high: Math.max(100 * ahead.high, 0).toLocaleString(document.documentElement.lang, { maximumFractionDigits: 1 }) }));
  }

  private showModel(): void {
    const { model, snapshot, items } = this.progress;
    const text =
      model.state === "adapting"
        ? t("model_adapting")
        : model.state === "embedding"
          ? model.embedded
            ? t("model_embedding_count", { done: count(model.embedded), items: count(items) })
            : t("model_embedding")
          : snapshot === null
            ? ""
            : t("model_number", { number: snapshot });
    const when = model.state === "idle" && model.adapted_at ? t("model_when", { ago: ago(new Date(model.adapted_at)) }) : "";
    const chip = byId("model-chip");
    chip.hidden = !text;
    chip.querySelector(".dot")?.classList.toggle("busy", model.state !== "idle");
    put("model-text", text);
    put("model-when", when);
  }
}

/** Write only what has changed: this runs each second. */
function put(id: string, text: string): void {
  const place = byId(id);
  if (place.textContent !== text) place.textContent = text;
}
