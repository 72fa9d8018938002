// Live: news of a project by server-sent events, and by asking every few seconds where they do not come.

export interface News {
  /** A named event came from the server. */
  on: Record<string, (data: never) => void>;
  /** Ask for what is new; called every `every` ms while no event stream is open, and once whenever one opens. */
  poll: () => void;
  every?: number;
}

/** Listen until the page closes. Returns a function that stops it. */
export function listen(url: string, { on, poll, every = 5000 }: News): () => void {
  let open = false;
  let source: EventSource | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let wait = 2000;

  const connect = (): void => {
    source = new EventSource(url);
    source.onopen = () => {
      open = true;
      wait = 2000;
      poll(); // what happened while nobody listened
    };
    source.onerror = () => {
      open = false;
      // A browser tries again by itself after a cut, but not after a refusal (404, 500).
      if (source?.readyState === EventSource.CLOSED) {
        retry = setTimeout(connect, wait);
        wait = Math.min(wait * 2, 60_000);
      }
    };
    for (const [name, handle] of Object.entries(on)) {
      source.addEventListener(name, (event) => handle(JSON.parse((event as MessageEvent<string>).data) as never));
    }
    source.addEventListener("away", () => (open = false));
  };

  connect();
  const timer = setInterval(() => {
    if (!open && !document.hidden) poll();
  }, every);
  return () => {
    source?.close();
    clearInterval(timer);
    clearTimeout(retry);
  };
}
