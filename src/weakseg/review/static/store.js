// The images that were opened, saving every change at once, and undo over all of them.

import * as api from "./api.js";
import { cutOut, findChange, putBack } from "./shapes.js";

const RETRY_MS = [500, 1000, 2000, 5000];
const HISTORY_BYTES = 200e6;

export class Store extends EventTarget {
  constructor(session) {
    super();
    this.journal = `weakseg-review:${session.key}:`; // what is not on disk yet survives the tab here
    this.summaries = new Map(session.images.map((image) => [image.id, image]));
    this.docs = new Map();
    this.undone = [];
    this.done = [];
    this.kept = 0;
  }

  tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  // Returns an image as it is on disk, or with what waits to be written.
  async open(id) {
    const known = this.docs.get(id);
    if (known && (known.dirty || known.saving)) return known;
    const state = await api.getAbout("state", id);
    const doc = known && (known.dirty || known.saving) ? known : this.accept(known || {}, state);
    this.docs.set(id, doc);
    return doc;
  }

  accept(doc, state) {
    const moved = doc.revision !== undefined && doc.revision !== state.revision;
    Object.assign(doc, state, { labels: api.fromBase64(state.labels), dirty: false, maskChanged: false });
    if (moved) this.forget(doc.id); // undo would bring back what somebody else has replaced
    this.summarise(doc);
    return doc;
  }

  forget(id) {
    this.done = this.done.filter((entry) => entry.id !== id);
    this.undone = this.undone.filter((entry) => entry.id !== id);
    this.tell("history");
  }

  summarise(doc) {
    const summary = this.summaries.get(doc.id);
    Object.assign(summary, { verdict: doc.verdict, hasMask: doc.hasMask, tags: doc.tags, revision: doc.revision });
    this.tell("summary", { id: doc.id });
  }

  // Makes one change of an image, which undo takes back as a whole.
  //   what: its name in words; labels: the new mask; words: { verdict, tags, hasMask }
  change(doc, what, { labels = null, ...words } = {}) {
    const names = Object.keys(words);
    const entry = { id: doc.id, what, patch: null, before: {}, after: {} };
    if (labels) {
      const box = findChange(doc.labels, labels, doc.width, doc.height);
      if (box) {
        entry.patch = { box, before: cutOut(doc.labels, doc.width, box), after: cutOut(labels, doc.width, box) };
      }
      if (box || words.hasMask === false) names.push("hasMask", "verdict");
      if (box && words.hasMask === undefined) words.hasMask = true;
      if (words.verdict === undefined) words.verdict = null; // said of another mask
    }
    for (const name of new Set(names)) {
      entry.before[name] = doc[name];
      entry.after[name] = words[name];
    }
    if (!entry.patch && names.every((name) => same(entry.before[name], entry.after[name]))) return false;
    this.done.push(entry);
    this.undone = [];
    this.kept += size(entry);
    while (this.kept > HISTORY_BYTES && this.done.length > 1) this.kept -= size(this.done.shift());
    this.apply(doc, entry, "after");
    return true;
  }

  apply(doc, entry, side) {
    if (entry.patch) {
      putBack(doc.labels, doc.width, entry.patch.box, entry.patch[side]);
      doc.maskChanged = true;
    }
    Object.assign(doc, entry[side]);
    if ("hasMask" in entry[side]) doc.maskChanged = true;
    this.tell("changed", { doc, box: entry.patch ? entry.patch.box : null });
    this.tell("history");
    this.save(doc);
  }

  get nextUndo() {
    return this.done.at(-1);
  }

  get nextRedo() {
    return this.undone.at(-1);
  }

  undo(doc) {
    const entry = this.done.pop();
    this.undone.push(entry);
    this.apply(doc, entry, "before");
    return entry;
  }

  redo(doc) {
    const entry = this.undone.pop();
    this.done.push(entry);
    this.apply(doc, entry, "after");
    return entry;
  }

  async message(doc) {
    const { revision, verdict, tags } = doc;
    const keep = !doc.maskChanged;
    const mask = !doc.hasMask ? "none" : keep ? "keep" : await api.deflated(doc.labels.slice());
    return { revision, verdict, tags, mask };
  }

  // Writes an image, and again until nothing is left to write. One request at a time, so that revisions follow.
  async save(doc) {
    doc.dirty = true;
    this.summarise(doc);
    this.tell("saving");
    if (doc.saving || doc.conflict) return;
    doc.saving = true;
    for (let tries = 0; doc.dirty; ) {
      doc.dirty = false;
      const hadMask = doc.maskChanged;
      doc.maskChanged = false;
      try {
        const message = await this.message({ ...doc, maskChanged: hadMask });
        this.keepInJournal(doc.id, message);
        const answer = await api.send("correction", doc.id, message, "PUT", { leaving: true });
        doc.revision = answer.revision;
        doc.changedAt = answer.changedAt;
        if (!doc.dirty) localStorage.removeItem(this.journal + doc.id);
        tries = 0;
        this.summarise(doc);
      } catch (error) {
        doc.dirty = true;
        doc.maskChanged ||= hadMask;
        if (error.status === 409) {
          doc.conflict = error.answer.state;
          this.tell("conflict", { doc, message: error.message });
          break;
        }
        this.tell("failed", { message: error.message });
        if (error.status === 400 || error.status === 404 || error.status === 413) break; // would fail again
        await new Promise((done) => setTimeout(done, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]));
      }
    }
    doc.saving = false;
    if (!doc.dirty) this.tell("saved");
  }

  keepInJournal(id, message) {
    try {
      localStorage.setItem(this.journal + id, JSON.stringify(message));
    } catch {
      // Full or forbidden: the message is on its way all the same.
    }
  }

  // Writes what an earlier tab could not: its server was gone. A newer revision on disk wins; returns where it did.
  async finishJournal() {
    const refused = [];
    const names = Object.keys(localStorage).filter((name) => name.startsWith(this.journal));
    for (const name of names) {
      const id = name.slice(this.journal.length);
      try {
        await api.send("correction", id, JSON.parse(localStorage.getItem(name)), "PUT");
      } catch (error) {
        if (!error.status) break;
        refused.push(id);
      }
      localStorage.removeItem(name);
    }
    return refused;
  }

  get unsaved() {
    return [...this.docs.values()].some((doc) => doc.dirty || doc.saving);
  }

  takeTheirs(doc) {
    const state = doc.conflict;
    doc.conflict = null;
    localStorage.removeItem(this.journal + doc.id);
    this.accept(doc, state);
    this.tell("changed", { doc, box: null });
    this.tell("saved");
  }

  keepMine(doc) {
    doc.revision = doc.conflict.revision;
    doc.conflict = null;
    doc.maskChanged = true;
    this.save(doc);
  }
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

function size(entry) {
  return 200 + (entry.patch ? 2 * entry.patch.after.length : 0);
}
