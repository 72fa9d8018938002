// Settings: labels are saved one by one as they are changed; deleting waits for the project's name.
import { ApiError, request } from "./shared/api";
import { byId, h, pageData, t } from "./shared/dom";
import { toast } from "./shared/toast";

interface Label {
  name: string;
  description: string;
  hotkey: string;
  archived: boolean;
}

const { labels: address } = pageData<{ labels: string }>();
const rows = document.querySelectorAll<HTMLTableRowElement>("tr[data-label]");
const addressOf = (row: HTMLTableRowElement): string => `${address.replace(/\/$/, "")}/${row.dataset["label"]}`;

function tell(row: HTMLTableRowElement, field: HTMLInputElement | null, message: string): void {
  for (const old of row.querySelectorAll(".error")) old.remove();
  for (const input of row.querySelectorAll("input")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
  if (!message) return;
  const place = field ?? row.querySelector("input");
  const id = `error-${row.dataset["label"]}`;
  place?.setAttribute("aria-invalid", "true");
  place?.setAttribute("aria-describedby", id);
  row.cells[0]?.append(h("p", { class: "error", id, role: "alert" }, message));
}

async function save(row: HTMLTableRowElement, change: Partial<Label>): Promise<Label | null> {
  try {
    const label = await request<Label>(addressOf(row), { method: "PATCH", body: change });
    tell(row, null, "");
    row.classList.add("saved");
    setTimeout(() => row.classList.remove("saved"), 1500);
    return label;
  } catch (error) {
    const refusal = error as ApiError;
    const [name] = Object.keys(refusal.fields ?? {});
    tell(row, name ? row.querySelector(`[name=${name}]`) : null, refusal.status === 0 ? t("unreachable") : refusal.message);
    return null;
  }
}

for (const row of rows) {
  for (const input of row.querySelectorAll<HTMLInputElement>("input")) {
    input.addEventListener("change", async () => {
      const saved = await save(row, { [input.name]: input.value });
      if (saved) input.value = saved[input.name as "name"];
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") input.blur();
    });
  }
  const button = row.querySelector<HTMLButtonElement>("[data-archive]");
  button?.addEventListener("click", async () => {
    const saved = await save(row, { archived: !row.classList.contains("archived") });
    if (!saved) return;
    row.classList.toggle("archived", saved.archived);
    button.textContent = saved.archived ? t("Bring back") : t("Archive");
    toast(saved.archived ? t("Archived") : t("Saved"));
  });
}

const find = document.getElementById("find-label") as HTMLInputElement | null;
find?.addEventListener("input", () => {
  const wanted = find.value.trim().toLocaleLowerCase();
  for (const row of rows) {
    const words = [...row.querySelectorAll("input")].map((input) => input.value.toLocaleLowerCase());
    row.hidden = !words.some((word) => word.includes(wanted));
  }
});

const typed = byId<HTMLInputElement>("delete-name");
const button = byId<HTMLButtonElement>("delete-button");
const allow = (): void => void (button.disabled = typed.value !== button.dataset["name"]);
typed.addEventListener("input", allow);
allow();
