// Live: news of a project by server-sent events, and by asking every few seconds where they do not come.
import { hasLocks } from "./browser";

export interface News {
  /** What to do with each named event's data. */
  on: Record<string, (data: never) => void>;
  /** Ask for what is new: called every `every` ms while no event stream is open, and once whenever one opens. */
  poll: () => void;
  every?: number;
}

type Message = { open: boolean } | { name: string; data: unknown } | { hello: true };

/**
 * Listen until the page closes.
 *
 * A browser opens at most six connections to a server, so of several tabs on one project only one holds the stream
 * (the one that has the lock) and passes the news on.
 */
export function listen(url: string, { on, poll, every = 5000 }: News): void {
  let open = false;
  let leading = false;
  const channel = new BroadcastChannel(`annotator-live ${url}`);

  const hear = (message: Message): void => {
    if ("open" in message) {
      if (message.open && !open) poll(); // what happened while nobody listened
      open = message.open;
    } else if ("name" in message) {
      on[message.name]?.(message.data as never);
    } else if (leading) {
      channel.postMessage({ open });
    }
  };
  const lead = (): void => {
    leading = true;
    connect(url, Object.keys(on), (message) => {
      hear(message);
      channel.postMessage(message);
    });
  };

  channel.onmessage = (event) => hear(event.data as Message);
  channel.postMessage({ hello: true });
  if (hasLocks()) {
    void navigator.locks.request(`annotator-live ${url}`, () => {
      open = false;
      lead();
      return new Promise<void>(() => undefined); // until the page goes
    });
  } else {
    lead();
  }
  setInterval(() => {
    if (!open && !document.hidden) poll();
  }, every);
}

function connect(url: string, names: string[], tell: (message: Message) => void): void {
  let wait = 2000;
  const start = (): void => {
    const source = new EventSource(url);
    source.onopen = () => {
      wait = 2000;
      tell({ open: true });
    };
    source.onerror = () => {
      tell({ open: false });
      // After a cut the browser tries again by itself, but not after a refusal (404, 500).
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(start, wait);
      wait = Math.min(wait * 2, 60_000);
    };
    source.addEventListener("away", () => tell({ open: false }));
    for (const name of names) {
      source.addEventListener(name, (event) => tell({ name, data: JSON.parse((event as MessageEvent<string>).data) }));
    }
  };
  start();
}
