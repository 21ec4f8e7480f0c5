// What the server works out for a tool: patches of like colour, and the mask that scribbles make.

import * as api from "./api.js";
import { busy, complain } from "./notices.js";

export class Assistance {
  // desk: { view, doc, follow(labels) }
  constructor(desk, tools) {
    Object.assign(this, { desk, tools, patches: null, turns: 0 });
  }

  // Another image is on show.
  open() {
    this.patches = null;
  }

  // Gets what the tool needs, so that its first use need not wait.
  async prepare() {
    const { desk, tools } = this;
    const { doc: { id }, view } = desk;
    try {
      if (tools.name === "patch" && !this.patches) {
        const answer = await api.getAbout("superpixels", id);
        if (desk.doc.id !== id) return;
        this.patches = api.fromBase64(answer.patches, Uint16Array);
        view.patchGrid = view.makeGrid(this.patches);
      } else if (tools.name === "spread") await api.prepare(id);
    } catch (error) {
      complain(error.message);
    }
    view.grid = tools.name === "patch" && this.patches ? view.patchGrid : null;
    view.draw();
  }

  // Of several scribbles in a row only the answer to the last counts.
  async spread(scribbles) {
    const { desk, tools } = this;
    const turn = ++this.turns;
    busy("Spreading…");
    try {
      const [labels, strokes] = await Promise.all([api.deflated(scribbles.base), api.deflated(scribbles.strokes)]);
      const answer = await api.send("spread", scribbles.id, { labels, strokes });
      if (turn !== this.turns || desk.doc.id !== scribbles.id || tools.scribbles !== scribbles) return;
      desk.follow(api.fromBase64(answer.labels));
      desk.view.strokes = scribbles.strokes;
      desk.view.repaint();
    } catch (error) {
      complain(error.message);
    } finally {
      if (turn === this.turns) busy("");
    }
  }
}
