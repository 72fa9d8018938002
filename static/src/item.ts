// Item: E opens the search for the right label, J and K step through the data.
import { ApiError, request } from "./shared/api";
import { byId, h, pageData, t } from "./shared/dom";
import { toast } from "./shared/toast";

interface Label {
  id: number;
  name: string;
}
interface Data {
  correct: string;
  unflag: string;
  labels: Label[];
  label: number | null;
}

const data = pageData<Data>();
const dialog = byId<HTMLDialogElement>("correct-dialog");
const find = byId<HTMLInputElement>("find");
const list = byId("found");
let found: Label[] = [];
let chosen = 0;

/** Labels whose name has all the words typed; those that begin with it first. */
function matching(typed: string): Label[] {
  const wanted = typed.trim().toLocaleLowerCase();
  const words = wanted.split(/\s+/);
  const named = data.labels.filter(({ name }) => words.every((word) => name.toLocaleLowerCase().includes(word)));
  const begins = (label: Label): number => Number(!label.name.toLocaleLowerCase().startsWith(wanted));
  return named.sort((a, b) => begins(a) - begins(b) || a.name.localeCompare(b.name));
}

function show(): void {
  found = matching(find.value);
  chosen = Math.max(0, Math.min(chosen, found.length - 1));
  list.replaceChildren(
    ...found.map((label, place) =>
      h(
        "li",
        { role: "option", id: `option-${place}`, "aria-selected": String(place === chosen), onclick: () => void correct(label) },
        h("span", { class: "grow", dir: "auto" }, label.name),
        label.id === data.label && h("span", { class: "muted small" }, "✓"),
      ),
    ),
  );
  if (!found.length) list.append(h("li", { class: "muted" }, t("No label is called so.")));
  find.setAttribute("aria-activedescendant", found.length ? `option-${chosen}` : "");
  list.children[chosen]?.scrollIntoView({ block: "nearest" });
}

let busy = false;
// One key for one correction: a second press or a lost reply does not make two.
let key = crypto.randomUUID();
async function correct(label: Label): Promise<void> {
  if (busy) return;
  busy = true;
  try {
    await request(data.correct, { method: "POST", body: { label: label.id, key } });
    sessionStorage.setItem("told", t("Corrected: %(label)s", { label: label.name }));
    location.reload();
  } catch (error) {
    const refusal = error as ApiError;
    if (!refusal.passing) key = crypto.randomUUID();
    toast(refusal.status === 0 ? t("The server cannot be reached. Try again.") : refusal.message, { bad: true });
  } finally {
    busy = false;
  }
}

find.addEventListener("input", () => ((chosen = 0), show()));
find.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) chosen = (chosen + step + found.length) % Math.max(found.length, 1);
  else if (event.key === "Enter") {
    const label = found[chosen];
    if (label) void correct(label);
  } else return;
  event.preventDefault();
  show();
});

function open(): void {
  find.value = "";
  chosen = 0;
  if (!dialog.open) dialog.showModal();
  find.focus();
  show();
}
byId("correct").addEventListener("click", () => queueMicrotask(open));

document.getElementById("unflag")?.addEventListener("click", async () => {
  try {
    await request(data.unflag, { method: "DELETE" });
    sessionStorage.setItem("told", t("Flags taken off"));
    location.reload();
  } catch (error) {
    toast((error as Error).message, { bad: true });
  }
});

document.addEventListener("keydown", (event) => {
  const target = event.target as Element;
  if (dialog.open || event.ctrlKey || event.metaKey || event.altKey || target.matches("input, select, textarea")) return;
  const links: Record<string, string> = { j: "behind", k: "before", ArrowRight: "behind", ArrowLeft: "before", Escape: "back" };
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (name === "e") open();
  else if (links[name]) document.getElementById(links[name])?.click();
  else return;
  event.preventDefault();
});

const told = sessionStorage.getItem("told");
if (told) toast(told);
sessionStorage.removeItem("told");
