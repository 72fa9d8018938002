// Keys: which key does what, as the person has it; and the dialog that shows and changes them.
import { ApiError, request } from "../shared/api";
import { byId, h, t } from "../shared/dom";
import type { Label } from "./types";

export const ACTIONS = ["accept", "skip", "flag", "undo", "search", "guidelines", "help", "zoomIn", "zoomOut"] as const;
export type Action = (typeof ACTIONS)[number];

const USUAL: Record<Action, string> = {
  accept: "Enter",
  skip: "Space",
  flag: "f",
  undo: "z",
  search: "/",
  guidelines: "g",
  help: "?",
  zoomIn: "+",
  zoomOut: "-",
};
const MODIFIERS = new Set(["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock", "NumLock", "Fn"]);
const UNFIT = new Set(["Tab", "Escape", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "PageUp", "PageDown", "Unidentified"]);

/**
 * The key's name: "f", "1", "/", "Space", "Enter".
 *
 * Where the layout or an input method writes another script (я, ㅋ, "Process"), the key's place on the keyboard
 * counts, so that one hand position serves every language.
 */
export function keyOf(event: KeyboardEvent): string {
  const { key, code } = event;
  if (key === " " || code === "Space") return "Space";
  if (key.length === 1 && key.charCodeAt(0) < 128) return key === "=" ? "+" : key.toLowerCase();
  if (key.length > 1 && !["Process", "Dead", "Unidentified"].includes(key)) return key;
  if (/^Key[A-Z]$/.test(code)) return code.slice(3).toLowerCase();
  if (/^(Digit|Numpad)\d$/.test(code)) return code.slice(-1);
  return { Enter: "Enter", Slash: event.shiftKey ? "?" : "/", Minus: "-", Equal: "+" }[code] ?? key.toLowerCase();
}

/** A key as keyboards have it written: "F", "Enter". */
export const shown = (key: string): string => (key.length === 1 ? key.toUpperCase() : ["Enter", "Space"].includes(key) ? t(key) : key);

export class Keymap {
  private readonly chosen: Partial<Record<Action, string>>;

  constructor(
    chosen: Record<string, string>,
    private readonly save: string,
  ) {
    this.chosen = Object.fromEntries(ACTIONS.filter((action) => typeof chosen[action] === "string").map((action) => [action, chosen[action]!]));
  }

  key(action: Action): string {
    return this.chosen[action] ?? USUAL[action];
  }

  action(key: string): Action | undefined {
    return ACTIONS.find((action) => this.key(action) === key);
  }

  /** Give the action this key; whatever had it gets the action's old key. Returns the action that it was taken from. */
  change(action: Action, key: string): Action | undefined {
    const other = this.action(key);
    const old = this.key(action);
    this.chosen[action] = key;
    if (other && other !== action) this.chosen[other] = old;
    return other === action ? undefined : other;
  }

  reset(): void {
    for (const action of ACTIONS) delete this.chosen[action];
  }

  /** Keep it with the person's account, for every browser. */
  async keep(): Promise<void> {
    const keymap = Object.fromEntries(Object.entries(this.chosen).filter(([action, key]) => USUAL[action as Action] !== key));
    await request(this.save, { method: "PATCH", body: { keymap } });
  }
}

/** Write each action's key on its buttons. */
export function markButtons(keymap: Keymap): void {
  for (const mark of document.querySelectorAll<HTMLElement>("[data-key]")) {
    const action = mark.dataset["key"] as Action;
    mark.textContent = shown(keymap.key(action));
    const button = mark.closest("[data-action]");
    if (button?.getAttribute("data-action") === action) button.setAttribute("aria-keyshortcuts", keymap.key(action));
  }
}

export interface LabelKey {
  label: Label;
  key: string;
}

/** The dialog with all keys. `labelKeys` gives the labels' keys of now; `fixed`: whether they stay for all items. */
export function keysDialog(keymap: Keymap, labelKeys: () => LabelKey[], fixed: boolean): () => void {
  const dialog = byId<HTMLDialogElement>("keys");
  const told = byId("keys-told");
  let waiting: Action | undefined;

  const draw = (): void => {
    const taken = new Map(labelKeys().map(({ key, label }) => [key, label.name]));
    byId("keys-actions").replaceChildren(...ACTIONS.map((action) => actionRow(action, taken.get(keymap.key(action)))));
    byId("keys-labels").replaceChildren(
      ...labelKeys().filter(({ key }) => key).map(({ label, key }) => h("tr", {}, h("td", { dir: "auto" }, label.name), h("td", {}, h("kbd", {}, shown(key))))),
    );
    byId("keys-labels-note").textContent = t(fixed ? "keys_fixed" : "keys_likeliest");
    markButtons(keymap);
  };
  const actionRow = (action: Action, label: string | undefined): HTMLElement => {
    const listens = waiting === action;
    const button = h(
      "button",
      { class: "btn small", type: "button", "data-remap": action, "aria-label": `${t(`action_${action}`)}: ${shown(keymap.key(action))}`, onclick: () => ((waiting = action), draw(), focusOn(action)) },
      listens ? t("press_key") : h("kbd", {}, shown(keymap.key(action))),
    );
    const note = label === undefined ? null : h("div", { class: "warn small" }, t("key_hidden", { label }));
    return h("tr", {}, h("td", {}, t(`action_${action}`), note), h("td", {}, button));
  };
  const focusOn = (action: Action): void => dialog.querySelector<HTMLElement>(`[data-remap="${action}"]`)?.focus();

  const keep = async (): Promise<void> => {
    try {
      await keymap.keep();
      told.textContent ||= t("keys_kept");
    } catch (error) {
      told.textContent = t("keys_not_kept", { detail: error instanceof ApiError ? error.message : String(error) });
    }
  };
  const remap = (action: Action, key: string): void => {
    const label = labelKeys().find((other) => other.key === key)?.label;
    told.textContent = "";
    if (UNFIT.has(key)) told.textContent = t("key_unfit");
    else if (label) told.textContent = t("key_of_label", { key: shown(key), label: label.name });
    else {
      const other = keymap.change(action, key);
      if (other) told.textContent = t("key_swapped", { key: shown(key), action: t(`action_${other}`) });
      void keep();
    }
    waiting = undefined;
    draw();
    focusOn(action);
  };

  dialog.addEventListener("keydown", (event) => {
    if (!waiting || MODIFIERS.has(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Escape") ((waiting = undefined), draw());
    else remap(waiting, keyOf(event));
  });
  // Escape would close the dialog while it waits for a key.
  dialog.addEventListener("cancel", (event) => {
    if (waiting) event.preventDefault();
  });
  dialog.addEventListener("close", () => (waiting = undefined));
  byId("keys-reset").addEventListener("click", () => {
    keymap.reset();
    told.textContent = "";
    draw();
    void keep();
  });
  markButtons(keymap);
  return () => {
    told.textContent = "";
    draw();
    dialog.showModal();
  };
}
