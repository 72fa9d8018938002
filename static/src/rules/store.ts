// Store: what the page knows when it opens, what the server says of rules, and the words for it.
import { pageData } from "../shared/dom";

export interface Rule {
  id: number;
  label: number;
  kind: string;
  text: string;
  column: string;
  comparison: string;
  item: number | null;
  row: number | null;
  threshold: number;
  active: boolean;
  says: string;
}

export interface Word {
  rule: number;
  label: number;
  says: string;
}

export interface Figures {
  looked: number;
  counts: Record<Which, number>;
  precision: { estimate: number; low: number; high: number } | null;
  others: (Word & { count: number })[];
}

export type Which = "all" | "answered" | "right" | "wrong" | "overlap" | "conflict" | "model";
export type Listed = Rule & Figures & { voted: number; learned: { precision: number; own: number } | null };

export interface Found {
  item: { id: number; row: number; text: string; cut: boolean; begins: number; spans: [number, number][]; image: string | null; name: string };
  value: unknown;
  answer: number | null;
  suggested: number | null;
  others: Word[];
}

export interface Proposal {
  label: number;
  kind: string;
  text: string;
  right: number;
  answered: number;
  low: number;
  items: number;
}

interface PageData {
  project: number;
  api: string;
  events: string;
  labels: { id: number; name: string; archived: boolean }[];
  which: Record<Which, string>;
}

export const page = pageData<PageData>();
export const rulesUrl = `${page.api}/rules`;
const names = new Map(page.labels.map((label) => [label.id, label.name]));
export const nameOf = (id: number): string => names.get(id) ?? `#${id}`;
