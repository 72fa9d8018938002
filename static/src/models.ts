// Models: draws how the suggestions did over time and how far their confidence can be believed.
import uPlot from "uplot";
import { colour, namedAxis, shareAxis } from "./shared/chart";
import { pageData, t } from "./shared/dom";
import { count, percent } from "./shared/format";
import { listen } from "./shared/live";

interface Score {
  count: number;
  accuracy: number | null;
  low: number | null;
  high: number | null;
}

interface Curves {
  steps: number[];
  training?: number[];
  validation?: (number | null)[];
}

interface PageData {
  over_time: { predictions: number; all: Score; random: Score; confidence: number }[];
  bins: (Score & { confidence: number })[];
  curves: Record<string, Curves>;
  events: string;
}

const page = pageData<PageData>();
const charts: uPlot[] = [];

function frame(place: HTMLElement): Pick<uPlot.Options, "width" | "height" | "padding" | "cursor" | "legend"> {
  place.replaceChildren();
  const cursor = { y: false, points: { size: 8 } };
  return { width: place.clientWidth, height: place.clientHeight, padding: [12, 12, 0, 0], cursor, legend: { show: false } };
}

/** Accuracy block by block with its interval, of random items so far with theirs, and the mean confidence beside it. */
function drawOverTime(place: HTMLElement): void {
  const points = page.over_time;
  const of = (kind: "all" | "random", name: "accuracy" | "low" | "high"): (number | null)[] => points.map((point) => point[kind][name]);
  const side = { width: 0, points: { show: false } };
  const few = points.length < 30;
  charts.push(
    new uPlot(
      {
        ...frame(place),
        scales: { x: { time: false }, y: { range: [0, 1] } },
        axes: [namedAxis(t("predictions"), (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? count(tick) : ""))), shareAxis()],
        series: [
          {},
          { ...side },
          { ...side },
          { stroke: colour("--model"), width: 2.5, points: { show: few, size: 6, fill: colour("--model") } },
          { ...side },
          { ...side },
          { stroke: colour("--human"), width: 2, dash: [6, 4], points: { show: few, size: 5, fill: colour("--human") } },
          { stroke: colour("--ink-3"), width: 1.5, dash: [2, 3], points: { show: false } },
        ],
        bands: [
          { series: [2, 1], fill: colour("--model-soft") },
          { series: [5, 4], fill: `color-mix(in srgb, ${colour("--human")} 14%, transparent)` },
        ],
      },
      [
        points.map((point) => point.predictions),
        of("all", "low"),
        of("all", "high"),
        of("all", "accuracy"),
        of("random", "low"),
        of("random", "high"),
        of("random", "accuracy"),
        points.map((point) => point.confidence),
      ],
      place,
    ),
  );
}

/** One point for each bin of confidence with its interval; on the diagonal what is said comes true. */
function drawReliability(place: HTMLElement): void {
  const bins = page.bins;
  charts.push(
    new uPlot(
      {
        ...frame(place),
        scales: { x: { time: false, range: [0, 1] }, y: { range: [0, 1] } },
        axes: [namedAxis(t("confidence"), (_, ticks) => ticks.map((tick) => percent(tick))), shareAxis()],
        series: [{}, { paths: () => null, points: { show: true, size: 8, fill: colour("--model"), stroke: colour("--model") } }],
        hooks: { drawAxes: [diagonal], draw: [whiskers] },
      },
      [bins.map((bin) => bin.confidence), bins.map((bin) => bin.accuracy)],
      place,
    ),
  );
}

function line(plot: uPlot, from: [number, number], to: [number, number]): void {
  plot.ctx.beginPath();
  plot.ctx.moveTo(plot.valToPos(from[0], "x", true), plot.valToPos(from[1], "y", true));
  plot.ctx.lineTo(plot.valToPos(to[0], "x", true), plot.valToPos(to[1], "y", true));
  plot.ctx.stroke();
}

function diagonal(plot: uPlot): void {
  plot.ctx.save();
  plot.ctx.strokeStyle = colour("--ink-3");
  plot.ctx.lineWidth = 1.5 * devicePixelRatio;
  plot.ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  line(plot, [0, 0], [1, 1]);
  plot.ctx.restore();
}

function whiskers(plot: uPlot): void {
  plot.ctx.save();
  plot.ctx.strokeStyle = colour("--model");
  plot.ctx.lineWidth = 2 * devicePixelRatio;
  for (const bin of page.bins) if (bin.low !== null && bin.high !== null) line(plot, [bin.confidence, bin.low], [bin.confidence, bin.high]);
  plot.ctx.restore();
}

/** Loss while a checkpoint was trained: on what it learned from, and on what was kept apart. */
function drawTraining(place: HTMLElement, curves: Curves): void {
  const none = curves.steps.map(() => null);
  const numbers = (name: string): uPlot.Axis => namedAxis(name, (_, ticks) => ticks.map(String));
  charts.push(
    new uPlot(
      {
        ...frame(place),
        scales: { x: { time: false } },
        axes: [numbers(t("steps")), { ...shareAxis(), values: (_, ticks) => ticks.map(String) }],
        series: [
          {},
          { stroke: colour("--model"), width: 2, points: { show: false }, spanGaps: true },
          { stroke: colour("--human"), width: 2, points: { show: false }, spanGaps: true },
        ],
      },
      [curves.steps, curves.training ?? none, curves.validation ?? none],
      place,
    ),
  );
}

function draw(): void {
  for (const chart of charts.splice(0)) chart.destroy();
  const [time, reliability] = ["over-time", "reliability"].map((id) => document.getElementById(id));
  if (time) drawOverTime(time);
  if (reliability) drawReliability(reliability);
  for (const place of document.querySelectorAll<HTMLElement>("[data-curve]")) {
    const curves = page.curves[place.dataset["curve"] ?? ""];
    if (curves && place.clientWidth) drawTraining(place, curves);
  }
}

draw();
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) draw();
  width = innerWidth;
});
for (const details of document.querySelectorAll<HTMLDetailsElement>("details.checkpoint")) details.addEventListener("toggle", draw);
const awaited = new Set(["compare", "improve"]);
listen(page.events, {
  on: { job: (job: { kind: string; state: string }) => awaited.has(job.kind) && job.state !== "running" && location.reload() },
  poll: () => undefined,
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
