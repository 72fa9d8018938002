// Format: numbers, shares and times as the reader's language writes them.

const language = document.documentElement.lang || "en";
const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
const share = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 });
const fineShare = new Intl.NumberFormat(language, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "always", style: "narrow" });
const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [["second", 60], ["minute", 60], ["hour", 24], ["day", 30], ["month", 12]];

/** 12345 as "12,345". */
export const count = (n: number): string => whole.format(n);

/** A share in [0, 1] as "46%"; never "100%" or "0%" for what is not exactly that. */
export function percent(p: number): string {
  if (p > 0 && p < 0.005) return `<${share.format(0.01)}`;
  if (p < 1 && p >= 0.995) return `>${share.format(0.99)}`;
  return share.format(p);
}

/** A share in [0, 1] as "91.4%". */
export const finePercent = (p: number): string => fineShare.format(p);

/** How long ago, in the largest fitting unit: "2 sec. ago". */
export function ago(when: Date, now: Date = new Date()): string {
  let passed = Math.max(0, (now.getTime() - when.getTime()) / 1000);
  for (const [unit, size] of STEPS) {
    if (passed < size) return relative.format(-Math.floor(passed), unit);
    passed /= size;
  }
  return relative.format(-Math.floor(passed), "year");
}
