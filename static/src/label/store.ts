// Store: the outbox on the reader's disk. IndexedDB, since it is written through even if the browser is killed.
import type { NextItem } from "./types";

export interface Entry {
  key: string; // idempotency key
  at: number; // ms since 1970; the order of sending
  tab: string;
  project: number;
  api: string; // address of the project in the API
  kind: "answer" | "skip" | "unskip" | "flag" | "unflag" | "undo";
  item: number;
  label?: number;
  seconds?: number;
  note?: string;
  of?: string; // undo: the key of what is undone
  answer?: number; // undo: its id, once it is known
  shown?: NextItem; // what the person saw, so that undo needs no server
  tries: number;
  refused?: { status: number; code: string; detail: string };
}

export interface Store {
  all(): Promise<Entry[]>;
  put(entry: Entry): Promise<void>;
  remove(...keys: string[]): Promise<void>;
}

/** The outbox of this person in this browser, oldest entry first. */
export async function openStore(user: number): Promise<Store> {
  const name = `annotator-outbox-${user}`;
  try {
    return inDatabase(await openDatabase(name));
  } catch {
    return inLocalStorage(name); // IndexedDB is switched off in some private windows
  }
}

function openDatabase(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("entries", { keyPath: "key" });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
}

const sorted = (entries: Entry[]): Entry[] => entries.sort((a, b) => a.at - b.at);

function inDatabase(database: IDBDatabase): Store {
  const write = (work: (entries: IDBObjectStore) => void): Promise<void> =>
    new Promise((resolve, reject) => {
      const transaction = database.transaction("entries", "readwrite", { durability: "strict" });
      transaction.oncomplete = () => resolve();
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
      work(transaction.objectStore("entries"));
    });
  return {
    all: () =>
      new Promise((resolve, reject) => {
        const reading = database.transaction("entries").objectStore("entries").getAll() as IDBRequest<Entry[]>;
        reading.onsuccess = () => resolve(sorted(reading.result));
        reading.onerror = () => reject(reading.error);
      }),
    put: (entry) => write((entries) => entries.put(entry)),
    remove: (...keys) => write((entries) => keys.forEach((key) => entries.delete(key))),
  };
}

function inLocalStorage(name: string): Store {
  const prefix = `${name} `;
  return {
    all: async () =>
      sorted(
        Object.keys(localStorage)
          .filter((key) => key.startsWith(prefix))
          .map((key) => JSON.parse(localStorage.getItem(key) ?? "null") as Entry),
      ),
    put: async (entry) => localStorage.setItem(prefix + entry.key, JSON.stringify(entry)),
    remove: async (...keys) => keys.forEach((key) => localStorage.removeItem(prefix + key)),
  };
}
