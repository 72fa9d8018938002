// Found: the items that a rule speaks of, with what was found marked, and what others say of them.
import { h, t } from "../shared/dom";
import { count } from "../shared/format";
import { type Found, nameOf, page } from "./store";

/** One element for each item. `label` is the rule's, so that what agrees with it looks so; `column` what it looks at. */
export function draw(found: Found[], label: number, column: string): HTMLElement[] {
  return found.map((one) =>
    h(
      "article",
      { class: "hit" },
      one.item.image && h("img", { class: "thumb", src: one.item.image, alt: t("image", { name: one.item.name }), loading: "lazy" }),
      h(
        "div",
        { class: "grow" },
        one.item.text ? h("p", { class: "item-text", dir: "auto" }, ...marked(one)) : null,
        h(
          "p",
          { class: "told small" },
          h("a", { class: "num", href: `/projects/${page.project}/items/${one.item.id}` }, one.item.name || `#${count(one.item.row + 1)}`),
          column && one.value !== null ? h("span", { class: "chip accent", dir: "auto" }, t("column is", { column, value: String(one.value) })) : null,
          one.answer !== null && h("span", { class: one.answer === label ? "chip human" : "chip bad" }, t("answered", { label: nameOf(one.answer) })),
          one.suggested !== null && h("span", { class: one.suggested === label ? "chip model" : "chip warn" }, t("suggested", { label: nameOf(one.suggested) })),
          ...one.others.map((word) => h("span", { class: word.label === label ? "chip" : "chip warn", dir: "auto" }, `${nameOf(word.label)}: ${word.says}`)),
        ),
      ),
    ),
  );
}

/** The text with what was found in <mark>. Spans are in characters as Python counts them: by code point. */
function marked({ item }: Found): (Node | string)[] {
  const letters = Array.from(item.text);
  const parts: (Node | string)[] = item.begins > 0 ? ["… "] : [];
  let from = 0;
  for (const [start, end] of item.spans) {
    parts.push(letters.slice(from, start).join(""), h("mark", {}, letters.slice(start, end).join("")));
    from = end;
  }
  parts.push(letters.slice(from).join(""));
  if (item.cut) parts.push(" …");
  return parts;
}
