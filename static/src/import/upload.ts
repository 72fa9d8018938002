// Upload: a file on its way to the server, with how far it is. fetch cannot tell that; XMLHttpRequest can.
import { ApiError, csrfToken } from "../shared/api";

export interface Upload<T> {
  done: Promise<T>;
  stop: () => void;
}

/** Send the file; `progress` hears the share sent, in [0, 1]. Rejects with an ApiError, code "stopped" after stop(). */
export function upload<T>(url: string, file: File, progress: (share: number) => void): Upload<T> {
  const sending = new XMLHttpRequest();
  const done = new Promise<T>((resolve, reject) => {
    sending.open("POST", url);
    sending.setRequestHeader("X-CSRFToken", csrfToken());
    sending.setRequestHeader("Accept", "application/json");
    sending.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    sending.onabort = () => reject(new ApiError(0, "stopped", ""));
    sending.onerror = () => reject(new ApiError(0, "unreachable", ""));
    sending.onload = () => {
      const told = parsed(sending.responseText);
      if (sending.status < 300) resolve(told as T);
      else reject(new ApiError(sending.status, told.code ?? "error", told.detail ?? sending.statusText, told.fields ?? {}));
    };
    const body = new FormData();
    body.append("file", file);
    sending.send(body);
  });
  return { done, stop: () => sending.abort() };
}

function parsed(text: string): { code?: string; detail?: string; fields?: Record<string, string> } {
  try {
    return JSON.parse(text);
  } catch {
    return {}; // a proxy's own error page
  }
}
