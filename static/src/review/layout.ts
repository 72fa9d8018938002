// Layout: suggestions of images as tiles or as rows, as this browser's owner likes it.
import { byId } from "../shared/dom";
import { page } from "./store";

const REMEMBERED = "annotator-review-rows";
const table = byId<HTMLTableElement>("list");
const button = document.querySelector<HTMLButtonElement>("#layout");

/** How many suggestions lie side by side: where arrows up and down lead. */
export function columns(): number {
  const tiles = [...(table.tBodies[0]?.rows ?? [])];
  const top = tiles[0]?.offsetTop;
  const below = tiles.findIndex((tile) => tile.offsetTop !== top);
  return Math.max(below < 0 ? tiles.length : below, 1);
}

/** Tiles instead of rows, or the other way round; texts are always rows. */
export function toggle(): void {
  const rows = table.classList.contains("tiles");
  try {
    localStorage.setItem(REMEMBERED, rows ? "1" : "");
  } catch {
    // a private window: it begins with tiles again
  }
  show(!rows);
}

function show(tiles: boolean): void {
  table.classList.toggle("tiles", tiles);
  button?.setAttribute("aria-pressed", String(tiles));
}

function remembered(): boolean {
  try {
    return localStorage.getItem(REMEMBERED) === "1";
  } catch {
    return false;
  }
}

button?.addEventListener("click", toggle);
show(page.image && !remembered());
