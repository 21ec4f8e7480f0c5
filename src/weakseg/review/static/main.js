// The page: what the buttons, keys and fingers do.

import * as api from "./api.js";
import { Assistance } from "./assistance.js";
import { steerByKeys } from "./cross.js";
import { Cuts } from "./cuts.js";
import { announce, describeHistory, describeImage } from "./describing.js";
import { $ } from "./elements.js";
import { listKeys, listenToKeys } from "./keys.js";
import { List, stateOf } from "./list.js";
import { busy, complain, say } from "./notices.js";
import { awaitOrder, takeOrder } from "./ordering.js";
import { Paints, UNSEEN, paletteOf } from "./paints.js";
import { pictureOf } from "./pictures.js";
import { Pointers } from "./pointers.js";
import { Saving } from "./saving.js";
import { focusIn, listenToSheets, openSheet } from "./sheets.js";
import { Sliders } from "./sliders.js";
import { Store } from "./store.js";
import { Tags } from "./tags.js";
import { Timeline } from "./timeline.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

const view = new View($("canvas"));
let session, store, list, tools, tags, paints, sliders, cuts, assistance, timeline, doc;
let opening = 0;
let moved = Boolean(api.startId); // whether somebody has chosen an image
let pending = Promise.resolve(); // what the server still works out for the image on show

// What tools and what else works on the image may ask of the page.
const desk = {
  view,
  show,
  describe,
  settle,
  get doc() {
    return doc;
  },
  get label() {
    return paints.label;
  },
  get radius() {
    return sliders.size / 2;
  },
  patches: () => assistance.patches,
  commit(labels, what) {
    if (!change(what, { labels, ...withPaintedTag(labels) })) view.repaint();
  },
  cut(labels) {
    if (!change("threshold", { labels })) view.repaint();
  },
  spread(scribbles) {
    pending = assistance.spread(scribbles);
  },
  follow(labels) {
    change("scribble", { labels, ...withPaintedTag(labels) });
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
  view.palette = paletteOf(session.classes);
  tools = new Tools(desk);
  assistance = new Assistance(desk, tools);
  timeline = new Timeline(desk, store, tools);
  sliders = new Sliders(view);
  cuts = new Cuts(desk, session, () => (pending = cuts.settle()));
  paints = new Paints($("paints"), session.classes, view.palette, takeUp);
  tags = new Tags($("tags"), $("tag-hint"), session.classes, (chosen) => change("tags", { tags: chosen }));
  list = new List({
    list: $("list"), rows: $("rows"), filter: $("filter"), search: $("search"), progress: $("progress"), open: choose,
  });
  list.fill(session.images);
  listen();
  const refused = await store.finishJournal();
  const first = session.images.find((image) => image.id === api.startId) || session.images.find((image) => stateOf(image) === "none");
  if (session.images.length) await show((first || session.images[0]).id);
  if (session.isOrdering) awaitOrder(reorder);
  if (refused.length) complain(`Changed elsewhere, so that an earlier change was not saved: ${refused.join(", ")}`);
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
    assistance.open();
    paints.open(doc);
    cuts.open(doc);
    view.show(picture, doc.labels, doc.width, doc.height);
    api.rememberImage(id);
    describe();
    say(announce(doc, store.summaries.get(doc.id)));
    assistance.prepare();
    const following = list.step(1);
    if (following) pictureOf(following.id);
  } catch (error) {
    if (turn === opening) complain(`${id}: ${error.message}`);
  } finally {
    clearTimeout(waiting);
    if (turn === opening) busy("");
  }
}

function describe() {
  const image = store.summaries.get(doc.id);
  describeImage(doc, image, session.images);
  tags.show(doc, image);
  paints.show();
  describeHistory(store);
}

// A paint was chosen, so that a tool that paints nothing of it is laid down.
function takeUp(label) {
  if (["eraser", "hand"].includes(tools.name)) chooseTool("brush");
  view.draw();
  say(`Painting ${paints.nameOf(label)}`);
}

