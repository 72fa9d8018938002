// Overview: draws the learning curve, unfolds the labels, and takes in what is new.
import uPlot from "uplot";
import { colour, namedAxis, shareAxis } from "./shared/chart";
import { byId, pageData, t } from "./shared/dom";
import { ago, count, finePercent, percent } from "./shared/format";
import { listen } from "./shared/live";

interface Point {
  answers: number;
  estimate: number | null;
  low: number | null;
  high: number | null;
}

interface PageData {
  events: string;
  curve: Point[];
  goal: number;
}

const FRESH_SECONDS = 4; // news that come quicker are taken in together
let page = pageData<PageData>();
let chart: uPlot | null = null;

/** One point for each number of answers, the newest model's, in order. */
function measured(): Point[] {
  const byAnswers = new Map(page.curve.filter((point) => point.estimate !== null).map((point) => [point.answers, point]));
  return [...byAnswers.values()].sort((a, b) => a.answers - b.answers);
}

function draw(): void {
  chart?.destroy();
  chart = null;
  const place = document.getElementById("curve");
  const points = measured();
  if (!place || !points.length) return;
  place.replaceChildren();
  const lows = points.map((point) => point.low ?? point.estimate ?? 0);
  const least = Math.max(0, Math.floor(Math.min(...lows, page.goal) * 10 - 0.5) / 10);
  const band = { width: 0, points: { show: false } };
  chart = new uPlot(
    {
      width: place.clientWidth,
      height: place.clientHeight,
      padding: [12, 12, 0, 0],
      cursor: { y: false, points: { size: 8 } },
      legend: { show: false },
      scales: { x: { time: false }, y: { range: [least, 1] } },
      axes: [
        namedAxis(t("answers"), (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? count(tick) : ""))),
        shareAxis(),
      ],
      series: [
        {},
        { ...band, label: "low" },
        { ...band, label: "high" },
        { label: t("estimate"), stroke: colour("--model"), width: 2.5, points: { show: points.length < 30, size: 6, fill: colour("--model") } },
      ],
      bands: [{ series: [2, 1], fill: colour("--model-soft") }],
      hooks: { draw: [goalLine] },
    },
    [points.map((p) => p.answers), points.map((p) => p.low ?? null), points.map((p) => p.high ?? null), points.map((p) => p.estimate)],
    place,
  );
  hint(place, chart, points);
}

function goalLine(plot: uPlot): void {
  const { ctx, bbox } = plot;
  const y = plot.valToPos(page.goal, "y", true);
  if (y < bbox.top || y > bbox.top + bbox.height) return;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour("--human");
  ctx.lineWidth = 1.5 * ratio;
  ctx.setLineDash([3 * ratio, 4 * ratio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.font = `${12 * ratio}px ${colour("--font")}`;
  ctx.textAlign = "right";
  ctx.textBaseline = "bottom";
  ctx.fillText(t("goal", { goal: percent(page.goal) }), bbox.left + bbox.width, y - 2 * ratio);
  ctx.restore();
}

/** The point under the pointer in words. */
function hint(place: HTMLElement, plot: uPlot, points: Point[]): void {
  plot.over.addEventListener("mousemove", () => {
    const point = plot.cursor.idx == null ? undefined : points[plot.cursor.idx];
    if (!point || point.estimate === null) return;
    const [estimate, low, high] = [point.estimate, point.low ?? point.estimate, point.high ?? point.estimate].map(finePercent) as [string, string, string];
    plot.over.title = t("point", { answers: count(point.answers), estimate, low, high });
  });
  plot.over.addEventListener("mouseleave", () => place.removeAttribute("title"));
}

/** Show or hide all labels; a page that was taken in anew stays as the reader had it. */
function unfold(open: boolean): void {
  const button = document.getElementById("more-labels");
  if (!button) return;
  byId("other-labels").hidden = !open;
  button.setAttribute("aria-expanded", String(open));
  button.hidden = open;
}

function wire(open: boolean): void {
  document.getElementById("more-labels")?.addEventListener("click", () => unfold(true));
  if (open) unfold(true);
  for (const time of document.querySelectorAll<HTMLTimeElement>("#live time[data-ago]")) time.textContent = ago(new Date(time.dateTime));
  draw();
}

let waiting: ReturnType<typeof setTimeout> | undefined;

/** Fetch the page anew a moment later and take its numbers over. */
function freshen(): void {
  waiting ??= setTimeout(() => void takeOver().finally(() => (waiting = undefined)), FRESH_SECONDS * 1000);
}

async function takeOver(): Promise<void> {
  if (document.querySelector("#live details[open]") || document.getElementById("live")?.contains(document.activeElement)) return;
  const response = await fetch(location.href, { credentials: "same-origin" }).catch(() => null);
  if (!response?.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const [here, there] = [document.getElementById("live"), fresh.getElementById("live")];
  const data = fresh.getElementById("page-data");
  if (!here || !there || !data) return;
  const open = document.getElementById("other-labels")?.hidden === false;
  page = JSON.parse(data.textContent ?? "{}") as PageData;
  here.replaceChildren(...there.childNodes);
  wire(open);
}

wire(false);
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) draw();
  width = innerWidth;
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
let listening = false; // the first connection brings no news: the page is new itself
listen(page.events, {
  on: { snapshot: freshen, progress: freshen, job: (job: { state: string }) => job.state === "done" && freshen() },
  poll: () => (listening ? freshen() : (listening = true)),
  every: 15_000,
});
