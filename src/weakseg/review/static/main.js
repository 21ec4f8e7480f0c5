// The page: what the buttons, keys, sliders and fingers do.

import * as api from "./api.js";
import { HELP, findCommand } from "./keys.js";
import { List, stateOf } from "./list.js";
import { Pointers } from "./pointers.js";
import { Seed } from "./seed.js";
import { Store } from "./store.js";
import { Tags } from "./tags.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

const UNSEEN = 255;
const ALL_CLASSES = 9; // as many have a key of their own
const CUT_AFTER_MS = 350; // after the last step of the slider, for those who move it by keys
const KEY_STEP_PX = 8;
const FAR = 5;

const $ = (id) => document.getElementById(id);
const setting = (name, fallback) => Number(localStorage.getItem(`weakseg-review-${name}`) ?? fallback);
const keepSetting = (name, value) => localStorage.setItem(`weakseg-review-${name}`, value);

const view = new View($("canvas"));
let session, store, list, tools, tags, doc, seed, patches, cutTimer;
let label = 1;
let opening = 0;
let pending = Promise.resolve(); // what the server still works out for the image on show

const desk = {
  view,
  get doc() {
    return doc;
  },
  get label() {
    return label;
  },
  get radius() {
    return Number($("size").value) / 2;
  },
  patches: () => patches,
  commit(labels, what) {
    if (!change(what, { labels, ...withPaintedTag(labels) })) view.repaint();
  },
  spread(scribbles) {
    pending = spread(scribbles);
  },
};

async function start() {
  try {
    session = await api.getSession();
  } catch (error) {
    return complain(error.message);
  }
  document.title = `${session.run} – weakseg review`;
  store = new Store(session);
  view.noStroke = session.noStroke;
  view.palette = [[0, 0, 0], ...session.classes.map((one) => one.colour)];
  view.palette[UNSEEN] = [235, 235, 235];
  tools = new Tools(desk);
  tags = new Tags($("tags"), $("tag-hint"), session.classes, (chosen) => change("tags", { tags: chosen }));
  list = new List({
    list: $("list"), rows: $("rows"), filter: $("filter"), search: $("search"), progress: $("progress"), open: choose,
  });
  list.fill(session.images);
  listen();
  const refused = await store.finishJournal();
  const first = session.images.find((image) => image.id === api.startId) || session.images.find((image) => stateOf(image) === "none");
  if (session.images.length) await show((first || session.images[0]).id);
  if (refused.length) complain(`Changed elsewhere, so that an earlier change was not saved: ${refused.join(", ")}`);
}

function complain(message) {
  $("notice").textContent = message;
  $("notice").hidden = !message;
}

function say(message) {
  $("say").textContent = message;
}

function busy(message) {
  $("busy").textContent = message;
  $("busy").hidden = !message;
}

// Shows an image; of several that are asked for in a row only the last.
async function show(id) {
  const turn = ++opening;
  await settle();
  tools.cancel();
  tools.endScribbles();
  list.choose(id);
  const waiting = setTimeout(() => busy("Loading…"), 250);
  try {
    const [opened, picture] = await Promise.all([store.open(id), pictureOf(id)]);
    if (turn !== opening) return;
    complain("");
    doc = opened;
    seed = patches = null;
    const own = doc.tags.map((name) => session.classes.findIndex((one) => one.name === name) + 1);
    if (own.length && label !== 0 && label !== UNSEEN && !own.includes(label)) label = own[0];
    $("threshold").value = session.threshold ?? 0.5;
    $("threshold").disabled = !doc.hasSeed;
    showSliders();
    view.show(picture, doc.labels, doc.width, doc.height);
    api.rememberImage(id);
    describe();
    say(announce());
    prepareTool();
    const following = list.step(1);
    if (following) pictureOf(following.id);
  } catch (error) {
    if (turn === opening) complain(`${id}: ${error.message}`);
  } finally {
    clearTimeout(waiting);
    if (turn === opening) busy("");
  }
}

const pictures = new Map();
function pictureOf(id) {
  if (!pictures.has(id)) {
    const loading = api.getPicture(id);
    loading.catch(() => pictures.delete(id));
    pictures.set(id, loading);
    if (pictures.size > 6) pictures.delete(pictures.keys().next().value);
  }
  return pictures.get(id);
}

