// Empty: why no item is on screen, and what can be done about it.
import type { ApiError } from "../shared/api";
import { h, t } from "../shared/dom";
import { count } from "../shared/format";
import type { PageData, Progress } from "./types";

interface Situation {
  data: PageData;
  progress: Progress;
  waiting: number; // open items in others' hands
  forOthers: number; // open items that this person has answered
  paused: string[]; // admins to ask, where this person is paused
  held: number; // answers and skips not sent yet
  trouble: ApiError | undefined;
  loaded: boolean;
}

type Content = (Node | string | null)[];

export function emptiness({ data, progress, waiting, forOthers, paused, held, trouble, loaded }: Situation, again: () => void, undo: () => void): Content {
  const { urls, labels } = data;
  const mine = count(progress.mine ?? 0);
  if (!labels.length) return says("labels_title", t(urls.settings ? "labels_admin" : "labels_other"), link(urls.settings, "labels_settings"));
  if (!progress.items) return says("empty_title", t(urls.import ? "empty_admin" : "empty_other"), link(urls.import, "empty_import"));
  if (trouble?.passing) return says("offline_title", t("offline_text"), button("again", again));
  if (trouble) return says("trouble_title", trouble.message, button("again", again));
  if (paused.length) return says("paused_title", t("paused_text", { admins: paused.join(", ") }), link(urls.overview, "done_overview"));
  if (!loaded || (held && progress.open > held)) return [h("span", { class: "spinner" }), h("p", {}, t("loading"))];
  if (progress.open <= held) return [tick(), ...says("done_title", t("done_text", { mine }), link(urls.review, "done_review"), link(urls.overview, "done_overview"))];
  if (waiting) return says("waiting_title", t("waiting_text", { count: count(waiting) }), link(urls.overview, "done_overview"));
  if (forOthers) return [tick(), ...says("others_title", t("others_text", { count: count(forOthers) }), link(urls.overview, "done_overview"))];
  return says("skipped_title", t("skipped_text", { count: count(progress.open) }), button("skipped_undo", undo));
}

function says(title: string, text: string, ...ways: (HTMLElement | null)[]): Content {
  const shown = ways.filter((way) => way !== null);
  shown[0]?.classList.add("primary");
  return [h("h2", {}, t(title)), h("p", {}, text), shown.length ? h("div", { class: "row wrap" }, ...shown) : null];
}

const link = (url: string, name: string): HTMLElement | null => (url ? h("a", { class: "btn", href: url }, t(name)) : null);
const button = (name: string, run: () => void): HTMLElement => h("button", { class: "btn", type: "button", onclick: run }, t(name));

function tick(): HTMLElement {
  const mark = h("span", { class: "tick", "aria-hidden": "true" }, "✓");
  return mark;
}
