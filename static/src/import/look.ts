// Look: what the file is, its first rows, and which column is what; all of it can be changed.
import { ApiError, request } from "../shared/api";
import { byId, h, t } from "../shared/dom";
import { count } from "../shared/format";

export interface Preview {
  format: string;
  encoding: string;
  delimiter: string;
  header: boolean;
  modality: string;
  columns: string[];
  rows: string[][];
  guess: { item: string; label: string | null; external_id: string | null };
  warnings: string[];
  row_estimate: number;
  exact: boolean;
}
export interface Uploaded {
  id: number;
  name: string;
  size: number;
  preview: Preview;
}
interface Names {
  labels: { name: string; count: number; known: boolean }[];
  distinct: number;
  rows: number;
  bad: number;
  complete: boolean;
}

const TEXT = ["csv", "tsv", "jsonl", "json", "text"];
const TITLES: Record<string, string> = {
  csv: "CSV", tsv: "TSV", jsonl: "JSON lines", json: "JSON", text: "TXT", parquet: "Parquet", zip: "ZIP", image: "–",
};
const NAMES_SHOWN = 60;
const ROLES = ["item", "label", "external_id"] as const;
const MEANT: Record<(typeof ROLES)[number], string> = { item: "Text", label: "Label", external_id: "Your id" };

const select = (id: string): HTMLSelectElement => byId<HTMLSelectElement>(id);

/** The second step of the page. `failed` hears what could not be done. */
export class Look {
  uploaded!: Uploaded;
  private asked = 0;

  constructor(
    private readonly api: string,
    private readonly encodings: string[],
    private readonly modality: string,
    private readonly failed: (error: ApiError) => void,
  ) {
    for (const id of ["format", "encoding", "delimiter", "header"]) {
      byId(id).addEventListener("change", () => void this.again(id));
    }
    for (const id of ROLES) byId(id).addEventListener("change", () => this.columnsChanged(id));
    for (const radio of this.modes()) radio.addEventListener("change", () => this.showNames());
  }

  /** Show this file from the beginning. */
  show(uploaded: Uploaded): void {
    this.uploaded = uploaded;
    const { preview } = uploaded;
    byId("look-name").textContent = uploaded.name;
    const rows = count(preview.row_estimate);
    byId("look-rows").textContent = t(preview.exact ? "%(rows)s rows" : "about %(rows)s rows", { rows });
    this.showReading(preview);
    this.showColumns(preview);
    const worries = preview.warnings.map((text) => h("div", { class: "banner warn" }, text));
    byId("warnings").replaceChildren(...worries);
    this.showRows();
    void this.findNames();
  }

  /** What the person has chosen, as the API takes it. */
  choices(): Record<string, unknown> {
    return {
      upload: this.uploaded.id,
      ...this.given(),
      item: select("item").value,
      label: select("label").value || "-",
      external_id: select("external_id").value || "-",
      labels: select("label").value ? this.mode() : "ignore",
      create_labels: byId<HTMLInputElement>("create").checked,
    };
  }

  private given(): Record<string, string | boolean> {
    const { format } = this.uploaded.preview;
    if (!TEXT.includes(format)) return {};
    const given: Record<string, string | boolean> = { format: select("format").value, encoding: select("encoding").value };
    if (format === "csv" || format === "tsv") {
      given["delimiter"] = select("delimiter").value;
      given["header"] = byId<HTMLInputElement>("header").checked;
    }
    return given;
  }

  /** Ask the server how the file looks when it is read so. */
  private async again(changed: string): Promise<void> {
    const given = this.given();
    if (changed === "format") {
      delete given["delimiter"]; // each format brings its own
      delete given["header"];
    }
    if (changed === "delimiter") given["format"] = given["delimiter"] === "\t" ? "tsv" : "csv";
    const query = new URLSearchParams(Object.entries(given).map(([name, value]) => [name, String(value)]));
    const asked = ++this.asked;
    try {
      const found = await request<Uploaded>(`${this.api}/uploads/${this.uploaded.id}?${query}`);
      if (asked === this.asked) this.show(found);
    } catch (error) {
      this.failed(error as ApiError);
      this.showReading(this.uploaded.preview);
    }
  }

  private showReading(preview: Preview): void {
    const isText = TEXT.includes(preview.format);
    const isCsv = preview.format === "csv" || preview.format === "tsv";
    for (const field of document.querySelectorAll<HTMLElement>("[data-for]")) {
      field.hidden = field.dataset["for"] === "csv" ? !isCsv : !isText;
    }
    fill("format", TEXT.map((name) => [name, TITLES[name] ?? name]), preview.format);
    fill("encoding", this.encodings.map((name) => [name, name.toUpperCase()]), preview.encoding);
    if (isCsv) {
      const options = [...select("delimiter").options].map((o): [string, string] => [o.value, o.text]);
      fill("delimiter", options, preview.delimiter);
    }
    byId<HTMLInputElement>("header").checked = preview.header;
  }

