// Finder: a dialog in which a label is found by typing its name.
import { byId, h, t } from "./dom";

export interface Label {
  id: number;
  name: string;
}

/** Labels whose name has all the words typed; those that begin with it first. */
export function matching(labels: Label[], typed: string): Label[] {
  const wanted = typed.trim().toLocaleLowerCase();
  const words = wanted.split(/\s+/);
  const named = labels.filter(({ name }) => words.every((word) => name.toLocaleLowerCase().includes(word)));
  const begins = (label: Label): number => Number(!label.name.toLocaleLowerCase().startsWith(wanted));
  return named.sort((a, b) => begins(a) - begins(b) || a.name.localeCompare(b.name));
}

export interface Finder {
  readonly isOpen: boolean;
  /** Show the dialog; `current` is ticked. */
  open: (current: number | null) => void;
  close: () => void;
}

/** The finder in this dialog, which holds #find and #found; `choose` gets the label that was taken. */
export function finder(dialog: HTMLDialogElement, labels: Label[], choose: (label: Label) => void): Finder {
  const find = byId<HTMLInputElement>("find");
  const list = byId("found");
  let found: Label[] = [];
  let chosen = 0;
  let ticked: number | null = null;

  function show(): void {
    found = matching(labels, find.value);
    chosen = Math.max(0, Math.min(chosen, found.length - 1));
    list.replaceChildren(
      ...found.map((label, place) =>
        h(
          "li",
          { role: "option", id: `option-${place}`, "aria-selected": String(place === chosen), onclick: () => choose(label) },
          h("span", { class: "grow", dir: "auto" }, label.name),
          label.id === ticked && h("span", { class: "muted small" }, "✓"),
        ),
      ),
    );
    if (!found.length) list.append(h("li", { class: "muted" }, t("No label is called so.")));
    find.setAttribute("aria-activedescendant", found.length ? `option-${chosen}` : "");
    list.children[chosen]?.scrollIntoView({ block: "nearest" });
  }

  find.addEventListener("input", () => ((chosen = 0), show()));
  find.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const label = found[chosen];
    if (step) chosen = (chosen + step + found.length) % Math.max(found.length, 1);
    else if (event.key === "Enter" && label) choose(label);
    else if (event.key !== "Enter") return;
    event.preventDefault();
    show();
  });

  return {
    get isOpen() {
      return dialog.open;
    },
    open(current) {
      ticked = current;
      find.value = "";
      chosen = 0;
      if (!dialog.open) dialog.showModal();
      find.focus();
      show();
    },
    close: () => dialog.close(),
  };
}
