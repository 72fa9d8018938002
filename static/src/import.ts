// Import: drop a file, look at it, send it in, follow it.
import { Look, type Uploaded } from "./import/look";
import { type Job, Run } from "./import/run";
import { type Upload, upload } from "./import/upload";
import { ApiError, request } from "./shared/api";
import { byId, pageData, t } from "./shared/dom";
import { percent } from "./shared/format";

interface Data {
  api: string;
  events: string;
  modality: string;
  limit: number;
  encodings: string[];
  job: Job | null;
}

const data = pageData<Data>();
const STEPS = ["step-file", "step-look", "step-run"] as const;
const file = byId<HTMLInputElement>("file");
const drop = byId("drop");
let sending: Upload<Uploaded> | undefined;

function step(name: (typeof STEPS)[number]): void {
  for (const id of STEPS) byId(id).hidden = id !== name;
  const past = document.getElementById("past");
  if (past) past.hidden = name !== "step-file";
}

function problem(text: string): void {
  byId("problem").hidden = !text;
  byId("problem").textContent = text;
  if (text) byId("problem").scrollIntoView({ block: "nearest" });
}

function failed(error: ApiError): void {
  problem(error.status === 0 ? t("The upload broke off. Try again.") : error.message);
}

const look = new Look(data.api, data.encodings, data.modality, failed);
const run = new Run(data.api, data.events);

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MB`;
}

async function send(chosen: File | undefined): Promise<void> {
  if (!chosen || sending) return;
  problem("");
  if (chosen.size > data.limit) return problem(t("The file is larger than %(most)s.", { most: megabytes(data.limit) }));
  drop.hidden = true;
  byId("uploading").hidden = false;
  byId("upload-name").textContent = t("Uploading %(name)s", { name: chosen.name });
  sending = upload<Uploaded>(`${data.api}/uploads`, chosen, (share) => {
    byId<HTMLProgressElement>("upload-bar").value = share;
    byId("upload-share").textContent = share < 1 ? percent(share) : t("Looking into the file…");
  });
  try {
    const uploaded = await sending.done;
    step("step-look");
    look.show(uploaded);
    byId("look-name").focus();
  } catch (error) {
    const refusal = error as ApiError;
    if (refusal.code === "stopped") problem(t("The upload was stopped."));
    else failed(refusal);
  } finally {
    sending = undefined;
    file.value = "";
    drop.hidden = false;
    byId("uploading").hidden = true;
  }
}

file.addEventListener("change", () => void send(file.files?.[0]));
byId("upload-stop").addEventListener("click", () => sending?.stop());

// The whole page takes a drop: a file let go beside the field would otherwise open in the browser.
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.remove("over");
  });
}
document.addEventListener("drop", (event) => {
  if (!byId("step-file").hidden) void send(event.dataTransfer?.files[0]);
});

byId("another").addEventListener("click", async () => {
  step("step-file");
  problem("");
  // Nobody waits for it: a file that stays does no harm.
  await request(`${data.api}/uploads/${look.uploaded.id}`, { method: "DELETE" }).catch(() => null);
});

byId("go").addEventListener("click", async () => {
  const button = byId<HTMLButtonElement>("go");
  button.disabled = true;
  problem("");
  try {
    const job = await request<Job>(`${data.api}/imports`, { method: "POST", body: look.choices(), timeout: 60_000 });
    step("step-run");
    run.follow(job);
    byId("run-title").focus();
  } catch (error) {
    failed(error as ApiError);
  } finally {
    button.disabled = false;
  }
});

byId("more").addEventListener("click", () => location.reload());

if (data.job) {
  step("step-run");
  run.follow(data.job);
}