  private showColumns({ columns, guess }: Preview): void {
    const all = columns.map((name): [string, string] => [name, name]);
    fill("item", all, guess.item);
    fill("label", [["", t("none")], ...all], guess.label ?? "");
    fill("external_id", [["", t("none")], ...all], guess.external_id ?? "");
  }

  private columnsChanged(id: (typeof ROLES)[number]): void {
    // A column is one thing at a time.
    for (const other of ROLES) {
      if (other !== id && other !== "item" && select(other).value === select(id).value) select(other).value = "";
    }
    this.showRows();
    void this.findNames();
  }

  private showRows(): void {
    const { columns, rows } = this.uploaded.preview;
    const role = new Map(ROLES.map((name) => [select(name).value, name]).filter(([column]) => column) as [string, (typeof ROLES)[number]][]);
    const meant = (name: string): string => (name === "item" && this.modality === "image" ? t("Image") : t(MEANT[name as "item"]));
    byId("preview-head").replaceChildren(
      h("tr", {}, ...columns.map((name) => {
        const used = role.get(name);
        return h("th", { scope: "col" }, name, used ? h("span", { class: used === "label" ? "chip imported" : "chip accent" }, meant(used)) : null);
      })),
    );
    byId("preview-rows").replaceChildren(
      ...rows.map((cells) =>
        h("tr", {}, ...cells.map((cell, place) => h("td", { class: role.has(columns[place] ?? "") ? "used" : "" }, h("span", { dir: "auto" }, cell)))),
      ),
    );
  }

  private names: Names | null = null;

  private async findNames(): Promise<void> {
    const column = select("label").value;
    this.names = null;
    byId("labels-card").hidden = !column;
    byId("create-row").hidden = true;
    if (!column) return;
    byId("names").replaceChildren(h("p", { class: "muted row" }, h("span", { class: "spinner" }), t("Looking through the labels…")));
    const query = new URLSearchParams(Object.entries({ ...this.given(), label: column }).map(([name, value]) => [name, String(value)]));
    const upload = this.uploaded.id;
    try {
      const names = await request<Names>(`${this.api}/uploads/${upload}/labels?${query}`, { timeout: 60_000 });
      if (upload !== this.uploaded.id || column !== select("label").value) return;
      this.names = names;
    } catch (error) {
      this.failed(error as ApiError);
    }
    this.showNames();
  }

  private showNames(): void {
    const { names } = this;
    const place = byId("names");
    const fresh = names?.labels.filter((label) => !label.known) ?? [];
    byId("create-row").hidden = !fresh.length || this.mode() === "ignore";
    place.hidden = this.mode() === "ignore";
    if (!names) return place.replaceChildren();
    const values = { rows: count(names.rows), count: count(names.distinct) };
    const sentence = t(names.complete ? "The file has %(count)s labels." : "The first %(rows)s rows have %(count)s labels.", values);
    const news = fresh.length ? t("%(count)s are new:", { count: count(fresh.length) }) : t("All of them are known.");
    const listed = fresh.slice(0, NAMES_SHOWN).map(({ name, count: n }) => h("li", { class: "chip imported" }, h("span", { dir: "auto" }, name), h("span", { class: "num muted" }, count(n))));
    if (fresh.length > NAMES_SHOWN) listed.push(h("li", { class: "chip" }, t("and %(count)s more", { count: count(fresh.length - NAMES_SHOWN) })));
    place.replaceChildren(h("p", {}, `${sentence} ${names.distinct ? news : ""}`), h("ul", { class: "new-names" }, ...listed));
    if (names.bad) place.append(h("p", { class: "warn" }, t("%(count)s of these rows cannot be used; they will be listed.", { count: count(names.bad) })));
  }

  private modes(): NodeListOf<HTMLInputElement> {
    return document.querySelectorAll<HTMLInputElement>("input[name=labels]");
  }

  private mode(): string {
    return [...this.modes()].find((radio) => radio.checked)?.value ?? "answers";
  }
}

/** Fill a select; a value that is not among the options becomes one. */
function fill(id: string, options: [string, string][], value: string): void {
  const all = options.some(([name]) => name === value) ? options : [...options, [value, value] as [string, string]];
  select(id).replaceChildren(...all.map(([name, title]) => h("option", { value: name }, title)));
  select(id).value = value;
}
