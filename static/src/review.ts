// Review: the list of suggestions, the threshold above it and the batches below, kept up to date with each other.
import { byId, t } from "./shared/dom";
import { listen } from "./shared/live";
import * as batches from "./review/batches";
import * as certify from "./review/certify";
import * as cutter from "./review/cutter";
import * as list from "./review/list";
import { type Job, type State, page, view } from "./review/store";

const newer = byId("newer");
let newest = page.snapshot;

function all(): void {
  void list.reload();
  void cutter.refresh();
}

list.onDecision(() => cutter.refreshSoon());
batches.onBatch(all);
cutter.onAccepted(() => {
  all();
  void batches.refresh();
});

certify.onAccepted(() => {
  all();
  void batches.refresh();
});

byId<HTMLSelectElement>("label").addEventListener("change", ({ target }) => {
  view.label = (target as HTMLSelectElement).value;
  all();
});
byId<HTMLSelectElement>("state").addEventListener("change", ({ target }) => {
  view.state = (target as HTMLSelectElement).value as State;
  void list.reload();
});
byId<HTMLSelectElement>("order").addEventListener("change", ({ target }) => {
  view.order = (target as HTMLSelectElement).value;
  void list.reload();
});

// A newer model never changes the list under the reader's hands: it is announced, and shown when asked for.
function hearOfSnapshot({ number }: { number: number }): void {
  newest = Math.max(newest, number);
  if (newest <= (view.snapshot ?? newest)) return;
  (newer.firstElementChild as HTMLElement).textContent = t("new model", { number: newest, shown: view.snapshot ?? "" });
  newer.hidden = false;
}
newer.querySelector("button")?.addEventListener("click", () => {
  newer.hidden = true;
  view.snapshot = newest;
  const chip = document.querySelector(".page-head .chip.model");
  if (chip) chip.textContent = t("model", { number: newest });
  all();
});

// Restored by the browser after "back", the filters would say something else than the list shows.
for (const select of document.querySelectorAll<HTMLSelectElement>(".filters select")) select.selectedIndex = 0;
all();
batches.show();
certify.show();
listen(page.events, {
  on: {
    job: (job: Job) => batches.hear(job),
    snapshot: (news: { number: number }) => {
      hearOfSnapshot(news);
      if (certify.running()) void certify.refresh();
    },
    certificate: () => void certify.refresh(),
  },
  poll: () => {
    if (batches.running().length) void batches.refresh();
    if (certify.running()) void certify.refresh();
  },
  every: 2500,
});
