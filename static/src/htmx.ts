// htmx: for pages whose server sends them in pieces; kept to our own server and without eval.
import htmx from "htmx.org";
import { csrfToken } from "./shared/api";

htmx.config.allowEval = false;
htmx.config.selfRequestsOnly = true;
htmx.config.includeIndicatorStyles = false;
document.addEventListener("htmx:configRequest", (event) => {
  (event as CustomEvent<{ headers: Record<string, string> }>).detail.headers["X-CSRFToken"] = csrfToken();
});
