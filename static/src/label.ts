// Label: the labelling page. Wires keys, buttons and news to the session.
import { byId, pageData } from "./shared/dom";
import { listen } from "./shared/live";
import { FIXED } from "./label/digits";
import { Keymap, keyOf, keysDialog, type Action } from "./label/keys";
import { claimTab } from "./label/outbox";
import { Session } from "./label/session";
import type { PageData, Progress } from "./label/types";

const TEND_EVERY = 5000; // ms
const REPEATING = new Set<Action>(["zoomIn", "zoomOut"]);

const data = pageData<PageData>();
const keymap = new Keymap(data.keymap, data.urls.me);
const session = new Session(data, keymap);
const showKeys = keysDialog(keymap, () => session.view.slots, data.labels.length <= FIXED);
const guidelines = byId<HTMLDialogElement>("guidelines");
let lastInput = Date.now();

const RUN: Record<Action, (pressed: number) => void> = {
  accept: (pressed) => session.accept(pressed),
  skip: (pressed) => session.skip(pressed),
  flag: () => session.flag(),
  undo: () => void session.undo(),
  search: () => session.search(),
  help: () => showKeys(),
  zoomIn: () => session.view.zoom(1),
  zoomOut: () => session.view.zoom(-1),
  // Not modal: one can read and label side by side. It must not take the focus, or Enter would close it.
  guidelines: () => {
    if (guidelines.open) return guidelines.close();
    guidelines.show();
    byId("main").focus({ preventScroll: true });
  },
};

/** Whether the key belongs to what has the focus: a field, an open menu, or a button pressed by Enter or Space. */
function isTaken(event: KeyboardEvent): boolean {
  if (document.querySelector("dialog:modal")) return true;
  const focused = event.target instanceof Element ? event.target : null;
  // A dialog that has just closed keeps the focus until the next frame; a quick hand is faster.
  if (!focused || focused.closest("dialog:not([open])")) return false;
  if (focused.closest("input, textarea, select, [contenteditable], details.menu[open]")) return true;
  return (event.key === "Enter" || event.key === " ") && focused.closest("button, a, summary") !== null;
}

document.addEventListener("keydown", (event) => {
  lastInput = Date.now();
  if (event.defaultPrevented || event.isComposing || isTaken(event)) return;
  if (event.ctrlKey || event.metaKey || event.altKey) {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z") {
      event.preventDefault();
      void session.undo();
    }
    return;
  }
  if (press(event)) event.preventDefault();
});

function press(event: KeyboardEvent): boolean {
  const key = keyOf(event);
  const label = session.view.labelOf(key);
  const action = keymap.action(key);
  if (label === undefined && action === undefined) {
    if (key === "Escape" && guidelines.open) guidelines.close();
    return scrolls(key);
  }
  // A key held down must not label one item after the other.
  if (!event.repeat || (action && REPEATING.has(action))) {
    if (label !== undefined) session.answer(label, event.timeStamp);
    else if (action) RUN[action](event.timeStamp);
  }
  return true;
}

function scrolls(key: string): boolean {
  const pages = { ArrowDown: 0.15, ArrowUp: -0.15, PageDown: 1, PageUp: -1 }[key];
  return pages !== undefined && session.view.scroll(pages);
}

document.addEventListener("click", (event) => {
  const target = event.target as Element;
  const button = target.closest<HTMLElement>("[data-action]");
  if (button) {
    // After a click the button must not keep the focus: Enter would press it again instead of accepting.
    if (event.detail > 0) button.blur();
    RUN[button.dataset["action"] as Action](event.timeStamp);
  }
  const link = target.closest<HTMLAnchorElement>("a[href]");
  if (link && link.origin === location.origin && !link.target && !event.ctrlKey && !event.metaKey && !event.shiftKey) session.release();
});

byId("unflag").addEventListener("click", () => session.unflag());
byId("note-form").addEventListener("submit", (event) => {
  event.preventDefault();
  session.note(byId<HTMLInputElement>("note").value.trim());
  byId("main").focus({ preventScroll: true });
});
byId("note").addEventListener("keydown", (event) => {
  if (event.key === "Escape") byId("main").focus({ preventScroll: true });
});

for (const kind of ["pointerdown", "pointermove", "wheel", "touchstart"]) {
  document.addEventListener(kind, () => (lastInput = Date.now()), { passive: true });
}
document.addEventListener("visibilitychange", () => {
  session.hidden(document.hidden);
  if (!document.hidden) session.tend(true);
});
addEventListener("pageshow", (event) => {
  if (event.persisted) session.comeBack();
});
setInterval(() => session.tend(!document.hidden && Date.now() - lastInput < data.project.lease_seconds * 1000), TEND_EVERY);

await session.start(await claimTab());
let polling: ReturnType<typeof setTimeout> | undefined;

/** A job tells of itself several times a second; once a second is enough to look. */
function pollSoon(): void {
  polling ??= setTimeout(() => {
    polling = undefined;
    void session.poll();
  }, 1000);
}

listen(data.urls.events, {
  on: {
    progress: (progress: Progress) => session.news(progress),
    snapshot: () => void session.poll(),
    job: pollSoon,
  },
  poll: () => void session.poll(),
});
