// Base: what every page can do: close menus, open dialogs, copy, say how long ago something was.
import { t } from "./shared/dom";
import { ago } from "./shared/format";
import { toast } from "./shared/toast";

function closeMenus(except?: Element | null): void {
  for (const menu of document.querySelectorAll<HTMLDetailsElement>("details.menu[open]")) {
    if (menu !== except) menu.open = false;
  }
}

document.addEventListener("click", (event) => {
  const target = event.target as Element;
  closeMenus(target.closest("details.menu"));
  const opener = target.closest<HTMLElement>("[data-opens]");
  if (opener) document.querySelector<HTMLDialogElement>(opener.dataset["opens"] ?? "")?.showModal();
  if (target.closest("[data-closes]")) target.closest("dialog")?.close();
  if (target instanceof HTMLDialogElement && onBackdrop(target, event)) target.close();
  const copier = target.closest<HTMLElement>("[data-copy]");
  if (copier) void copy(copier);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = document.querySelector<HTMLDetailsElement>("details.menu[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary")?.focus();
});

// A form sent twice by a double click does its work once.
document.addEventListener("submit", (event) => {
  const form = event.target as HTMLFormElement;
  if (event.defaultPrevented || form.method === "get" || form.dataset["again"] !== undefined) return;
  if (form.dataset["sent"]) event.preventDefault();
  form.dataset["sent"] = "1";
  event.submitter?.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll<HTMLFormElement>("form[data-sent]")) delete form.dataset["sent"];
  for (const button of document.querySelectorAll("form [aria-busy=true]")) button.removeAttribute("aria-busy");
});

function onBackdrop(dialog: HTMLDialogElement, { clientX: x, clientY: y }: MouseEvent): boolean {
  const box = dialog.getBoundingClientRect();
  return (x || y) !== 0 && (x < box.left || x > box.right || y < box.top || y > box.bottom);
}

/** data-copy holds the text, or the selector of the field that does. */
async function copy(button: HTMLElement): Promise<void> {
  const given = button.dataset["copy"] ?? "";
  const field = given.startsWith("#") ? document.querySelector<HTMLInputElement>(given) : null;
  await navigator.clipboard?.writeText(field ? field.value : given);
  field?.select();
  toast(button.dataset["copied"] ?? t("Copied"));
}

/** <time datetime="…" data-ago> says how long ago, and keeps saying it. */
function tellTimes(): void {
  for (const time of document.querySelectorAll<HTMLTimeElement>("time[data-ago]")) {
    time.textContent = ago(new Date(time.dateTime));
    time.title = new Date(time.dateTime).toLocaleString(document.documentElement.lang);
  }
}
tellTimes();
setInterval(tellTimes, 20_000);
document.querySelector(".nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
