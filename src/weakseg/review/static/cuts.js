// The threshold: while its slider moves the browser cuts the seed, and once it rests the server cuts it as a run does.

import * as api from "./api.js";
import { $ } from "./elements.js";
import { busy, complain } from "./notices.js";
import { Seed } from "./seed.js";

const CUT_AFTER_MS = 350; // after the last step of the slider, for those who move it by keys

export class Cuts {
  // desk: { view, doc, cut(labels) }; rested() is called when it is time to settle.
  constructor(desk, session, rested) {
    Object.assign(this, { desk, start: session.threshold ?? 0.5, seed: null, timer: 0 });
    $("threshold-row").hidden = session.threshold === null;
    $("edges-row").hidden = !session.followsEdges;
    $("threshold").value = this.start;
    $("threshold").addEventListener("input", () => {
      clearTimeout(this.timer);
      this.preview();
    });
    $("threshold").addEventListener("change", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(rested, CUT_AFTER_MS);
    });
    this.showValue();
  }

  // Whether the slider has moved since the server was last asked.
  get waiting() {
    return this.timer !== 0;
  }

  get threshold() {
    return Number($("threshold").value);
  }

  // Another image is on show.
  open(doc) {
    this.seed = null;
    $("threshold").value = this.start;
    $("threshold").disabled = !doc.hasSeed;
    this.showValue();
  }

  showValue() {
    $("threshold-value").textContent = this.threshold.toFixed(2);
  }

  async preview() {
    const { doc, view } = this.desk;
    if (!doc) return;
    const threshold = this.threshold;
    this.showValue();
    if (!this.seed) {
      const answer = await api.getAbout("seed", doc.id).catch((error) => complain(error.message));
      if (!answer || this.desk.doc.id !== doc.id) return;
      this.seed ||= new Seed(answer, doc.width, doc.height);
    }
    const labels = new Uint8Array(doc.labels.length);
    this.seed.cut(threshold, labels);
    view.labels = labels;
    view.repaint();
  }

  async settle() {
    clearTimeout(this.timer);
    this.timer = 0;
    const { doc, view } = this.desk;
    if (!doc) return;
    busy("Cutting…");
    try {
      const message = { threshold: this.threshold, followEdges: $("edges").checked };
      const answer = await api.send("cut", doc.id, message);
      if (this.desk.doc.id !== doc.id) return;
      view.labels = this.desk.doc.labels;
      this.desk.cut(api.fromBase64(answer.labels));
    } catch (error) {
      complain(error.message);
      view.labels = this.desk.doc.labels;
      view.repaint();
    } finally {
      busy("");
    }
  }
}
