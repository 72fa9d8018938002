// Browser: what only secure pages have, with stand-ins, since a server in the local net is often reached without TLS.

/** A random UUID (version 4). */
export function uuid(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

export const hasLocks = (): boolean => "locks" in navigator;

/**
 * Hold the lock of this name until the page goes, and say whether it was got within `patience` ms.
 * A reload's new page may ask a moment before the old one has let go, hence the patience.
 */
export function keepLock(name: string, patience: number): Promise<boolean> {
  if (!hasLocks()) return Promise.resolve(true);
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(patience);
    navigator.locks
      .request(name, { signal }, () => {
        resolve(true);
        return new Promise<void>(() => undefined); // never: the lock goes with the page
      })
      .catch(() => resolve(false));
  });
}

/** Run `work` with the lock if nobody has it now; says whether it ran. Without locks it never runs. */
export async function ifFree(name: string, work: () => Promise<void>): Promise<boolean> {
  if (!hasLocks()) return false;
  return navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
    if (lock) await work();
    return lock !== null;
  });
}
