// Outbox: what the person said, kept on this device until the server has it; sent in order, each once.
import { ApiError, request } from "../shared/api";
import { hasLocks, ifFree, keepLock, uuid } from "../shared/browser";
import { openStore, type Entry, type Store } from "./store";
import type { AnswerRow, Reply } from "./types";

export interface OutboxState {
  waiting: number; // entries not sent yet, of all tabs
  held: number; // of these, answers and skips of this tab: their items count as ours until they are sent
  refused: Entry[];
  trouble: "" | "away" | "signin"; // why sending has stopped
}

interface Listener {
  /** The server has it. `asked` is the number of the request. */
  sent: (entry: Entry, reply: Reply | null, asked: number) => void;
  refused: (entry: Entry) => void;
  changed: (state: OutboxState) => void;
  /** How many items to ask for along with an entry of this tab. */
  wanted: () => number;
}

const LONGEST_WAIT = 30_000; // ms between tries while the server is away
const ORPHANED = 60_000; // ms after which an entry without a living tab is sent by another; where there are no locks
const nameOf = (tab: string): string => `annotator-tab ${tab}`;
let requests = 0;

/** A number for a request that asks for items: later ones are higher. */
export const nextRequest = (): number => ++requests;

/**
 * This tab's id: it outlives a reload. A duplicated tab starts with a copy of it, so the lock decides who keeps it;
 * the lock is also what says that this tab is alive and sends its own entries.
 */
export async function claimTab(): Promise<string> {
  const kept = sessionStorage.getItem("annotator-tab");
  if (kept && (await keepLock(nameOf(kept), 600))) return kept;
  const tab = uuid();
  sessionStorage.setItem("annotator-tab", tab);
  await keepLock(nameOf(tab), 600);
  return tab;
}

/** Give back what tabs of this browser held that are gone, or their items would wait until the leases run out. */
export async function releaseGone(api: string, tab: string): Promise<void> {
  const place = `annotator-tabs ${api}`;
  const known = JSON.parse(localStorage.getItem(place) ?? "[]") as string[];
  const gone: string[] = [];
  for (const other of known.filter((id) => id !== tab)) {
    await ifFree(nameOf(other), async () => {
      await request(`${api}/release`, { method: "POST", body: { tab: other }, timeout: 3000 }).then(() => gone.push(other), () => undefined);
    });
  }
  localStorage.setItem(place, JSON.stringify([...new Set([...known, tab])].filter((id) => !gone.includes(id)).slice(-20)));
}

export class Outbox {
  private sending = false;
  private again = false;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private wait = 1000;
  private trouble: OutboxState["trouble"] = "";
  private writes: Promise<void> = Promise.resolve();
  private last = 0;
  private readonly answers = new Map<string, number>(); // answer ids by the key of the entry that gave them
  private readonly unsent = new Map<string, Entry>(); // of this tab, in order: what the store holds, without waiting for it

  private constructor(
    private readonly store: Store,
    readonly tab: string,
    private readonly listener: Listener,
  ) {}

