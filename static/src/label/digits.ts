// Digits: which label each digit gives. Few labels keep theirs for good; of many, the likeliest nine get them.
import type { Label, Suggestion } from "./types";

const ROW = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"];
export const FIXED = 10; // up to so many labels never move
export const LIKELIEST = 9;

/** A label that a key gives; `key` is empty where only a click or the search reaches it. */
export interface Slot {
  label: Label;
  key: string;
  p: number | null; // its suggested probability, in [0, 1]
}

/** The labels with their keys, in the order to show them; `main` are the big ones, `rest` all others. */
export function slots(labels: Label[], suggestion: Suggestion | null): { main: Slot[]; rest: Slot[] } {
  const p = new Map(suggestion?.top ?? []);
  const slot = (label: Label, key: string): Slot => ({ label, key, p: p.get(label.id) ?? null });
  if (labels.length <= FIXED) {
    const keys = fixedKeys(labels);
    return { main: labels.map((label) => slot(label, keys.get(label.id) ?? "")), rest: [] };
  }
  const byId = new Map(labels.map((label) => [label.id, label]));
  const likely = (suggestion?.top ?? []).map(([id]) => byId.get(id)).filter((label) => label !== undefined);
  const first = [...new Set([...likely, ...labels])].slice(0, LIKELIEST);
  const free = ROW.slice(0, LIKELIEST).filter((digit) => !labels.some((label) => label.hotkey === digit));
  const main = first.map((label) => slot(label, label.hotkey.toLowerCase() || (free.shift() ?? "")));
  const rest = labels.filter((label) => !first.includes(label)).map((label) => slot(label, label.hotkey.toLowerCase()));
  return { main, rest };
}

/** Own keys first; then a label called "7" is the digit 7; the others take the free digits in order. */
function fixedKeys(labels: Label[]): Map<number, string> {
  const keys = new Map<number, string>();
  const taken = new Set<string>();
  const give = (label: Label, key: string): void => {
    if (key && !taken.has(key) && !keys.has(label.id)) {
      keys.set(label.id, key);
      taken.add(key);
    }
  };
  for (const label of labels) give(label, label.hotkey.toLowerCase());
  for (const label of labels) if (ROW.includes(label.name.trim())) give(label, label.name.trim());
  for (const label of labels) give(label, ROW.find((digit) => !taken.has(digit)) ?? "");
  return keys;
}
