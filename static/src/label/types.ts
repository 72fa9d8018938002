// Types: what the server says on the labelling page, as docs of the API have it.

export interface Label {
  id: number;
  name: string;
  description: string;
  hotkey: string;
  color: string;
  position: number;
}

export interface Suggestion {
  label: number;
  confidence: number; // in [0, 1], calibrated
  snapshot: number;
  top: [number, number][]; // label id and probability, likeliest first
  rules?: { rule: number; label: number; says: string }[]; // what spoke of the item
}

/** What somebody else said of an item, where the project shows it. */
export interface Other {
  who: string;
  label: number;
  decision: boolean; // a reviewer's
}

export interface NextItem {
  id: number;
  row: number;
  external_id: string | null;
  text: string;
  image: string | null;
  width: number | null;
  height: number | null;
  name: string;
  metadata: Record<string, unknown>;
  suggestion: Suggestion | null;
  reason: { code: string; text: string };
  lease_expires_at: string;
  others?: Other[]; // none where the project, or this question, is blind
}

export interface Progress {
  items: number;
  open: number;
  answered: number;
  imported: number;
  accepted: number;
  mine?: number;
  snapshot: number | null;
  model: { state: "idle" | "adapting" | "embedding"; embedded: number | null; adapted_at: string | null };
  accuracy: { estimate: number; low: number; high: number; how?: string } | null;
  ahead?: { answers: number; gain: number; low: number; high: number; pays: boolean } | null;
}

export interface AnswerRow {
  id: number;
  item: number;
  label: number;
  text: string;
  name: string;
  image: string | null;
  others?: Other[];
}

export interface Reply {
  next?: NextItem[];
  items?: NextItem[];
  item?: NextItem;
  answer?: AnswerRow;
  progress?: Progress;
  waiting?: number;
  for_others?: number;
  paused?: string[];
  feedback?: { right: boolean; label: number }; // after an answer in training
}

export interface PageData {
  user: number;
  keymap: Record<string, string>;
  project: { id: number; modality: "text" | "image"; lease_seconds: number; show_suggestions: boolean; goal_accuracy: number };
  labels: Label[];
  progress: Progress;
  urls: { api: string; me: string; events: string; import: string; settings: string; review: string; overview: string; signin: string };
}
