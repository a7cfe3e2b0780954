// What the page does: open the service with its token, gather a request, follow its answer line by line.

import * as show from "/show.js";

const by = (id) => document.getElementById(id);
const TOKEN = "fedm2g-token"; // sessionStorage: this tab only, gone with it
let service = null; // what GET /api/generator said
let running = null; // AbortController of the request that runs
const given = new Map(); // image flow -> { base64, bytes, name }
const chosen = new Map(); // figure -> its copy, side by side

async function call(path, options = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(TOKEN) ?? ""}`, ...options.headers };
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer: is it still running?");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw Object.assign(new Error(said.sentence ?? `The service refused (${response.status}).`), { status: response.status });
}

// ---- the door ----

async function open() {
  try {
    service = await (await call("/api/generator")).json();
  } catch (error) {
    sessionStorage.removeItem(TOKEN);
    by("door-problem").textContent = error.status === 401 ? "That is not this service’s token: look where it was started." : error.message;
    return;
  }
  by("door").hidden = true;
  by("room").hidden = false;
  furnish();
}

by("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  by("door-problem").textContent = "";
  sessionStorage.setItem(TOKEN, by("token").value.trim());
  by("token").value = "";
  open();
});

// ---- the form ----

function furnish() {
  const { image_flows: images, text_flow: text, limits } = service;
  const flows = text ? [...images, text] : images;
  by("generator-name").textContent = `Generator ${service.generator}, ${service.image_size} pixels`;
  by("facts").textContent = `fedm2g ${service.version} · folder digest ${service.digest.slice(0, 16)}…`;
  by("alarms").hidden = service.alarms.length === 0;
  const risk = service.sites_without_privacy.length ? ["What it makes may resemble patients of these sites."] : [];
  by("alarms").replaceChildren(...[...service.alarms, ...risk].map((alarm) => show.element("p", { textContent: alarm })));
  by("card").replaceChildren(...show.card(service.card, service.alarms, service.sites_without_privacy));
  by("targets").replaceChildren(...flows.map(target));
  by("sources").replaceChildren(...images.map(source));
  by("tasks").replaceChildren(...tasks(images, text).map(task));
  by("count").max = limits.max_count;
  by("steps").max = limits.max_steps;
  by("steps").value = Math.min(25, limits.max_steps);
  by("candidates").max = limits.max_candidates;
  by("candidates").value = Math.min(by("candidates").value, limits.max_candidates);
  by("prompt").maxLength = limits.max_text_characters;
  by("prompt").focus();
}

function target(flow) {
  const box = show.element("input", { type: "checkbox", value: flow, id: `target-${flow}` });
  return show.element("label", { className: "chip" }, box, show.nameOf(flow));
}

function source(flow) {
  const file = show.element("input", { type: "file", id: `source-${flow}`, accept: ".png,.jpg,.jpeg,.dcm,image/png,image/jpeg,application/dicom" });
  const remove = show.element("button", { type: "button", className: "small", textContent: "Remove", hidden: true, id: `remove-${flow}`, "aria-label": `Remove the source ${show.nameOf(flow)}` });
  const name = show.element("span", { className: "muted", hidden: true, id: `given-${flow}` });
  file.addEventListener("change", async () => {
    if (file.files.length) give(flow, await base64Of(file.files[0]), file.files[0].name);
  });
  remove.addEventListener("click", () => { takeBack(flow); file.focus(); });
  return show.element("div", { className: "source" }, show.element("label", { for: file.id, textContent: show.nameOf(flow) }), show.element("span", {}, file, name), remove);
}

function give(flow, base64, name) {
  given.set(flow, { base64, name });
  by(`target-${flow}`).checked = false; // never both a source and a target
  by(`source-${flow}`).hidden = true;
  by(`given-${flow}`).hidden = by(`remove-${flow}`).hidden = false;
  by(`given-${flow}`).textContent = name;
  by("status").textContent = `${show.nameOf(flow)} is a source now.`;
}

function takeBack(flow) {
  given.delete(flow);
  by(`source-${flow}`).value = "";
  by(`source-${flow}`).hidden = false;
  by(`given-${flow}`).hidden = by(`remove-${flow}`).hidden = true;
}

async function base64Of(file) {
  const address = await new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(new Error("The file cannot be read."));
    reader.readAsDataURL(file);
  });
  return address.slice(address.indexOf(",") + 1);
}

/** The paper's five tasks, as far as this generator's flows reach: each only sets the boxes below it. */
function tasks(images, text) {
  const free = (flows) => flows.filter((flow) => !given.has(flow));
  const mri = images.filter((flow) => flow.startsWith("mri"));
  const known = [
    { title: "Report to image", to: () => free(images).slice(0, 1), able: text, hint: "Write a report, then generate." },
    { title: "Image to report", to: () => [text], able: text, hint: "Choose an image as the source, then generate." },
    { title: "MRI contrast", to: () => free(mri).slice(-1), able: mri.length > 1, hint: "Choose an MRI of one contrast as the source; another is made." },
    { title: "MRI to CT", to: () => free(["ct"]), able: mri.length && images.includes("ct"), hint: "Choose an MRI as the source; a CT is made." },
    { title: "All together", to: () => [...free(images), ...(text ? [text] : [])], able: images.length > 1, hint: "Every flow of one invented patient, from a report or from nothing." },
  ];
  return known.filter((one) => one.able);
}

function task({ title, to, hint }) {
  const button = show.element("button", { type: "button", className: "chip", textContent: title, "aria-pressed": "false" });
  button.addEventListener("click", () => {
    for (const other of by("tasks").children) other.setAttribute("aria-pressed", String(other === button));
    const wanted = to();
    for (const box of by("targets").querySelectorAll("input")) box.checked = wanted.includes(box.value);
    by("status").textContent = hint;
  });
  return button;
}

// ---- one request ----

function wish() {
  const targets = [...by("targets").querySelectorAll("input:checked")].map((box) => box.value);
  if (!targets.length) throw new Error("Choose under “To” what shall be made.");
  const both = targets.find((flow) => given.has(flow));
  if (both) throw new Error(`${show.nameOf(both)} is both a source and a target: leave it out of one of them.`);
  return {
    targets,
    prompt: by("prompt").value.trim(),
    sources: [...given].map(([flow, { base64 }]) => ({ flow, image: base64 })),
    count: Number(by("count").value),
    num_inference_steps: Number(by("steps").value),
    guidance_scale: Number(by("guidance").value),
    candidates: Number(by("candidates").value),
    ...(by("seed").value === "" ? {} : { seed: Number(by("seed").value) }),
    formats: ["png", "dicom"],
  };
}

async function generate() {
  const request = wish();
  const body = JSON.stringify(request);
  if (body.length > service.limits.max_body_bytes) throw new Error("The sources are larger than this service takes: choose smaller files.");
  running = new AbortController();
  const response = await call("/api/generate", { method: "POST", body, signal: running.signal, headers: { "Content-Type": "application/json" } });
  const run = show.run(request, () => { for (const figure of chosen.keys()) if (!figure.isConnected) compare(figure, false); });
  const samples = [];
  for await (const event of lines(response.body)) {
    if (event.event === "queued") by("status").textContent = event.ahead ? `Waiting: ${event.ahead} before you.` : "Sampling…";
    if (event.event === "seen") run.figures.append(show.seen(event, service.image_size));
    if (event.event === "progress") step(event);
    if (event.event === "sample") samples.push(event);
    if (event.event === "failed") throw new Error(event.sentence);
    if (event.event === "finished") return finish(run, request, samples, event);
  }
  throw new Error("The answer broke off: generate again.");
}

function step({ done, total }) {
  by("progress").max = total;
  by("progress").value = done;
  by("status").textContent = done < total ? `Sampling: step ${done} of ${total}.` : "Decoding…";
}

function finish(run, request, samples, { seed, seconds }) {
  run.facts.textContent = `seed ${seed} · ${request.num_inference_steps} steps · guidance ${request.guidance_scale} · best of ${request.candidates} · ${seconds.toFixed(1)} s`;
  run.figures.append(...samples.map((event) => show.sample(event, seed, service.image_size, { onUse: give, onCompare: compare })));
  by("empty").hidden = true;
  by("runs").prepend(run.article);
  by("status").textContent = `Done: ${samples.length} ${samples.length === 1 ? "sample" : "samples"}, all synthetic.`;
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
}

function compare(figure, wanted) {
  if (wanted) chosen.set(figure, show.compared(figure));
  else chosen.delete(figure);
  by("compared").replaceChildren(...chosen.values());
  by("compare").hidden = chosen.size === 0;
}

by("compare-clear").addEventListener("click", () => {
  for (const figure of [...chosen.keys()]) figure.querySelector("input[type=checkbox]").checked = false;
  chosen.clear();
  by("compared").replaceChildren();
  by("compare").hidden = true;
});

by("wish").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (running) return;
  by("problem").textContent = "";
  by("progress").removeAttribute("value"); // indeterminate until the first step
  by("generate").disabled = true;
  by("cancel").hidden = by("progress").hidden = false;
  by("status").textContent = "Sending…";
  try {
    await generate();
  } catch (error) {
    by("status").textContent = "";
    by("problem").textContent = error.name === "AbortError" ? "" : error.message;
    if (error.name === "AbortError") by("status").textContent = "Cancelled.";
  } finally {
    running = null;
    by("generate").disabled = false;
    by("cancel").hidden = by("progress").hidden = true;
  }
});

by("cancel").addEventListener("click", () => running?.abort());
by("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) by("wish").requestSubmit();
});

if (sessionStorage.getItem(TOKEN)) open();