  static async open(user: number, tab: string, listener: Listener): Promise<Outbox> {
    const outbox = new Outbox(await openStore(user), tab, listener);
    addEventListener("online", () => outbox.sendNow());
    addEventListener("pagehide", () => outbox.sendWhileLeaving());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) outbox.sendNow();
    });
    setInterval(() => void outbox.sendOrphans(), 30_000);
    return outbox;
  }

  /** Everything this person has kept in this browser, oldest first. */
  all(): Promise<Entry[]> {
    return this.store.all();
  }

  /** Keep it, then send it when its turn comes. Returns once it is on disk. */
  async add(entry: Omit<Entry, "key" | "at" | "tab" | "tries"> & { key?: string }): Promise<void> {
    this.last = Math.max(this.last + 1, Date.now()); // two within a millisecond keep their order
    const whole: Entry = { ...entry, key: entry.key ?? uuid(), at: this.last, tab: this.tab, tries: 0 };
    this.unsent.set(whole.key, whole);
    this.writes = this.writes.then(() => this.store.put(whole)).catch(() => this.sendUnkept(whole));
    await this.writes;
    void this.tell();
    void this.send();
  }

  /**
   * The page goes: hand the browser what still waits, to be sent without it. All stays in the store and is sent again
   * with its key when the page is next opened, so nothing depends on this; it only keeps work from waiting until then.
   */
  private sendWhileLeaving(): void {
    const entries = [...this.unsent.values()];
    const undone = new Set(entries.map((entry) => entry.of));
    for (const entry of entries) {
      if (!["answer", "skip", "flag"].includes(entry.kind) || undone.has(entry.key)) return; // what follows rests on it
      post(entry, 0).catch(() => undefined);
    }
  }

  /** Try now, however long the next try would be off. */
  sendNow(): void {
    this.wait = 1000;
    void this.send();
  }

  /** Send again what was refused, or forget it; the person decides. */
  async settle(key: string, what: "again" | "forget"): Promise<void> {
    const entry = (await this.store.all()).find((other) => other.key === key);
    if (!entry) return;
    if (what === "forget") await this.store.remove(key);
    else await this.store.put(withoutRefusal(entry));
    await this.tell();
    void this.send();
  }

  /** Say how it stands. */
  async tell(): Promise<void> {
    const entries = await this.store.all();
    const waiting = entries.filter((entry) => !entry.refused);
    this.listener.changed({
      waiting: waiting.length,
      held: waiting.filter((entry) => entry.tab === this.tab && (entry.kind === "answer" || entry.kind === "skip")).length,
      refused: entries.filter((entry) => entry.refused),
      trouble: waiting.length ? this.trouble : "",
    });
  }

  private async send(): Promise<void> {
    this.again = true;
    if (this.sending) return;
    this.sending = true;
    clearTimeout(this.retry);
    try {
      while (this.again) {
        this.again = false;
        await this.drain(this.tab);
      }
    } finally {
      this.sending = false;
    }
  }

  /** Entries of tabs that are gone: closed, crashed, or from before the browser was started anew. */
  async sendOrphans(): Promise<void> {
    const others = new Map<string, number>();
    for (const entry of await this.store.all()) if (entry.tab !== this.tab && !entry.refused) others.set(entry.tab, entry.at);
    for (const [tab, newest] of others) {
      if (hasLocks()) await ifFree(nameOf(tab), () => this.drain(tab));
      else if (Date.now() - newest > ORPHANED) await this.drain(tab);
    }
  }

  /** Send this tab's entries in order, until none is left or the server cannot take more. */
  private async drain(tab: string): Promise<void> {
    for (;;) {
      const entries = (await this.store.all()).filter((entry) => entry.tab === tab && !entry.refused);
      const entry = entries[0];
      if (!entry) break;
      if (await this.cancelled(entry, entries)) continue;
      if (!(await this.sendOne(entry))) break;
    }
    await this.tell();
  }

  /** What was never tried and is undone already need not be sent at all. */
  private async cancelled(entry: Entry, entries: Entry[]): Promise<boolean> {
    const undo = entries.find((other) => other.of === entry.key);
    if (!undo || entry.tries > 0) return false;
    await this.store.remove(entry.key, undo.key);
    this.unsent.delete(entry.key);
    this.unsent.delete(undo.key);
    return true;
  }

  private async sendOne(entry: Entry): Promise<boolean> {
    const asked = nextRequest();
    try {
      if (entry.tries === 0) await this.store.put({ ...entry, tries: 1 }); // from now on the server may have it
      if (entry.kind === "undo" && entry.answer === undefined) {
        const answer = this.answers.get(entry.of ?? "") ?? (await answerTo(entry));
        if (answer !== undefined) entry.answer = answer;
      }
      const reply = await post(entry, entry.tab === this.tab ? this.listener.wanted() : 0);
      if (reply?.answer) this.answers.set(entry.key, reply.answer.id);
      await this.store.remove(entry.key);
      this.unsent.delete(entry.key);
      this.trouble = "";
      this.wait = 1000;
      this.listener.sent(entry, reply, asked);
      await this.tell();
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return this.failed(entry, error);
    }
  }

  private async failed(entry: Entry, error: ApiError): Promise<boolean> {
    const signedOut = error.status === 401 || (error.status === 403 && error.code !== "not_allowed");
    if (error.passing || signedOut) {
      this.trouble = signedOut ? "signin" : "away";
      this.retry = setTimeout(() => void this.send(), this.wait);
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
      return false;
    }
    this.unsent.delete(entry.key);
    if (entry.kind === "undo" && error.status === 404) {
      await this.store.remove(entry.key); // it is undone already
      return true;
    }
    const refused = { ...entry, refused: { status: error.status, code: error.code, detail: error.message } };
    await this.store.put(refused);
    this.listener.refused(refused);
    return true;
  }

  /** The disk is full or the store broken: sending at once is the next best. */
  private async sendUnkept(entry: Entry): Promise<void> {
    const asked = nextRequest();
    try {
      this.listener.sent(entry, await post(entry, this.listener.wanted()), asked);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.listener.refused({ ...entry, refused: { status: error.status, code: error.code, detail: error.message } });
    }
  }
}

function withoutRefusal({ refused: _, ...entry }: Entry): Entry {
  return entry;
}

/** The id of this person's current answer to the entry's item; undefined where there is none. */
async function answerTo({ api, item }: Entry): Promise<number | undefined> {
  const { results } = await request<{ results: AnswerRow[] }>(`${api}/answers?author=me&limit=100`);
  return results.find((answer) => answer.item === item)?.id;
}

async function post(entry: Entry, count: number): Promise<Reply | null> {
  const { api, item, tab } = entry;
  const query = `?tab=${encodeURIComponent(tab)}`;
  switch (entry.kind) {
    case "answer": {
      const body = { item, label: entry.label, key: entry.key, seconds: entry.seconds ?? null, tab, count };
      return request<Reply>(`${api}/answers`, { method: "POST", body, keepalive: true });
    }
    case "skip":
      return request<Reply>(`${api}/skips`, { method: "POST", body: { item, tab, count }, keepalive: true });
    case "unskip":
      return request<Reply>(`${api}/skips/${item}${query}`, { method: "DELETE" });
    case "flag":
      return request<Reply>(`${api}/flags`, { method: "POST", body: { item, note: entry.note ?? "", tab, count: 0 }, keepalive: true });
    case "unflag":
      return request<Reply>(`${api}/flags/${item}`, { method: "DELETE" });
    case "undo":
      return entry.answer === undefined ? null : request<Reply>(`${api}/answers/${entry.answer}${query}`, { method: "DELETE" });
  }
}
