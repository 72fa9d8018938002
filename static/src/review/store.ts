// Store: what the page knows when it opens, and the parts that its modules share.
import { pageData } from "../shared/dom";

export interface Label {
  id: number;
  name: string;
  description: string;
  archived: boolean;
}

export interface Job {
  id: number;
  kind: string;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  done: number;
  total: number;
  error: string;
  result: { batch?: number; accepted?: number; undone?: number };
}

export interface Batch {
  id: number;
  by: string;
  snapshot: number;
  threshold: number | null;
  label: number | null;
  count: number;
  created_at: string;
  undone_at: string | null;
  undone_by: string;
  job: Job | null;
}

export interface Item {
  id: number;
  row: number;
  text: string;
  cut: boolean;
  image: string | null;
  width: number | null;
  height: number | null;
  name: string;
}

export type State = "open" | "rejected" | "accepted" | "answered" | "imported";

/** Who gave the label that an item has. */
export interface Given {
  origin: string;
  label: number;
  by: string;
  by_id: number | null;
  at: string;
  batch?: number;
  answer?: number;
}

export interface Suggestion {
  item: Item;
  label: number;
  confidence: number; // in [0, 1]
  runner_up: number | null;
  runner_up_confidence: number | null;
  state: State;
  given: Given | null;
  rules: { rule: number; label: number; says: string }[]; // what spoke of the item
}

interface PageData {
  project: number;
  api: string;
  events: string;
  snapshot: number;
  image: boolean;
  me: number;
  may_stop: boolean; // jobs are stopped by admins; taking a batch back stops it too
  labels: Label[];
  batches: Batch[];
  certificates: import("./certify").Certificate[];
}

export const page = pageData<PageData>();
export const labels = new Map(page.labels.map((label) => [label.id, label]));
export const nameOf = (id: number | null): string => (id === null ? "" : (labels.get(id)?.name ?? `#${id}`));

/** What is looked at. `snapshot` null: the newest. */
export const view = {
  snapshot: page.snapshot as number | null,
  label: "",
  state: "open" as State,
  order: "least",
};

const decimals = new Intl.NumberFormat(document.documentElement.lang || "en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** A confidence with two digits, cut and not rounded: what is shown as 0.72 is accepted from 0.72 on. */
export const sure = (p: number): string => decimals.format(p >= 1 ? 1 : Math.floor((p + 0.0005) * 100) / 100);
