// Chart: what the pages' charts have in common: the page's own colours, and quiet axes.
import type uPlot from "uplot";
import "uplot/dist/uPlot.min.css"; // built as chart.css
import { percent } from "./format";

/** A colour or font of tokens.css, as it is now: light or dark. */
export const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** An axis in the page's ink, without ticks. */
export const axis = (): uPlot.Axis => ({
  stroke: colour("--ink-3"),
  grid: { stroke: colour("--line"), width: 1 },
  ticks: { show: false },
  font: `12px ${colour("--font")}`,
});

/** The axis of a share in [0, 1], with per cents beside it. */
export const shareAxis = (): uPlot.Axis => ({ ...axis(), size: 52, values: (_, ticks) => ticks.map((tick) => percent(tick)) });

/** The axis below, named. */
export const namedAxis = (label: string, values: uPlot.Axis.DynamicValues): uPlot.Axis => ({
  ...axis(),
  label,
  size: 30,
  labelSize: 16,
  labelGap: 0,
  labelFont: `12px ${colour("--font")}`,
  values,
});
