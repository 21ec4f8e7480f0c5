// The page of `weakseg serve`: sends one photograph and shows its mask. Nothing is loaded from elsewhere.

const find = (id) => document.getElementById(id);
const [photo, mask, status] = [find("photo"), find("mask"), find("status")];
const MAX_SHOWN_PX = 1600; // phones refuse canvases of a whole photograph

let token = location.hash.slice(1);
let limits = null;
let newest = 0; // an answer to an earlier photograph is not shown

function say(text, { isBad = false } = {}) {
  status.textContent = text;
  status.classList.toggle("bad", isBad);
}

const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

async function describe() {
  const told = await (await fetch("health", { headers: headers() })).json();
  const knows = "classes" in told;
  find("token-form").hidden = knows;
  find("model").textContent = knows ? told.model : "weakseg serve";
  find("classes").textContent = knows
    ? `Finds ${told.classes.join(", ")}. Version ${told.version}.`
    : "The server asks for a token. It stands in the address that the server printed, or its owner has it.";
  limits = told.limits ?? null;
}

async function send(file) {
  const turn = ++newest;
  find("result").hidden = true;
  if (limits && file.size > limits.bytes) {
    say(`${file.name} has ${file.size} bytes; the server takes ${limits.bytes}.`, { isBad: true });
    return;
  }
  say("Looking …");
  const began = performance.now();
  let answer;
  try {
    answer = await fetch("predict?output=json&masks=png", { method: "POST", headers: headers(), body: file });
  } catch {
    say("The server does not answer.", { isBad: true });
    return;
  }
  const told = await answer.json().catch(() => ({ error: `the server answers ${answer.status}` }));
  if (turn !== newest) return;
  if (!answer.ok) {
    say(told.error, { isBad: true });
    if (answer.status === 401) find("token-form").hidden = false;
    return;
  }
  await show(file, told);
  say(`${told.size_hw[1]} × ${told.size_hw[0]} pixels in ${((performance.now() - began) / 1000).toFixed(1)} s.`);
}

async function show(file, told) {
  const source = `data:image/png;base64,${told.mask_png}`;
  const picture = new Image();
  picture.src = source;
  await picture.decode();
  draw(picture);
  URL.revokeObjectURL(photo.src);
  photo.hidden = false;
  photo.onerror = () => { photo.hidden = true; }; // a format that the browser does not show
  photo.alt = file.name ?? "the photograph";
  photo.src = URL.createObjectURL(file);
  find("save").href = source;
  find("save").download = `${(file.name ?? "mask").replace(/\.[^.]*$/, "")}_mask.png`;
  find("areas").replaceChildren(...told.labels.map(describeLabel));
  mask.setAttribute("aria-label", `Mask: ${told.labels.map((one) => one.name).join(", ")}`);
  find("result").hidden = false;
}

function draw(picture) {
  const factor = Math.min(1, MAX_SHOWN_PX / Math.max(picture.width, picture.height));
  mask.width = Math.max(1, Math.round(picture.width * factor));
  mask.height = Math.max(1, Math.round(picture.height * factor));
  const context = mask.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, 0, 0, mask.width, mask.height);
  const pixels = context.getImageData(0, 0, mask.width, mask.height);
  for (let at = 0; at < pixels.data.length; at += 4) {
    if (!pixels.data[at] && !pixels.data[at + 1] && !pixels.data[at + 2]) pixels.data[at + 3] = 0; // background
  }
  context.putImageData(pixels, 0, 0);
}

function describeLabel(label) {
  const row = document.createElement("tr");
  const name = document.createElement("td");
  const swatch = document.createElement("span");
  swatch.className = "swatch";
  swatch.style.backgroundColor = `rgb(${label.colour.join(" ")})`;
  name.append(swatch, label.name);
  row.append(name);
  for (const share of [label.share, label.confidence]) {
    row.append(Object.assign(document.createElement("td"), { textContent: `${(100 * share).toFixed(1)} %` }));
  }
  return row;
}

find("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) send(file);
  event.target.value = ""; // so that the same file can be chosen again
});
find("opacity").addEventListener("input", (event) => { mask.style.opacity = event.target.value / 100; });
mask.style.opacity = find("opacity").value / 100;
find("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = find("token").value;
  say("");
  describe();
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    find("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });
}
addEventListener("paste", (event) => { if (event.clipboardData.files.length) send(event.clipboardData.files[0]); });

const key = token || null;
const header = () => (find("token-form").hidden && !key ? "" : "-H 'Authorization: Bearer TOKEN' ");
describe()
  .catch(() => say("The server does not answer.", { isBad: true }))
  .finally(() => {
    const address = new URL("predict", location.href.split("#")[0]).href;
    find("mask-line").textContent = `curl ${header()}--data-binary @photo.jpg ${address} --output mask.png`;
    find("json-line").textContent = `curl ${header()}--data-binary @photo.jpg '${address}?output=json'`;
  });
