// Change: find a label by typing, for an item whose suggestion is wrong.
import { byId, h, t } from "../shared/dom";
import { type Suggestion, page, nameOf } from "./store";

const dialog = byId<HTMLDialogElement>("change");
const search = byId<HTMLInputElement>("change-search");
const list = byId("change-list");
let offered: number[] = [];
let first: number[] = []; // the likeliest labels, shown before anything is typed
let at = 0;
let choose: (label: number | null) => void = () => undefined;

/** Ask for the right label; null where the person thinks better of it. */
export function askForLabel(suggestion: Suggestion): Promise<number | null> {
  byId("change-item").textContent = suggestion.item.text || suggestion.item.name;
  first = [suggestion.runner_up, suggestion.label].filter((id): id is number => id !== null);
  search.value = "";
  offer();
  dialog.showModal();
  search.focus();
  return new Promise((resolve) => {
    choose = (label) => {
      choose = () => undefined;
      resolve(label);
      dialog.close();
    };
  });
}

/** Labels whose name holds every word typed; a name that begins so comes first. */
export function matching(typed: string, likeliest: number[]): number[] {
  const words = typed.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const start = words.join(" ");
  const rank = (id: number, name: string): number =>
    words.length ? (name.startsWith(start) ? 0 : 1) : likeliest.includes(id) ? likeliest.indexOf(id) : likeliest.length;
  return page.labels
    .filter((label) => !label.archived && words.every((word) => label.name.toLocaleLowerCase().includes(word)))
    .map((label) => ({ id: label.id, rank: rank(label.id, label.name.toLocaleLowerCase()) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ id }) => id);
}

function offer(): void {
  offered = matching(search.value, first);
  at = 0;
  list.replaceChildren(
    ...offered.map((id, place) =>
      h("div", { role: "option", id: `option-${place}`, "aria-selected": "false", onclick: () => choose(id) }, h("bdi", {}, nameOf(id))),
    ),
  );
  if (!offered.length) list.append(h("div", { role: "option", "aria-disabled": "true", "aria-selected": "false" }, t("no label matches")));
  mark();
}

function mark(): void {
  for (const [place, option] of [...list.children].entries()) option.setAttribute("aria-selected", String(place === at && offered.length > 0));
  list.children[at]?.scrollIntoView({ block: "nearest" });
  search.setAttribute("aria-activedescendant", offered.length ? `option-${at}` : "");
}

search.addEventListener("input", offer);
search.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && offered.length) {
    event.preventDefault();
    at = (at + step + offered.length) % offered.length;
    mark();
  }
  const chosen = offered[at];
  if (event.key === "Enter" && !event.isComposing && chosen !== undefined) {
    event.preventDefault();
    choose(chosen);
  }
});
dialog.addEventListener("close", () => choose(null));
