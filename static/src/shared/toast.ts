// Toast: a short word at the foot of the page that goes by itself.
import { h } from "./dom";

interface Action {
  text: string;
  run: () => void;
}

/** Show `text` for a while; with an action it stays longer, so that there is time to press it. */
export function toast(text: string, { bad = false, action }: { bad?: boolean; action?: Action } = {}): void {
  const place = document.getElementById("toasts");
  if (!place) return;
  const box = h("div", { class: bad ? "toast bad" : "toast" }, h("span", { class: "grow" }, text));
  if (action) {
    box.append(h("button", { class: "link", type: "button", onclick: () => (box.remove(), action.run()) }, action.text));
  }
  place.append(box);
  while (place.childElementCount > 3) place.firstElementChild?.remove();
  setTimeout(() => box.remove(), action || bad ? 8000 : 3500);
}