function announce() {
  const image = store.summaries.get(doc.id);
  const verdict = { right: "called right", wrong: "called wrong" }[doc.verdict] || (doc.hasMask ? "mask corrected" : "not looked at yet");
  return `${doc.id}, ${doc.tags.join(", ") || "no tags"}, ${verdict}. ${image.why}`;
}

function describe() {
  const image = store.summaries.get(doc.id);
  const at = session.images.indexOf(image);
  $("name").textContent = doc.id.split("/").at(-1);
  $("name").title = doc.id;
  const shrunk = doc.fullWidth === doc.width ? "" : `, shown at ${doc.width} × ${doc.height}`;
  $("place").textContent = `${at + 1} of ${session.images.length} · ${image.split} · ${doc.fullWidth} × ${doc.fullHeight}${shrunk}`;
  $("why").textContent = image.why;
  $("why").hidden = !image.why;
  $("canvas").setAttribute("aria-label", `Image ${doc.id} with its mask`);
  $("accept").setAttribute("aria-pressed", String(doc.verdict === "right"));
  $("reject").setAttribute("aria-pressed", String(doc.verdict === "wrong"));
  $("reset").disabled = !doc.hasMask;
  tags.show(doc, image);
  showPaints();
  showHistory();
}

function showHistory() {
  for (const [button, entry, verb] of [["undo", store.nextUndo, "Undo"], ["redo", store.nextRedo, "Redo"]]) {
    $(button).disabled = !entry;
    $(button).setAttribute("aria-label", entry ? `${verb} ${entry.what}` : verb);
  }
}

// Paints.

function paintLabels() {
  const every = session.classes.map((_, key) => key + 1);
  if (every.length <= ALL_CLASSES) return every;
  const own = doc.tags.map((name) => session.classes.findIndex((one) => one.name === name) + 1);
  return [...new Set([...own, ...(label > 0 && label !== UNSEEN ? [label] : [])])];
}

const labelName = (one) => (one === 0 ? "background" : one === UNSEEN ? "not looked at" : session.classes[one - 1].name);

function showPaints() {
  const shown = paintLabels();
  const own = doc.tags.map((name) => session.classes.findIndex((one) => one.name === name) + 1);
  if (label !== 0 && label !== UNSEEN && !shown.includes(label)) label = own[0] || shown[0] || 0;
  const labels = [...shown, 0, UNSEEN];
  $("paints").replaceChildren(
    ...labels.map((one) => {
      const button = document.createElement("button");
      button.className = "choice";
      button.dataset.label = one;
      button.setAttribute("role", "radio");
      button.setAttribute("aria-checked", String(one === label));
      button.tabIndex = one === label ? 0 : -1;
      const swatch = document.createElement("span");
      swatch.className = one === 0 ? "swatch empty" : one === UNSEEN ? "swatch striped" : "swatch";
      if (one !== 0 && one !== UNSEEN) swatch.style.background = `rgb(${view.palette[one].join(" ")})`;
      const name = document.createElement("span");
      name.textContent = labelName(one);
      const key = document.createElement("kbd");
      const place = shown.indexOf(one);
      key.textContent = one === 0 ? "0" : one === UNSEEN ? "X" : place < 9 ? String(place + 1) : "";
      button.append(swatch, name, key);
      button.classList.toggle("own", own.includes(one));
      return button;
    }),
  );
  if (session.classes.length > ALL_CLASSES) $("paints").append(classSelect(shown));
}

function classSelect(shown) {
  const select = document.createElement("select");
  select.className = "choice";
  select.id = "other-class";
  select.setAttribute("aria-label", "Paint with another class");
  select.append(new Option("Another class…", ""));
  session.classes.forEach((one, key) => {
    if (!shown.includes(key + 1)) select.append(new Option(one.name, key + 1));
  });
  select.addEventListener("change", () => {
    choosePaint(Number(select.value));
    $("paints").querySelector('[aria-checked="true"]').focus(); // the list is made anew
  });
  return select;
}

function choosePaint(one) {
  label = one;
  if (["eraser", "hand"].includes(tools.name)) chooseTool("brush");
  showPaints();
  view.draw();
  say(`Painting ${labelName(label)}`);
}

// Who paints a class says that the image shows it.
function withPaintedTag(labels) {
  const name = label > 0 && label !== UNSEEN && tools.name !== "eraser" ? labelName(label) : "";
  return name && !doc.tags.includes(name) && labels.includes(label) ? { tags: [...doc.tags, name] } : {};
}

// Changes.

function change(what, words) {
  if (!doc) return false;
  const changed = store.change(doc, what, words);
  if (changed) describe();
  return changed;
}

