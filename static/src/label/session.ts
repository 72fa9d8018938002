// Session: one person's labelling in one tab. What is done shows at once; the outbox tells the server behind it.
import { ApiError, request } from "../shared/api";
import { byId, t } from "../shared/dom";
import { percent } from "../shared/format";
import { toast } from "../shared/toast";
import { showBanners } from "./banners";
import { slots } from "./digits";
import { emptiness } from "./empty";
import { Hand } from "./hand";
import { fetchAhead } from "./image";
import { shown, type Keymap } from "./keys";
import { nextRequest, Outbox, releaseGone, type OutboxState } from "./outbox";
import { othersSaid } from "./others";
import { Picker } from "./picker";
import { Side, type JustAnswered } from "./side";
import { uuid } from "../shared/browser";
import type { Entry } from "./store";
import type { AnswerRow, NextItem, PageData, Progress, Reply } from "./types";
import { View } from "./view";

const AHEAD = 4; // items at hand, the one on screen included
const MOST = 50; // what the server hands to one tab
const LISTED = 20;

interface Answered extends JustAnswered {
  key: string; // of the newest answer to this item; empty where it was given before the page was loaded
}

type Done =
  | { kind: "answer"; row: Answered; item: NextItem }
  | { kind: "skip"; key: string; item: NextItem }
  | { kind: "change"; row: Answered; before: number };

export class Session {
  readonly view: View;
  readonly side: Side;
  private readonly picker = new Picker();
  private readonly hand = new Hand();
  private outbox!: Outbox;
  private just: Answered[] = [];
  private done: Done[] = []; // what Z takes back, newest last
  private readonly flagged = new Map<number, string>(); // notes by item
  private shownItem = 0;
  private shownAt = 0;
  private hiddenSince = 0;
  private held = 0; // answers and skips not sent yet
  private told = 0; // when the server last said what is ours, ms since 1970
  private loading = false;
  private again = false;
  private leaving = false;
  private trouble: ApiError | undefined;
  private waiting = 0; // open items in others' hands
  private paused: string[] = []; // admins to ask, where this person is paused
  private forOthers = 0; // open items that this person has answered and others must too

  constructor(
    readonly data: PageData,
    readonly keymap: Keymap,
  ) {
    this.view = new View(data.labels, (label) => this.answer(label), () => this.search(), () => keymap.key("search"));
    this.side = new Side(data.progress, data.labels, data.project.goal_accuracy, (row) => this.change(row as Answered));
  }

  async start(tab: string): Promise<void> {
    this.outbox = await Outbox.open(this.data.user, tab, {
      sent: (entry, reply, asked) => this.sent(entry, reply, asked),
      refused: (entry) => this.refused(entry),
      changed: (state) => this.outboxChanged(state),
      wanted: () => this.wanted(-1),
    });
    for (const entry of await this.outbox.all()) this.recall(entry);
    this.showJust();
    this.outbox.sendNow();
    await this.outbox.sendOrphans(); // before their items are given back
    await releaseGone(this.data.urls.api, tab);
    await Promise.all([this.fetchHand(), this.fetchJust()]);
  }

  // What the person does

  answer(label: number, pressed = performance.now()): void {
    const item = this.hand.current;
    if (!item || this.shownItem !== item.id) return;
    const key = uuid();
    const row: Answered = { key, item: item.id, label, text: item.text.slice(0, 120), name: item.name, image: item.image, state: "kept" };
    this.just = [row, ...this.just.filter((other) => other.item !== item.id)];
    this.done.push({ kind: "answer", row, item });
    this.leave(pressed, t("announce_saved", { label: this.nameOf(label) }));
    this.keep({ kind: "answer", key, item: item.id, label, seconds: this.secondsOf(pressed), shown: item });
    this.side.countMine(1);
    this.showJust();
  }

  accept(pressed?: number): void {
    const suggestion = this.hand.current?.suggestion;
    if (suggestion) this.answer(suggestion.label, pressed);
    else if (this.hand.current) toast(t("no_suggestion"));
  }

  skip(pressed = performance.now()): void {
    const item = this.hand.current;
    if (!item || this.shownItem !== item.id) return;
    const key = uuid();
    this.done.push({ kind: "skip", key, item });
    this.leave(pressed, t("announce_skipped"));
    this.keep({ kind: "skip", key, item: item.id, shown: item });
  }

