// Undo and redo over all images: the page first goes to the image whose change it is.

import { say } from "./notices.js";

export class Timeline {
  // desk: { doc, settle(), show(id), describe() }
  constructor(desk, store, tools) {
    Object.assign(this, { desk, store, tools });
  }

  async undo() {
    if (this.tools.takeBackCorner()) return;
    const entry = await this.travel((doc) => this.store.undo(doc), () => this.store.nextUndo);
    if (entry) say(`Took back ${entry.what}`);
  }

  async redo() {
    const entry = await this.travel((doc) => this.store.redo(doc), () => this.store.nextRedo);
    if (entry) say(`Repeated ${entry.what}`);
  }

  // Returns what was done, or null.
  async travel(act, nextEntry) {
    const { desk, tools } = this;
    await desk.settle();
    const entry = nextEntry();
    if (!entry) return null;
    if (desk.doc.id !== entry.id) await desk.show(entry.id);
    if (desk.doc.id !== entry.id) return null;
    if (nextEntry() !== entry) {
      say("This image was changed elsewhere; there is nothing to take back");
      return null;
    }
    tools.cancel();
    tools.endScribbles();
    act(desk.doc);
    desk.describe();
    return entry;
  }
}