// Waits for a scribble or a cut that is on its way, so that it is not lost to whoever is quick.
async function settle() {
  if (cutTimer) pending = settleCut();
  await pending;
}

async function judge(verdict) {
  if (!doc) return;
  await settle();
  const again = doc.verdict === verdict;
  change(again ? "verdict" : `“${verdict}”`, { verdict: again ? null : verdict });
  say(again ? "Verdict taken back" : `Called ${verdict}`);
  const following = list.step(1);
  if (!again && following) show(following.id);
}

async function travel(act, nextEntry) {
  await settle();
  const entry = nextEntry();
  if (!entry) return null;
  if (doc.id !== entry.id) await show(entry.id);
  if (doc.id !== entry.id) return null;
  if (nextEntry() !== entry) {
    say("This image was changed elsewhere; there is nothing to take back");
    return null;
  }
  tools.cancel();
  tools.endScribbles();
  act(doc);
  describe();
  return entry;
}

async function undo() {
  if (tools.takeBackCorner()) return;
  const entry = await travel((one) => store.undo(one), () => store.nextUndo);
  if (entry) say(`Took back ${entry.what}`);
}

async function redo() {
  const entry = await travel((one) => store.redo(one), () => store.nextRedo);
  if (entry) say(`Repeated ${entry.what}`);
}

async function reset() {
  if (!doc || !doc.hasMask) return;
  const id = doc.id;
  const answer = await api.getAbout("original", id).catch((error) => complain(error.message));
  if (answer && doc.id === id) change("the way back to the run's mask", { labels: api.fromBase64(answer.labels), hasMask: false });
}

// Help from the server.

async function prepareTool() {
  const id = doc.id;
  try {
    if (tools.name === "patch" && !patches) {
      const answer = await api.getAbout("superpixels", id);
      if (doc.id !== id) return;
      patches = api.fromBase64(answer.patches, Uint16Array);
      view.patchGrid = view.makeGrid(patches);
    } else if (tools.name === "spread") await api.prepare(id);
  } catch (error) {
    complain(error.message);
  }
  view.grid = tools.name === "patch" && patches ? view.patchGrid : null;
  view.draw();
}

let spreading = 0;
async function spread(scribbles) {
  const turn = ++spreading;
  busy("Spreading…");
  try {
    const [labels, strokes] = await Promise.all([api.deflated(scribbles.base), api.deflated(scribbles.strokes)]);
    const answer = await api.send("spread", scribbles.id, { labels, strokes });
    if (turn !== spreading || doc.id !== scribbles.id || tools.scribbles !== scribbles) return;
    const spreaded = api.fromBase64(answer.labels);
    change("scribble", { labels: spreaded, ...withPaintedTag(spreaded) });
    view.strokes = scribbles.strokes;
    view.repaint();
  } catch (error) {
    complain(error.message);
  } finally {
    if (turn === spreading) busy("");
  }
}

async function previewCut() {
  if (!doc) return;
  const id = doc.id;
  const threshold = Number($("threshold").value);
  showSliders();
  if (!seed) {
    const answer = await api.getAbout("seed", id).catch((error) => complain(error.message));
    if (!answer || doc.id !== id) return;
    seed ||= new Seed(answer, doc.width, doc.height);
  }
  const labels = new Uint8Array(doc.labels.length);
  seed.cut(threshold, labels);
  view.labels = labels;
  view.repaint();
}

async function settleCut() {
  clearTimeout(cutTimer);
  cutTimer = 0;
  if (!doc) return;
  const id = doc.id;
  busy("Cutting…");
  try {
    const message = { threshold: Number($("threshold").value), followEdges: $("edges").checked };
    const answer = await api.send("cut", id, message);
    if (doc.id !== id) return;
    view.labels = doc.labels;
    if (!change("threshold", { labels: api.fromBase64(answer.labels) })) view.repaint();
  } catch (error) {
    complain(error.message);
    view.labels = doc.labels;
    view.repaint();
  } finally {
    busy("");
  }
}

function showSliders() {
  $("threshold-value").textContent = Number($("threshold").value).toFixed(2);
  $("size-value").textContent = `${$("size").value} px`;
  $("opacity-value").textContent = `${$("opacity").value} %`;
}

function setOpacity(percent) {
  $("opacity").value = Math.min(100, Math.max(0, percent));
  view.opacity = Number($("opacity").value) / 100;
  keepSetting("opacity", $("opacity").value);
  showSliders();
  view.repaint();
}

