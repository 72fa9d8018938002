// Data: the list by keyboard: / searches, J and K move, Enter opens, N goes on to the next page.
const rows = [...document.querySelectorAll<HTMLTableRowElement>("#rows tr")];
let here = -1;

function go(to: number): void {
  if (!rows.length) return;
  rows[here]?.classList.remove("here");
  here = Math.max(0, Math.min(rows.length - 1, to));
  const row = rows[here];
  row?.classList.add("here");
  row?.querySelector<HTMLAnchorElement>("a.item-link")?.focus({ preventScroll: true });
  row?.scrollIntoView({ block: "nearest" });
}

const typing = (target: EventTarget | null): boolean =>
  target instanceof Element && target.matches("input:not([type=checkbox]), select, textarea");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && typing(event.target)) (event.target as HTMLElement).blur();
  if (typing(event.target)) return;
  const next = document.querySelector<HTMLAnchorElement>("#next-page");
  const doings: Record<string, () => void> = {
    j: () => go(here + 1),
    k: () => go(here - 1),
    n: () => next?.click(),
    "/": () => document.querySelector<HTMLInputElement>("#q")?.select(),
  };
  const does = doings[event.key.toLowerCase()];
  if (!does) return;
  event.preventDefault();
  does();
});

// A choice shows at once; the text waits for Enter.
for (const select of document.querySelectorAll<HTMLSelectElement | HTMLInputElement>(".filters select, .filters [type=checkbox]")) {
  select.addEventListener("change", () => select.form?.requestSubmit());
}
document.querySelector<HTMLFormElement>(".filters")?.addEventListener("submit", (event) => {
  // Empty filters would only make the address long.
  for (const field of (event.target as HTMLFormElement).querySelectorAll<HTMLInputElement>("[name]")) {
    field.disabled = !field.value;
  }
});
window.addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll<HTMLInputElement>(".filters [name]")) field.disabled = false;
});
