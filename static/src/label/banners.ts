// Banners: what stands between the person's answers and the server, said calmly, with what to do.
import { byId, h, t } from "../shared/dom";
import { count } from "../shared/format";
import type { OutboxState } from "./outbox";
import type { Entry } from "./store";

interface Ways {
  signin: string;
  now: () => void;
  again: (entry: Entry) => void;
  forget: (entry: Entry) => void;
  choose: (entry: Entry) => void;
  nameOf: (label: number | undefined) => string;
}

const SHOWN = 3;
let drawn = "";

export function showBanners(state: OutboxState, ways: Ways): void {
  const now = JSON.stringify([state.trouble, state.refused.map((entry) => entry.key)]);
  const kept = document.querySelector("[data-kept]");
  if (kept) kept.textContent = told(state);
  if (now === drawn) return; // a banner drawn anew would take its button from under the finger
  drawn = now;
  const banners = state.refused.slice(0, SHOWN).map((entry) => refusal(entry, ways));
  if (state.trouble) banners.unshift(trouble(state, ways));
  byId("banners").replaceChildren(...banners);
}

const told = ({ trouble, waiting }: OutboxState): string => t(trouble === "signin" ? "signed_out" : "away", { count: count(waiting) });

function trouble(state: OutboxState, ways: Ways): HTMLElement {
  const text = h("span", { class: "grow", "data-kept": true }, told(state));
  if (state.trouble === "signin") {
    const here = encodeURIComponent(location.pathname);
    const way = ways.signin ? h("a", { class: "btn small", href: `${ways.signin}?next=${here}` }, t("sign_in")) : null;
    return h("div", { class: "banner warn", role: "status" }, text, way);
  }
  return h("div", { class: "banner", role: "status", "data-trouble": "away" }, h("span", { class: "dot busy" }), text, button("try_now", ways.now));
}

function refusal(entry: Entry, ways: Ways): HTMLElement {
  const answer = entry.kind === "answer";
  const text = (entry.shown?.text || entry.shown?.name || `#${entry.item}`).slice(0, 60);
  const detail = entry.refused?.detail ?? "";
  return h(
    "div",
    { class: "banner bad", role: "alert", "data-refused": entry.key },
    h("span", { class: "grow" }, t(answer ? "refused_one" : "refused_other", { label: ways.nameOf(entry.label), text, detail })),
    answer ? button("answer_again", () => ways.choose(entry)) : null,
    button("send_again", () => ways.again(entry)),
    button("forget", () => ways.forget(entry)),
  );
}

const button = (name: string, run: () => void): HTMLElement => h("button", { class: "btn small", type: "button", onclick: run }, t(name));
