// API: requests to our own server, with its errors as values that pages can show.

/** A refusal by the server: `code` for programs, the message for people, `status` 0 where it could not be reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly fields: Record<string, string> = {},
  ) {
    super(message);
  }

  /** Whether trying again later may help: the server is away, overloaded or failing. */
  get passing(): boolean {
    return this.status === 0 || this.status >= 500 || this.status === 429 || this.status === 408;
  }
}

/** The token of now: signing in anew in another tab changes the cookie, not what this page was given. */
export function csrfToken(): string {
  const cookie = document.cookie.split("; ").find((pair) => pair.startsWith("csrftoken="));
  return cookie?.slice("csrftoken=".length) ?? document.body.dataset["csrf"] ?? "";
}

interface Options {
  method?: string;
  body?: unknown;
  timeout?: number;
  keepalive?: boolean;
}

/** Ask the server; JSON in, JSON out (null where it says nothing). Throws ApiError. */
export async function request<T>(url: string, { method = "GET", body, timeout = 20_000, keepalive = false }: Options = {}): Promise<T> {
  const form = body instanceof FormData;
  const headers: Record<string, string> = { Accept: "application/json", "X-CSRFToken": csrfToken() };
  if (body !== undefined && !form) headers["Content-Type"] = "application/json";
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method,
      headers,
      keepalive,
      credentials: "same-origin",
      signal: AbortSignal.timeout(timeout),
      ...(body === undefined ? {} : { body: form ? body : JSON.stringify(body) }),
    });
    text = await response.text();
  } catch (error) {
    throw new ApiError(0, "unreachable", String(error));
  }
  const data = parsed(text);
  if (response.ok) return data as T;
  const told = (data ?? {}) as { code?: string; detail?: string; fields?: Record<string, string> };
  throw new ApiError(response.status, told.code ?? "error", told.detail ?? response.statusText, told.fields ?? {});
}

function parsed(text: string): unknown {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null; // an error page of a proxy, say; the status tells enough
  }
}
