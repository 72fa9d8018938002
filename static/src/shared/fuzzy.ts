// Fuzzy: how well a typed query fits a name, and where.

export interface Match {
  score: number; // higher fits better
  at: number[]; // positions of the matched characters in the name
}

/** Lower case without accents, one character for one, so that positions stay. */
export const fold = (text: string): string =>
  Array.from(text, (c) => (c.normalize("NFKD").replace(/\p{M}/gu, "") || c).toLowerCase()[0] ?? c).join("");

/** How `query` fits `name`: as its start, as the start of its words, within it, or as letters in order; null if not. */
export function match(query: string, name: string): Match | null {
  const wanted = fold(query.trim());
  const within = fold(name);
  if (!wanted) return { score: 0, at: [] };
  const start = within.indexOf(wanted);
  if (start === 0) return { score: wanted.length === within.length ? 1000 : 900 - within.length, at: run(0, wanted.length) };
  if (start > 0) return { score: (isStart(within, start) ? 800 : 600) - start - within.length / 10, at: run(start, wanted.length) };
  return wordwise(wanted, within) ?? inOrder(wanted.replace(/\s+/g, ""), within);
}

const run = (from: number, length: number): number[] => Array.from({ length }, (_, k) => from + k);
const isStart = (name: string, k: number): boolean => k === 0 || /[\s_\-/.,:()&]/.test(name[k - 1] ?? "");

/** Each typed word starts a word of the name, in any order: "est deliv" fits "card delivery estimate". */
function wordwise(wanted: string, name: string): Match | null {
  const at: number[] = [];
  for (const word of wanted.split(/\s+/)) {
    let from = name.indexOf(word);
    while (from >= 0 && (!isStart(name, from) || at.includes(from))) from = name.indexOf(word, from + 1);
    if (from < 0) return null;
    at.push(...run(from, word.length));
  }
  return { score: 500 - name.length / 10, at };
}

/** The letters come in this order; those that start a word, or follow one another, count for more. */
function inOrder(wanted: string, name: string): Match | null {
  const at: number[] = [];
  let from = 0;
  let score = 200;
  for (const letter of wanted) {
    let here = name.indexOf(letter, from);
    // Prefer a word's start a little further on: "cd" is "Card Delivery", not "CarD".
    for (let k = here; k >= 0; k = name.indexOf(letter, k + 1)) {
      if (isStart(name, k)) {
        here = k;
        break;
      }
    }
    if (here < 0) here = name.indexOf(letter, from);
    if (here < 0) return null;
    score -= isStart(name, here) || at.at(-1) === here - 1 ? 0 : 6;
    at.push(here);
    from = here + 1;
  }
  return { score: score - name.length / 10, at };
}
