// Doubts: answers that may be mistakes, settled one by one by keyboard: J and K move, Enter corrects, O keeps,
// A asks again, E finds another label, Z takes the last back where that can be done.
import { ApiError, request } from "./shared/api";
import { uuid } from "./shared/browser";
import { byId, pageData, t } from "./shared/dom";
import { finder, type Label } from "./shared/finder";
import { count } from "./shared/format";
import { toast } from "./shared/toast";
import { inTurn } from "./shared/turn";

interface Data {
  items: string;
  doubts: string;
  labels: Label[];
}

const data = pageData<Data>();
const all = (): HTMLElement[] => [...document.querySelectorAll<HTMLElement>(".doubt")];
let here: HTMLElement | null = null;
let undo: (() => Promise<void>) | null = null;
const turn = inTurn(); // keys are quicker than the network

function go(to: HTMLElement | null | undefined): void {
  here?.classList.remove("here");
  here = to ?? null;
  here?.classList.add("here");
  here?.focus({ preventScroll: true });
  here?.scrollIntoView({ block: "nearest" });
}

function step(by: number): void {
  const list = all();
  const place = here ? list.indexOf(here) : -1;
  go(list[Math.max(0, Math.min(list.length - 1, place + by))]);
}

function tell(): void {
  const left = all().length;
  byId("left").textContent = t("%(n)s left", { n: count(left) });
  byId("none").hidden = left > 0;
}

/** Do it on the server, then take the doubt off the list; the next one is under the keys at once. */
async function settle(doubt: HTMLElement, send: () => Promise<unknown>, told: string, back?: () => Promise<unknown>): Promise<void> {
  if (doubt.dataset["busy"]) return;
  doubt.dataset["busy"] = "1";
  try {
    await turn(send);
  } catch (error) {
    const refusal = error as ApiError;
    toast(refusal.status === 0 ? t("The server cannot be reached. Try again.") : refusal.message, { bad: true });
    return;
  } finally {
    delete doubt.dataset["busy"];
  }
  const list = all();
  const place = list.indexOf(doubt);
  const next = list[place + 1] ?? list[place - 1];
  const behind = doubt.nextElementSibling;
  const parent = doubt.parentElement;
  doubt.remove();
  if (here === doubt || !here) go(next);
  tell();
  undo = back
    ? async () => {
        await back();
        parent?.insertBefore(doubt, behind?.isConnected ? behind : null);
        go(doubt);
        tell();
      }
    : null;
  toast(told);
}

async function takeBack(): Promise<void> {
  await turn(async () => undefined); // what is under way may be what is meant
  const back = undo;
  undo = null;
  await back?.();
}

const address = (doubt: HTMLElement, what: string): string => `${data.doubts}/${doubt.dataset["item"]}/${what}`;

function correct(doubt: HTMLElement, label: { id: number; name: string }): void {
  const send = (): Promise<unknown> =>
    request(`${data.items}/${doubt.dataset["item"]}/correct`, { method: "POST", body: { label: label.id, key: uuid() } });
  void settle(doubt, send, t("Corrected: %(label)s", { label: label.name }));
}

function keep(doubt: HTMLElement): void {
  const back = (): Promise<unknown> => request(address(doubt, "keep"), { method: "DELETE" });
  void settle(doubt, () => request(address(doubt, "keep"), { method: "POST" }), t("Confirmed: %(label)s", { label: doubt.dataset["labelName"] ?? "" }), back);
}

function ask(doubt: HTMLElement): void {
  void settle(doubt, () => request(address(doubt, "ask-again"), { method: "POST" }), t("It will be asked again"));
}

let finding: HTMLElement | null = null;
const find = finder(byId<HTMLDialogElement>("other-dialog"), data.labels, (label) => {
  find.close();
  if (finding) correct(finding, label);
});

function other(doubt: HTMLElement): void {
  finding = doubt;
  find.open(Number(doubt.dataset["label"]));
}

const doings: Record<string, (doubt: HTMLElement) => void> = {
  correct: (doubt) => correct(doubt, { id: Number(doubt.dataset["said"]), name: doubt.dataset["saidName"] ?? "" }),
  keep,
  ask,
  other,
};

document.addEventListener("click", (event) => {
  const button = (event.target as Element).closest<HTMLElement>("[data-do]");
  const doubt = button?.closest<HTMLElement>(".doubt");
  if (!button || !doubt) return;
  go(doubt);
  doings[button.dataset["do"] ?? ""]?.(doubt);
});

document.addEventListener("keydown", (event) => {
  const target = event.target as Element;
  if (find.isOpen || event.ctrlKey || event.metaKey || event.altKey || target.matches("input, select, textarea")) return;
  if (event.key === "Enter" && target.closest("a, button")) return;
  const on = (does: keyof typeof doings) => (): void => (here ? doings[does]?.(here) : undefined);
  const keys: Record<string, () => void> = {
    j: () => step(1),
    arrowdown: () => step(1),
    k: () => step(-1),
    arrowup: () => step(-1),
    enter: on("correct"),
    o: on("keep"),
    a: on("ask"),
    e: on("other"),
    z: () => void takeBack(),
  };
  const does = keys[event.key.toLowerCase()];
  if (!does) return;
  event.preventDefault();
  does();
});

go(all()[0]);
