// Item: E opens the search for the right label, O makes it a gold item, J and K step through the data.
import { ApiError, request } from "./shared/api";
import { byId, pageData, t } from "./shared/dom";
import { finder, type Label } from "./shared/finder";
import { toast } from "./shared/toast";

interface Data {
  correct: string;
  unflag: string;
  labels: Label[];
  label: number | null;
}

const data = pageData<Data>();
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

const dialog = byId<HTMLDialogElement>("correct-dialog");
const find = finder(dialog, data.labels, (label) => void correct(label));
const open = (): void => find.open(data.label);
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
  else if (name === "o") document.getElementById("use-as-gold")?.click();
  else if (links[name]) document.getElementById(links[name])?.click();
  else return;
  event.preventDefault();
});

const told = sessionStorage.getItem("told");
if (told) toast(told);
sessionStorage.removeItem("told");