  /** Flag the item; once it is flagged, write the note. */
  flag(): void {
    const item = this.hand.current;
    if (!item) return;
    if (!this.flagged.has(item.id)) {
      this.flagged.set(item.id, "");
      this.keep({ kind: "flag", item: item.id, note: "", shown: item });
      this.announce(t("flag_on", { key: shown(this.keymap.key("flag")) }));
      this.view.flag("");
    } else {
      byId<HTMLInputElement>("note").focus();
    }
  }

  unflag(): void {
    const item = this.hand.current;
    if (!item || !this.flagged.delete(item.id)) return;
    this.keep({ kind: "unflag", item: item.id });
    this.view.flag(undefined);
    this.announce(t("flag_off"));
  }

  note(text: string): void {
    const item = this.hand.current;
    if (!item) return;
    this.flagged.set(item.id, text);
    this.keep({ kind: "flag", item: item.id, note: text, shown: item });
    toast(t("note_kept"));
  }

  async undo(): Promise<void> {
    const last = this.done.pop();
    if (!last) return this.undoByServer();
    if (last.kind === "change") {
      this.giveAnew(last.row, last.before);
      return;
    }
    // Who has answered may see what others said; taking the answer back does not make it unseen.
    if (last.kind === "answer" && last.row.others) last.item.others = last.row.others;
    if (last.kind === "skip") this.keep({ kind: "unskip", item: last.item.id, of: last.key });
    else this.takeBack(last.row);
    this.bringBack(last.item);
  }

  search(): void {
    const item = this.hand.current;
    if (!item) return;
    this.picker.open({ title: t("pick_title"), slots: this.view.slots, choose: (label) => this.answer(label) });
  }

  // What happens behind it

