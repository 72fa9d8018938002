// Hand: the items that this tab holds, in the order to show them; the first is on screen.
import type { NextItem } from "./types";

export class Hand {
  private items: NextItem[] = [];
  private settled = new Set<number>(); // answered or skipped here, though the server may not know yet
  private newest = 0; // the latest request whose reply was taken in

  get current(): NextItem | undefined {
    return this.items[0];
  }

  get ahead(): NextItem[] {
    return this.items.slice(1);
  }

  get size(): number {
    return this.items.length;
  }

  /** The item on screen is done with; the next one comes forward. */
  settle(): NextItem | undefined {
    const item = this.items.shift();
    if (item) this.settled.add(item.id);
    return item;
  }

  /** An item that was answered or skipped before the page was loaded, and is not sent yet. */
  markSettled(itemId: number): void {
    this.settled.add(itemId);
    this.drop(itemId);
  }

  /** It may come again: its answer was refused and left out. */
  reopen(itemId: number): void {
    this.settled.delete(itemId);
  }

  /** Bring an item back on screen, before the one shown. */
  bringBack(item: NextItem): void {
    this.settled.delete(item.id);
    this.items = [item, ...this.items.filter((other) => other.id !== item.id)];
  }

  /** It is not ours any more (refused, or another's). */
  drop(itemId: number): void {
    this.items = this.items.filter((item) => item.id !== itemId);
  }

  /**
   * Take in what the server says this tab holds, as the reply to request number `asked`.
   *
   * The order stays, new items come last. Whoever looks at an item must not see its suggestion change under the
   * hand, so the one on screen stays as it is; those ahead take the newer suggestion. What the server no longer
   * names is let go, unless this reply is older than one already taken in, or `whole` is false.
   */
  take(told: NextItem[], asked: number, whole: boolean): void {
    const fresh = new Map(told.filter((item) => !this.settled.has(item.id)).map((item) => [item.id, item]));
    const latest = asked >= this.newest;
    this.newest = Math.max(this.newest, asked);
    const kept = this.items
      .filter((item, place) => place === 0 || !whole || !latest || fresh.has(item.id))
      .map((item, place) => (place > 0 && latest ? (fresh.get(item.id) ?? item) : item));
    const known = new Set(kept.map((item) => item.id));
    this.items = [...kept, ...[...fresh.values()].filter((item) => !known.has(item.id))];
  }
}
