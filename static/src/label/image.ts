// Image: an item's image, fetched ahead, zoomed by keys, wheel or buttons, and moved by dragging.
import { h, t } from "../shared/dom";
import type { NextItem } from "./types";

const LARGEST = 16; // times the fitting size
const DRAWING = 64; // pixels: up to so many a side it is a drawing, shown smaller than its frame
const STEP = 1.4;

const fetched = new Map<number, HTMLImageElement>();

/** Begin to load and decode the images that come next; forget those that are gone. */
export function fetchAhead(items: NextItem[]): void {
  const wanted = new Set(items.map((item) => item.id));
  for (const id of fetched.keys()) if (!wanted.has(id)) fetched.delete(id);
  for (const item of items) if (item.image && !fetched.has(item.id)) fetched.set(item.id, load(item));
}

function load(item: NextItem): HTMLImageElement {
  // Not the file's name: it may give the label away ("plastic9.jpg").
  const image = h("img", { alt: t("image_number", { number: item.row + 1 }), draggable: "false", width: item.width, height: item.height });
  image.decoding = "sync"; // it is decoded ahead; async would show a blank frame first
  image.src = item.image ?? "";
  image.decode().catch(() => undefined); // the place that shows it says that it is missing
  return image;
}

/** The image in a frame that zooms; `zoom(1)` is a step in, `zoom(-1)` out. */
export function imageFrame(item: NextItem): { frame: HTMLElement; zoom: (steps: number) => void } {
  const image = fetched.get(item.id) ?? load(item);
  fetched.set(item.id, image);
  if (Math.max(item.width ?? DRAWING + 1, item.height ?? 0) <= DRAWING) image.classList.add("drawing");
  const place = { scale: 1, x: 0, y: 0 };
  const frame = h("div", { class: "frame" }, image);

  const apply = (): void => {
    const room = (side: number): number => (side * (place.scale - 1)) / 2;
    place.x = clamp(place.x, room(frame.clientWidth));
    place.y = clamp(place.y, room(frame.clientHeight));
    image.style.transform = place.scale === 1 ? "" : `translate(${place.x}px, ${place.y}px) scale(${place.scale})`;
    frame.classList.toggle("zoomed", place.scale > 1);
  };
  /** Zoom so that the point (x, y), measured from the frame's middle, stays where it is. */
  const zoomAt = (factor: number, x = 0, y = 0): void => {
    const scale = Math.min(LARGEST, Math.max(1, place.scale * factor));
    place.x = x - ((x - place.x) * scale) / place.scale;
    place.y = y - ((y - place.y) * scale) / place.scale;
    place.scale = scale;
    apply();
  };
  const fromMiddle = (event: MouseEvent): [number, number] => {
    const box = frame.getBoundingClientRect();
    return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
  };

  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && place.scale === 1) return; // the page scrolls
    event.preventDefault();
    zoomAt(Math.exp(-event.deltaY / 300), ...fromMiddle(event));
  }, { passive: false });
  frame.addEventListener("dblclick", (event) => zoomAt(place.scale > 1 ? 1 / LARGEST : 2.5, ...fromMiddle(event)));
  frame.addEventListener("pointerdown", (event) => {
    if (place.scale > 1 && !(event.target as Element).closest("button")) frame.setPointerCapture(event.pointerId);
  });
  frame.addEventListener("pointermove", (event) => {
    if (!frame.hasPointerCapture(event.pointerId)) return;
    place.x += event.movementX;
    place.y += event.movementY;
    apply();
  });
  image.addEventListener("error", () => frame.replaceChildren(h("p", { class: "muted" }, t("image_missing"))));

  const button = (text: string, name: string, run: () => void): HTMLElement =>
    h("button", { class: "btn icon small", type: "button", "aria-label": t(name), title: t(name), onclick: run }, text);
  frame.append(
    h("div", { class: "zoom" }, button("−", "zoom_out", () => zoomAt(1 / STEP)), button("⤢", "zoom_fit", () => zoomAt(1 / LARGEST)), button("+", "zoom_in", () => zoomAt(STEP))),
  );
  return { frame, zoom: (steps) => zoomAt(STEP ** steps) };
}

const clamp = (value: number, room: number): number => Math.min(room, Math.max(-room, value));