// Who paints a class says that the image shows it.
function withPaintedTag(labels) {
  const name = paints.isClass && tools.name !== "eraser" ? paints.nameOf(paints.label) : "";
  return name && !doc.tags.includes(name) && labels.includes(paints.label) ? { tags: [...doc.tags, name] } : {};
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
  if (cuts.waiting) pending = cuts.settle();
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

async function reset() {
  if (!doc || !doc.hasMask) return;
  const id = doc.id;
  const answer = await api.getAbout("original", id).catch((error) => complain(error.message));
  if (answer && doc.id === id) change("the way back to the run's mask", { labels: api.fromBase64(answer.labels), hasMask: false });
}

// Tools.

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
  if (doc) assistance.prepare();
}

// Moving about.

function choose(id) {
  moved = true;
  openSheet("rail", false);
  show(id);
}

function step(by) {
  moved = true;
  const image = list.step(by);
  if (image) show(image.id);
  else say(by > 0 ? "This is the last image of the list" : "This is the first image of the list");
}

// The server has found out which masks are doubtful. Whoever has begun stays where they are.
async function reorder() {
  session.images = await takeOrder(store);
  list.fill(session.images);
  const first = session.images.find((image) => stateOf(image) === "none");
  if (first && !moved && !store.nextUndo) await show(first.id);
  else if (doc) describe();
  say("The most doubtful masks come first now");
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
  undo: () => timeline.undo(),
  redo: () => timeline.redo(),
  hide,
  more: () => sliders.setOpacity(sliders.opacity + 10),
  less: () => sliders.setOpacity(sliders.opacity - 10),
  larger: () => sliders.setSize(Math.ceil(sliders.size * 1.25)),
  smaller: () => sliders.setSize(Math.max(1, Math.floor(sliders.size / 1.25))),
  zoomIn: () => view.zoomCentre(1.25),
  zoomOut: () => view.zoomCentre(0.8),
  fit: () => view.fit(),
  threshold: () => focusIn("panel", "threshold"),
  tags: () => {
    openSheet("panel", true);
    $("tags").querySelector("button, select").focus();
  },
  list: () => focusIn("rail", "list"),
  classes: () => ($("other-class") || paints).focus(),
  image: () => $("canvas").focus(),
  help: () => $("help").showModal(),
  unseen: () => paints.choose(UNSEEN),
  background: () => paints.choose(0),
  paint: (digit) => paints.offered[digit - 1] && paints.choose(paints.offered[digit - 1]),
  tool: (name) => chooseTool(name),
  escape() {
    tools.cancel();
    tools.endScribbles();
    openSheet("rail", false);
    openSheet("panel", false);
  },
};

function listen() {
  const clicks = {
    hide, reset, undo: COMMANDS.undo, redo: COMMANDS.redo, accept: COMMANDS.accept, reject: COMMANDS.reject,
    next: COMMANDS.next, previous: COMMANDS.previous, fit: COMMANDS.fit,
    "zoom-in": COMMANDS.zoomIn, "zoom-out": COMMANDS.zoomOut,
    "open-help": COMMANDS.help, "close-help": () => $("help").close(),
  };
  for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", () => act());
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.addEventListener("click", () => chooseTool(button.dataset.tool));
  }
  listenToSheets();
  listenToStore();
  steerByKeys($("canvas"), desk, tools);
  listenToKeys(COMMANDS);
  new Pointers($("canvas"), view, tools);
  document.addEventListener("visibilitychange", refresh);
  window.addEventListener("focus", refresh);
  listKeys($("keys"));
}

function listenToStore() {
  store.addEventListener("changed", ({ detail }) => {
    if (detail.doc !== doc) return;
    view.labels = doc.labels;
    view.repaint(detail.box);
    describe();
  });
  store.addEventListener("history", () => describeHistory(store));
  store.addEventListener("summary", ({ detail }) => list.update(detail.id));
  new Saving(store, (one) => {
    if (one === doc) describe();
  });
}

start();
