// What things look like. Texts are always set as text: nothing from a card, an answer or a file becomes markup.

export const NAMES = { xray: "X-ray", ct: "CT", mri_t1: "MRI T1", mri_t2: "MRI T2", mri_flair: "MRI FLAIR", text: "Report" };
export const nameOf = (flow) => NAMES[flow] ?? flow;

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role" || key === "for") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

/** The card's blocks, as the service read them; alarms, and rows of sites without privacy, stand in red. */
export function card(blocks, alarms, sites) {
  return blocks.map((block) => {
    const red = alarms.includes(block.text) ? "alarm" : "";
    if (block.kind === "heading") return element("h3", { textContent: block.text, className: red });
    if (block.kind === "list") return element("ul", {}, ...block.items.map((item) => element("li", { textContent: item })));
    if (block.kind === "table") return element("div", { className: "scroll" }, table(block.rows, sites));
    return element("p", { textContent: block.text, className: red });
  });
}

function table([heading, ...rows], sites) {
  const line = (cells, tag) => element("tr", { className: sites.includes(cells[0]) ? "alarm" : "" }, ...cells.map((cell) => element(tag, { textContent: cell })));
  return element("table", {}, element("thead", {}, line(heading, "th")), element("tbody", {}, ...rows.map((row) => line(row, "td"))));
}

/** One run: what it came from beside what came out. Returns the article and where its figures go. */
export function run(request, onRemove) {
  const from = [...(request.prompt ? ["report"] : []), ...request.sources.map((source) => nameOf(source.flow))];
  const title = `${from.join(" + ") || "nothing"} → ${request.targets.map(nameOf).join(" + ")}`;
  const figures = element("div", { className: "figures" });
  const facts = element("p", { className: "muted" });
  const remove = element("button", { type: "button", className: "small", textContent: "Remove" });
  const article = element("article", { className: "run", "aria-label": title },
    element("div", { className: "title" }, element("h3", { textContent: title[0].toUpperCase() + title.slice(1) }), remove),
    facts, ...(request.prompt ? [element("blockquote", { textContent: request.prompt })] : []), figures);
  remove.addEventListener("click", () => { article.remove(); onRemove(); });
  return { article, figures, facts };
}

/** A source as the generator saw it. */
export function seen(event, size) {
  return element("figure", { className: "source-figure" },
    picture(blobOf(event.png, "image/png"), `Source ${nameOf(event.flow)}, as the generator sees it`, size),
    element("figcaption", {}, element("span", { textContent: nameOf(event.flow) }), element("span", { className: "tag given", textContent: "SOURCE" })));
}

/** A sample with its downloads. `onUse` takes an image as the next source, `onCompare` shows it side by side. */
export function sample(event, seed, size, { onUse, onCompare }) {
  const stem = `synthetic-${event.flow}-${seed}-${event.index}`;
  const report = event.text !== undefined;
  const body = report
    ? element("div", { className: "report-text", textContent: event.text })
    : picture(blobOf(event.png, "image/png"), `Synthetic ${nameOf(event.flow)}, sample ${event.index + 1}`, size);
  const tools = element("div", { className: "tools" });
  const figure = element("figure", { className: report ? "report" : "" }, body,
    element("figcaption", {}, element("span", { textContent: `${nameOf(event.flow)} ${event.index + 1}` }), element("span", { className: "tag", textContent: "SYNTHETIC" })), tools);
  if (report) {
    tools.append(download(new Blob([`SYNTHETIC, not for diagnosis\n\n${event.text}\n`], { type: "text/plain" }), `${stem}.txt`, "Text"));
  } else {
    tools.append(download(blobOf(event.png, "image/png"), `${stem}.png`, "PNG"));
    if (event.dicom) tools.append(download(blobOf(event.dicom, "application/dicom"), `${stem}.dcm`, "DICOM"));
    const use = element("button", { type: "button", className: "small", textContent: "Use as source" });
    use.addEventListener("click", () => onUse(event.flow, event.png, `${stem}.png`));
    tools.append(use);
  }
  const box = element("input", { type: "checkbox" });
  box.addEventListener("change", () => onCompare(figure, box.checked));
  tools.append(element("label", {}, box, "Compare"));
  return figure;
}

/** The same figure, large and without its tools. */
export function compared(figure) {
  const copy = figure.cloneNode(true);
  copy.querySelector(".tools").remove();
  return copy;
}

function picture(blob, alt, size) {
  return element("img", { src: URL.createObjectURL(blob), alt, className: size <= 128 ? "tiny" : "" });
}

function download(blob, name, label) {
  return element("a", { href: URL.createObjectURL(blob), download: name, className: "small", textContent: label, "aria-label": `Download ${name}` });
}

function blobOf(base64, type) {
  return new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type });
}