  /** The item on screen is done with: show the next one now, and say so. */
  private leave(pressed: number, said: string): void {
    this.hand.settle();
    this.showCurrent(said);
    // From the key to the frame that shows the next item; bench/label_latency.py reads it.
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => performance.measure("next-item", { start: pressed, end: performance.now() });
      channel.port2.postMessage(null);
    });
  }

  private keep(entry: Omit<Entry, "key" | "at" | "tab" | "tries" | "project" | "api"> & { key?: string }): void {
    if (entry.kind === "answer" || entry.kind === "skip") this.held += 1;
    void this.outbox.add({ ...entry, project: this.data.project.id, api: this.data.urls.api });
  }

  private takeBack(row: Answered): void {
    this.just = this.just.filter((other) => other !== row);
    this.side.countMine(-1);
    if (row.state === "refused") void this.outbox.settle(row.key, "forget");
    else this.keep({ kind: "undo", item: row.item, of: row.key });
    this.showJust();
  }

  private bringBack(item: NextItem): void {
    this.hand.bringBack(item);
    this.showCurrent(t("announce_undone"));
  }

  /** Nothing of this page is left to take back: take back what was done before it was loaded. */
  private async undoByServer(): Promise<void> {
    try {
      const reply = await request<Reply>(`${this.data.urls.api}/undo`, { method: "POST", body: { tab: this.outbox.tab } });
      if (!reply.item) return;
      const taken = this.just.length;
      this.just = this.just.filter((row) => row.item !== reply.item?.id);
      if (this.just.length < taken) this.side.countMine(-1);
      if (reply.progress) this.side.show(reply.progress);
      this.showJust();
      this.bringBack(reply.item);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      toast(error.status === 404 ? t("nothing_to_undo") : error.passing ? t("undo_needs_server") : error.message, { bad: error.status !== 404 });
    }
  }

  private change(row: Answered): void {
    this.picker.open({
      title: t("change_title"),
      item: row.text || row.name,
      others: othersSaid(row.others, this.data.labels),
      now: row.label,
      slots: this.allSlots(),
      choose: (label) => {
        if (label === row.label && row.state !== "refused") return;
        this.done.push({ kind: "change", row, before: row.label });
        this.giveAnew(row, label);
      },
    });
  }

  private giveAnew(row: Answered, label: number): void {
    if (row.state === "refused") void this.outbox.settle(row.key, "forget");
    row.label = label;
    row.key = uuid();
    row.state = "kept";
    this.keep({ kind: "answer", key: row.key, item: row.item, label });
    this.showJust();
    toast(t("changed", { label: this.nameOf(label) }));
  }

  /** An entry that a page before this one has kept and could not send. */
  private recall(entry: Entry): void {
    if (entry.project !== this.data.project.id || !entry.shown) return;
    const item = entry.shown;
    if (entry.kind !== "flag") this.hand.markSettled(item.id);
    if (entry.tab !== this.outbox.tab) return;
    if (entry.kind === "flag") this.flagged.set(entry.item, entry.note ?? "");
    if (entry.kind === "skip") this.done.push({ kind: "skip", key: entry.key, item });
    if (entry.kind === "answer" && entry.label !== undefined) {
      const row: Answered = { key: entry.key, item: item.id, label: entry.label, text: item.text.slice(0, 120), name: item.name, image: item.image, state: entry.refused ? "refused" : "kept" };
      this.just.unshift(row);
      this.done.push({ kind: "answer", row, item });
    }
  }

  private sent(entry: Entry, reply: Reply | null, asked: number): void {
    const row = this.just.find((other) => other.key === entry.key);
    if (row) row.state = "sent";
    if (row && reply?.answer) row.others = reply.answer.others ?? [];
    if (row) this.showJust();
    if (entry.project !== this.data.project.id || !reply) return;
    if (reply.feedback) {
      const { right, label } = reply.feedback;
      toast(t(right ? "training_right" : "training_wrong", { label: this.nameOf(label), said: this.nameOf(entry.label ?? 0) }), { bad: !right });
    }
    if (reply.progress) this.side.show(reply.progress);
    if (entry.tab === this.outbox.tab && reply.next?.length) this.take(reply.next, asked, false);
    else if (!this.hand.current) void this.fetchHand();
  }

  private refused(entry: Entry): void {
    const row = this.just.find((other) => other.key === entry.key);
    if (!row) return;
    row.state = "refused";
    this.showJust();
  }

  private outboxChanged(state: OutboxState): void {
    this.held = state.held;
    showBanners(state, {
      signin: this.data.urls.signin,
      now: () => this.outbox.sendNow(),
      again: (entry) => void this.outbox.settle(entry.key, "again"),
      forget: (entry) => {
        void this.outbox.settle(entry.key, "forget");
        this.just = this.just.filter((row) => row.key !== entry.key);
        this.done = this.done.filter((done) => done.kind === "skip" ? done.key !== entry.key : done.row.key !== entry.key);
        this.hand.reopen(entry.item);
        this.showJust();
      },
      choose: (entry) => {
        const row = this.just.find((other) => other.key === entry.key);
        if (row) this.change(row);
      },
      nameOf: (label) => this.nameOf(label ?? 0),
    });
  }

  // Items from the server

  /** How many to ask for, so that the ones not sent yet do not count against those at hand. */
  private wanted(more = 0): number {
    return this.leaving ? 0 : Math.max(1, Math.min(MOST, AHEAD + this.held + more));
  }

  async fetchHand(check = false): Promise<void> {
    if (this.loading) {
      this.again = true;
      return;
    }
    this.loading = true;
    const count = this.wanted();
    const asked = nextRequest();
    try {
      const reply = await request<Reply>(`${this.data.urls.api}/next?count=${count}&tab=${encodeURIComponent(this.outbox.tab)}`);
      this.trouble = undefined;
      this.waiting = reply.waiting ?? 0;
      this.forOthers = reply.for_others ?? 0;
      this.paused = reply.paused ?? [];
      if (reply.progress) this.side.show(reply.progress);
      const items = reply.items ?? [];
      if (check) this.letGoOfLost(items);
      this.take(items, asked, items.length < count);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.trouble = error;
      if (!this.hand.current) this.showCurrent();
    } finally {
      this.loading = false;
    }
    if (this.again) {
      this.again = false;
      await this.fetchHand();
    }
  }

  private take(items: NextItem[], asked: number, whole: boolean): void {
    this.told = Date.now();
    this.hand.take(items, asked, whole);
    fetchAhead(this.hand.size ? [this.hand.current!, ...this.hand.ahead] : []);
    if (this.hand.current?.id !== this.shownItem || !this.hand.current) this.showCurrent();
  }

  private letGoOfLost(items: NextItem[]): void {
    const item = this.hand.current;
    if (!item || items.some((other) => other.id === item.id)) return;
    this.hand.drop(item.id);
    toast(t("lease_lost"));
  }

  private async fetchJust(): Promise<void> {
    try {
      const { results } = await request<{ results: AnswerRow[] }>(`${this.data.urls.api}/answers?author=me&limit=${LISTED}`);
      const known = new Set(this.just.map((row) => row.item));
      this.just.push(...results.filter((row) => !known.has(row.item)).map((row): Answered => ({ ...row, key: "", state: "sent" })));
      this.showJust();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the list is a help; labelling goes on without it
    }
  }

  /** Keep what is ours while somebody works here; after a long absence ask what still is. */
  tend(active: boolean): void {
    const age = (Date.now() - this.told) / 1000;
    const lease = this.data.project.lease_seconds;
    if (!this.told || this.leaving) return;
    if (age > lease && active) void this.fetchHand(true);
    else if (age > lease / 3 && active) void this.fetchHand();
    else if (!this.hand.current && !document.hidden) void this.fetchHand();
  }

  /** Ask how far the project is. */
  async poll(): Promise<void> {
    try {
      this.news(await request<Progress>(`${this.data.urls.api}/progress`));
      if (this.trouble || !this.hand.current) void this.fetchHand();
      this.outbox.sendNow();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the outbox says that the server is away
    }
  }

  /** The project has moved on: show it, and have newer suggestions for what is not on screen yet. */
  news(progress: Progress): void {
    const before = this.side.now;
    this.side.show(progress);
    if (progress.snapshot !== before.snapshot || progress.items !== before.items) void this.fetchHand();
  }

  /** Give back what is not answered when the person follows a link away; a reload keeps it. */
  release(): void {
    this.leaving = true;
    void request(`${this.data.urls.api}/release`, { method: "POST", body: { tab: this.outbox.tab }, keepalive: true }).catch(() => undefined);
  }

  /** The page came back out of the browser's memory. */
  comeBack(): void {
    this.leaving = false;
    void this.fetchHand(true);
  }

  hidden(hidden: boolean): void {
    if (hidden) this.hiddenSince = performance.now();
    else if (this.hiddenSince) this.shownAt += performance.now() - this.hiddenSince; // not looked at meanwhile
  }

  // What is shown

  private showCurrent(said = ""): void {
    const item = this.hand.current;
    if (!item || !this.data.labels.length) {
      this.shownItem = 0;
      this.view.showEmpty(...emptiness({ data: this.data, progress: this.side.now, waiting: this.waiting, forOthers: this.forOthers, paused: this.paused, held: this.held, trouble: this.trouble, loaded: this.told > 0 }, () => void this.fetchHand(), () => void this.undo()));
      if (said) this.announce(said);
      return;
    }
    this.shownItem = item.id;
    this.shownAt = performance.now();
    this.view.show(item, this.flagged.get(item.id));
    const { suggestion } = item;
    const number = item.row + 1;
    const text = item.text.slice(0, 300);
    const suggested = suggestion ? t("announce_suggestion", { label: this.nameOf(suggestion.label), p: percent(suggestion.confidence) }) : "";
    const others = othersSaid(item.others, this.data.labels);
    this.announce([said, t("announce_item", { number, text }), suggested, others].filter(Boolean).join(" "));
  }

  private announce(text: string): void {
    byId("announce").textContent = text;
  }

  private showJust(): void {
    this.just = this.just.slice(0, Math.max(LISTED, this.held + LISTED));
    this.side.showJust(this.just);
  }

  private secondsOf(pressed: number): number {
    return Math.max(0, Math.round((pressed - this.shownAt) / 10) / 100);
  }

  private allSlots(): ReturnType<typeof slots>["main"] {
    const { main, rest } = slots(this.data.labels, null);
    return [...main, ...rest].map((slot) => ({ ...slot, key: "" }));
  }

  private nameOf(label: number): string {
    return this.data.labels.find((other) => other.id === label)?.name ?? "";
  }
}
