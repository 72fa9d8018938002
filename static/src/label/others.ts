// Others: who said what of an item, in words.
import { t } from "../shared/dom";
import type { Label, Other } from "./types";

/** "Bo: yes · Rita decided: no"; empty where nobody else said anything, or it is not shown. */
export function told(others: Other[] | undefined, labels: Label[]): string {
  const name = (id: number): string => labels.find((label) => label.id === id)?.name ?? "";
  return (others ?? []).map(({ who, label, decision }) => t(decision ? "other_decided" : "other", { who, label: name(label) })).join(" · ");
}

/** The same as a sentence: "Others said: Bo: yes". */
export function othersSaid(others: Other[] | undefined, labels: Label[]): string {
  const said = told(others, labels);
  return said ? t("others_said", { said }) : "";
}