function setSize(px) {
  $("size").value = px;
  keepSetting("size", $("size").value);
  showSliders();
  view.draw();
}

function hide() {
  view.hidden = !view.hidden;
  $("hide").setAttribute("aria-pressed", String(view.hidden));
  view.repaint();
}

async function chooseTool(name) {
  await settle();
  tools.choose(name);
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  }
  $("canvas").dataset.tool = name;
  if (doc) prepareTool();
}

// Moving about.

function choose(id) {
  openSheet("rail", false);
  show(id);
}

function step(by) {
  const image = list.step(by);
  if (image) show(image.id);
  else say(by > 0 ? "This is the last image of the list" : "This is the first image of the list");
}

function openSheet(name, isOpen) {
  const opener = $(name === "rail" ? "open-list" : "open-panel");
  if ($(name).classList.contains("open") === isOpen) return;
  $(name).classList.toggle("open", isOpen);
  opener.setAttribute("aria-expanded", String(isOpen));
  if (opener.offsetParent !== null) (isOpen ? $(name).querySelector("button, select, input") : opener).focus();
}

async function refresh() {
  if (document.hidden || !store) return;
  try {
    const now = await api.getSession();
    for (const image of now.images) Object.assign(store.summaries.get(image.id) || {}, image);
    list.sift();
    const summary = doc && store.summaries.get(doc.id);
    if (doc && summary.revision !== doc.revision && !doc.dirty && !doc.saving && !tools.active) await show(doc.id);
  } catch (error) {
    complain(error.message);
  }
}

const COMMANDS = {
  next: () => step(1),
  previous: () => step(-1),
  accept: () => judge("right"),
  reject: () => judge("wrong"),
  undo, redo, hide,
  more: () => setOpacity(Number($("opacity").value) + 10),
  less: () => setOpacity(Number($("opacity").value) - 10),
  larger: () => setSize(Math.ceil(Number($("size").value) * 1.25)),
  smaller: () => setSize(Math.max(1, Math.floor(Number($("size").value) / 1.25))),
  zoomIn: () => view.zoomCentre(1.25),
  zoomOut: () => view.zoomCentre(0.8),
  fit: () => view.fit(),
  threshold: () => focusIn("panel", "threshold"),
  tags: () => {
    openSheet("panel", true);
    $("tags").querySelector("button, select").focus();
  },
  list: () => focusIn("rail", "list"),
  classes: () => ($("other-class") || $("paints").querySelector('[aria-checked="true"]')).focus(),
  image: () => $("canvas").focus(),
  help: () => $("help").showModal(),
  unseen: () => choosePaint(UNSEEN),
  background: () => choosePaint(0),
  paint: (digit) => paintLabels()[digit - 1] && choosePaint(paintLabels()[digit - 1]),
  tool: (name) => chooseTool(name),
  escape() {
    tools.cancel();
    tools.endScribbles();
    openSheet("rail", false);
    openSheet("panel", false);
  },
};

function focusIn(sheet, element) {
  openSheet(sheet, true);
  $(element).focus();
}

// The cross that is moved by arrow keys while the image has the focus.
function keyOnCanvas(event) {
  const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (!doc || event.ctrlKey || event.metaKey || event.altKey) return false;
  if (!tools.keyboard || !tools.cursor) {
    tools.cursor ||= { x: doc.width / 2, y: doc.height / 2 };
    tools.keyboard = true;
  }
  const direction = directions[event.key];
  if (direction) {
    const px = Math.max(1, KEY_STEP_PX / view.scale) * (event.shiftKey ? FAR : 1);
    const point = {
      x: Math.min(doc.width - 0.5, Math.max(0.5, tools.cursor.x + direction[0] * px)),
      y: Math.min(doc.height - 0.5, Math.max(0.5, tools.cursor.y + direction[1] * px)),
    };
    if (tools.name === "hand") view.pan(-direction[0] * px * view.scale, -direction[1] * px * view.scale);
    tools.move(point);
    view.reveal(point);
  } else if (event.key === "Enter") {
    const at = tools.points.at(-1);
    if (at && at.x === tools.cursor.x && at.y === tools.cursor.y) tools.closePolygon();
    else if (tools.active || tools.stroking) tools.end();
    else if (tools.paints) {
      tools.start(tools.cursor);
      if (tools.name === "patch") tools.end();
      say(tools.active || tools.stroking ? "Tool is down" : "");
    }
  } else return false;
  view.draw();
  return true;
}

