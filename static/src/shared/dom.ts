// DOM: making and finding elements, and reading what the server put into the page.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

/** Make an element: h("button", { class: "btn", onclick: f, hidden: true }, "text", child). Text is never HTML. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return element;
}

/** The element with this id; its absence is a bug of the template, so it throws. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no element #${id}.`);
  return found as T;
}

/** The data island that the template wrote with json_script. */
export function pageData<T>(id = "page-data"): T {
  return JSON.parse(byId(id).textContent ?? "null") as T;
}

let strings: Record<string, string> | undefined;

/** The page's string in the reader's language, with %(name)s filled in. */
export function t(key: string, values: Record<string, string | number> = {}): string {
  strings ??= document.getElementById("strings") ? pageData<Record<string, string>>("strings") : {};
  const pattern = strings[key] ?? key;
  return pattern.replace(/%\((\w+)\)s/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}
