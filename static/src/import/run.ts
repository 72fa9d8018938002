// Run: an import under way, and what came of it.
import { ApiError, request } from "../shared/api";
import { byId, h, t } from "../shared/dom";
import { count, percent } from "../shared/format";
import { listen } from "../shared/live";
import { toast } from "../shared/toast";

export interface Job {
  id: number;
  kind: string;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  done: number;
  total: number;
  unit: string;
  error: string;
  result: { added?: number; existing?: number; bad?: number; labels_created?: number };
}
interface BadRows {
  results: { number: number; column: string; reason: string }[];
}

const BAD_SHOWN = 100;
const POLL = 1500; // ms; a worker's progress is news at most every 400 ms

export class Run {
  private job!: Job;
  private stopping = false;
  private listening = false;

  constructor(
    private readonly api: string,
    private readonly events: string,
  ) {
    byId("cancel").addEventListener("click", () => void this.cancel());
  }

  /** Show this job until it has ended. */
  follow(job: Job): void {
    this.job = job;
    this.show(job);
    if (ended(job) || this.listening) return;
    this.listening = true;
    listen(this.events, {
      on: { job: (news: Job) => (news.id === this.job.id ? this.show(news) : news.kind === "embed" && this.showReading(news)) },
      poll: () => void (!ended(this.job) && this.poll()),
      every: POLL,
    });
  }

  private async poll(): Promise<void> {
    try {
      this.show(await request<Job>(`${this.api}/jobs/${this.job.id}`));
    } catch (error) {
      if ((error as ApiError).passing) byId("run-words").textContent = t("The server cannot be reached. Trying again…");
    }
  }

  private async cancel(): Promise<void> {
    this.stopping = true;
    byId<HTMLButtonElement>("cancel").disabled = true;
    byId("run-title").textContent = t("Stopping…");
    try {
      this.show(await request<Job>(`${this.api}/jobs/${this.job.id}/cancel`, { method: "POST" }));
    } catch (error) {
      // It may have ended in between; then the next news says so.
      if ((error as ApiError).status !== 409) toast((error as Error).message, { bad: true });
      void this.poll();
    }
  }

  private show(job: Job): void {
    // News can overtake one another; an ended job never runs again.
    if (ended(this.job) && this.job !== job && !ended(job)) return;
    const first = !ended(this.job) || this.job === job;
    this.job = job;
    byId("run-title").textContent = this.title(job);
    byId("cancel").hidden = ended(job);
    byId("run-progress").hidden = ended(job);
    const bar = byId<HTMLProgressElement>("run-bar");
    if (job.total > 0) bar.value = job.done / job.total;
    else bar.removeAttribute("value");
    byId("run-words").textContent = words(job);
    if (ended(job) && first) this.finish(job);
  }

  private title(job: Job): string {
    const added = count(job.result.added ?? 0);
    if (job.state === "done") return t("Done: %(added)s items added.", { added });
    if (job.state === "cancelled") return t("Stopped. %(added)s items were added by then; they stay.", { added });
    if (job.state === "failed") return t("The import failed.");
    if (this.stopping) return t("Stopping…");
    return job.state === "queued" ? t("Waiting for a worker…") : t("Importing…");
  }

  private finish(job: Job): void {
    const { added = 0, existing = 0, bad = 0, labels_created: labels = 0 } = job.result;
    const told: [number, string, string][] = [
      [added, t("added"), "human"],
      [existing, t("were there already"), ""],
      [bad, t("could not be used"), bad ? "bad" : ""],
      [labels, t("labels made"), ""],
    ];
    byId("run-stats").replaceChildren(
      ...told.map(([n, what, tone]) => h("div", {}, h("span", { class: `big num ${tone}` }, count(n)), h("span", { class: "muted" }, what))),
    );
    if (job.error) byId("run-stats").before(h("div", { class: "banner bad", role: "alert" }, job.error));
    byId("onward").hidden = false;
    if (added) byId("reading").hidden = false;
    if (bad) void this.showBad(job, bad);
  }

  /** What follows an import by itself: the model reads the items, and suggests what they are. */
  private showReading({ state, done, total }: Job): void {
    if (ended(this.job) && state === "running" && total > 0) byId("reading").textContent = t("The model is reading the items: %(done)s of %(total)s. You can label meanwhile.", { done: count(done), total: count(total) });
    if (state === "done") byId("reading").textContent = t("The model has read the items; its suggestions follow at once.");
  }

  private async showBad(job: Job, all: number): Promise<void> {
    const { results } = await request<BadRows>(`${this.api}/jobs/${job.id}/bad_rows?limit=${BAD_SHOWN}`);
    byId("bad-rows").replaceChildren(
      ...results.map((row) => h("tr", {}, h("td", { class: "num right" }, count(row.number)), h("td", {}, row.column), h("td", { dir: "auto" }, row.reason))),
    );
    byId("bad-more").textContent = all > results.length ? t("The first %(count)s are shown.", { count: count(results.length) }) : "";
    byId<HTMLAnchorElement>("bad-csv").href = `${this.api}/jobs/${job.id}/bad_rows.csv`;
    byId("bad").hidden = false;
  }
}

const ended = (job: Job): boolean => job.state === "done" || job.state === "failed" || job.state === "cancelled";

function words(job: Job): string {
  const parts = [];
  if (job.total > 0) parts.push(percent(job.done / job.total));
  if (job.result.added !== undefined) parts.push(t("%(added)s added so far", { added: count(job.result.added) }));
  return parts.join(" · ");
}