function listen() {
  const clicks = {
    undo, redo, hide, reset, accept: COMMANDS.accept, reject: COMMANDS.reject, next: COMMANDS.next,
    previous: COMMANDS.previous, fit: COMMANDS.fit, "zoom-in": COMMANDS.zoomIn, "zoom-out": COMMANDS.zoomOut,
    "open-help": COMMANDS.help, "close-help": () => $("help").close(),
    "open-list": () => openSheet("rail", true), "close-list": () => openSheet("rail", false),
    "open-panel": () => openSheet("panel", !$("panel").classList.contains("open")),
    "close-panel": () => openSheet("panel", false),
    "take-theirs": () => answerConflict((one) => store.takeTheirs(one)),
    "keep-mine": () => answerConflict((one) => store.keepMine(one)),
  };
  for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", () => act());
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.addEventListener("click", () => chooseTool(button.dataset.tool));
  }
  $("paints").addEventListener("click", (event) => {
    const button = event.target.closest("[data-label]");
    if (button) choosePaint(Number(button.dataset.label));
  });
  $("paints").addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const buttons = [...$("paints").querySelectorAll("[data-label]")];
    const at = buttons.indexOf(event.target);
    if (!by || at < 0) return;
    event.preventDefault();
    event.stopPropagation();
    choosePaint(Number(buttons[(at + by + buttons.length) % buttons.length].dataset.label));
    $("paints").querySelector('[aria-checked="true"]').focus();
  });
  listenToSliders();
  listenToStore();
  $("canvas").addEventListener("keydown", (event) => {
    if (keyOnCanvas(event)) {
      event.preventDefault();
      event.stopPropagation();
    }
  });
  document.addEventListener("keydown", (event) => {
    const command = findCommand(event);
    if (!command) return;
    event.preventDefault();
    COMMANDS[command.name](command.value);
  });
  new Pointers($("canvas"), view, tools);
  document.addEventListener("visibilitychange", refresh);
  window.addEventListener("focus", refresh);
  window.addEventListener("beforeunload", (event) => {
    if (store.unsaved) event.preventDefault();
  });
  $("keys").innerHTML = HELP.map(([keys, what]) => `<dt>${keys.map((key) => `<kbd>${key}</kbd>`).join(" ")}</dt><dd>${what}</dd>`).join("");
}

function listenToSliders() {
  $("threshold-row").hidden = session.threshold === null;
  $("threshold").value = session.threshold ?? 0.5;
  $("edges-row").hidden = !session.followsEdges;
  $("size").value = setting("size", 16);
  setOpacity(setting("opacity", 50));
  $("threshold").addEventListener("input", () => {
    clearTimeout(cutTimer);
    previewCut();
  });
  $("threshold").addEventListener("change", () => {
    clearTimeout(cutTimer);
    cutTimer = setTimeout(() => (pending = settleCut()), CUT_AFTER_MS);
  });
  $("size").addEventListener("input", () => setSize(Number($("size").value)));
  $("opacity").addEventListener("input", () => setOpacity(Number($("opacity").value)));
}

function listenToStore() {
  store.addEventListener("changed", ({ detail }) => {
    if (detail.doc !== doc) return;
    view.labels = doc.labels;
    view.repaint(detail.box);
    describe();
  });
  store.addEventListener("history", () => showHistory());
  store.addEventListener("summary", ({ detail }) => list.update(detail.id));
  store.addEventListener("saving", () => showSaved("Saving…"));
  store.addEventListener("saved", () => {
    showSaved(store.unsaved ? "Saving…" : "Saved");
    complain("");
  });
  store.addEventListener("failed", ({ detail }) => {
    showSaved("Not saved", true);
    complain(`Not saved: ${detail.message}`);
  });
  store.addEventListener("conflict", ({ detail }) => {
    showSaved("Not saved", true);
    $("conflict-text").textContent = `${detail.doc.id} was changed in another tab or by another program after this page had loaded it.`;
    conflicting = detail.doc;
    if (!$("conflict").open) $("conflict").showModal();
  });
  $("conflict").addEventListener("cancel", (event) => event.preventDefault());
}

let conflicting = null;
function answerConflict(act) {
  $("conflict").close();
  act(conflicting);
  if (doc === conflicting) describe();
}

function showSaved(words, isBad = false) {
  $("saved").textContent = words;
  $("saved").classList.toggle("bad", isBad);
}

start();
