// What happens between putting a tool down on the image and lifting it. Nothing is changed before it is lifted.

import { Box, fillLine, fillPolygon } from "./shapes.js";

const CLOSE_PX = 10; // a click this near to the first corner closes a polygon
const SCRIBBLE_RADIUS = 2;

export class Tools {
  // desk: { view, doc, label, radius, patches(), commit(labels, what), spread(strokes, base) }
  constructor(desk) {
    this.desk = desk;
    this.name = "brush";
    this.active = null; // labels under the tool while it is down
    this.points = []; // corners of an unfinished polygon
    this.scribbles = null;
    this.cursor = null;
    desk.view.drawings.push((context, px) => this.draw(context, px));
  }

  choose(name) {
    this.cancel();
    this.name = name;
    this.endScribbles();
    this.desk.view.draw();
  }

  get paints() {
    return this.name !== "hand";
  }

  get label() {
    return this.name === "eraser" ? 0 : this.desk.label;
  }

  start(point) {
    const { doc, view } = this.desk;
    if (!doc) return;
    if (this.name === "polygon") return this.addCorner(point);
    if (this.name === "spread") return this.startScribble(point);
    this.before = doc.labels;
    this.active = doc.labels.slice();
    view.labels = this.active;
    this.last = point;
    this.move(point);
  }

  move(point) {
    this.cursor = point;
    const { doc, view } = this.desk;
    if (this.stroking) {
      const box = new Box();
      const { strokes } = this.scribbles;
      fillLine(strokes, doc.width, doc.height, this.last, point, SCRIBBLE_RADIUS, this.label, box);
      this.last = point;
      if (!box.empty) view.repaint(box.rectangle);
    } else if (this.active) {
      const box = new Box();
      if (this.name === "patch") this.fillPatch(point, box);
      else fillLine(this.active, doc.width, doc.height, this.last, point, this.desk.radius, this.label, box);
      this.last = point;
      if (!box.empty) view.repaint(box.rectangle);
    }
    view.draw();
  }

  end() {
    if (this.stroking) {
      this.stroking = false;
      this.desk.spread(this.scribbles);
    } else if (this.active) {
      const labels = this.active;
      this.active = null;
      this.desk.view.labels = this.before;
      this.desk.commit(labels, { brush: "brush", eraser: "eraser", patch: "patches" }[this.name] || this.name);
    }
  }

  // A second finger has come: what the first one did was no painting.
  cancel() {
    const { view } = this.desk;
    if (this.active) view.labels = this.before;
    this.active = null;
    this.stroking = false;
    this.points = [];
    view.repaint();
  }

  fillPatch(point, box) {
    const { doc } = this.desk;
    const patches = this.desk.patches();
    const [x, y] = [Math.floor(point.x), Math.floor(point.y)];
    if (!patches || x < 0 || y < 0 || x >= doc.width || y >= doc.height) return;
    const wanted = patches[y * doc.width + x];
    for (let at = 0; at < patches.length; at++) {
      if (patches[at] === wanted && this.active[at] !== this.label) {
        this.active[at] = this.label;
        box.add(at % doc.width, Math.floor(at / doc.width));
      }
    }
  }

  startScribble(point) {
    const { doc, view } = this.desk;
    if (!this.scribbles) {
      const strokes = new Uint8Array(doc.labels.length).fill(view.noStroke);
      this.scribbles = { id: doc.id, base: doc.labels.slice(), strokes };
      view.strokes = strokes;
    }
    this.stroking = true;
    this.last = point;
    this.move(point);
  }

  // The next scribble starts from the mask as it then is.
  endScribbles() {
    this.scribbles = null;
    this.stroking = false;
    if (this.desk.view.strokes) {
      this.desk.view.strokes = null;
      this.desk.view.repaint();
    }
  }

  addCorner(point) {
    const [first] = this.points;
    const px = 1 / this.desk.view.scale;
    if (first && this.points.length > 2 && Math.hypot(point.x - first.x, point.y - first.y) < CLOSE_PX * px) {
      return this.closePolygon();
    }
    this.points.push(point);
    this.desk.view.draw();
  }

  closePolygon() {
    const { doc } = this.desk;
    const points = this.points;
    this.points = [];
    if (points.length < 3) return this.desk.view.draw();
    const labels = doc.labels.slice();
    fillPolygon(labels, doc.width, doc.height, points, this.label, new Box());
    this.desk.commit(labels, "polygon");
  }

  takeBackCorner() {
    if (!this.points.length) return false;
    this.points.pop();
    this.desk.view.draw();
    return true;
  }

  draw(context, px) {
    const line = (path) => {
      context.lineWidth = 3 * px;
      context.strokeStyle = "rgba(0, 0, 0, 0.7)";
      context.stroke(path);
      context.lineWidth = 1.5 * px;
      context.strokeStyle = "#fff";
      context.stroke(path);
    };
    if (this.points.length) {
      const path = new Path2D();
      this.points.forEach(({ x, y }, at) => (at ? path.lineTo(x, y) : path.moveTo(x, y)));
      if (this.cursor) path.lineTo(this.cursor.x, this.cursor.y);
      line(path);
      for (const { x, y } of this.points) {
        const dot = new Path2D();
        dot.arc(x, y, 4 * px, 0, 2 * Math.PI);
        context.fillStyle = "#fff";
        context.fill(dot);
        line(dot);
      }
    }
    if (!this.cursor) return;
    const { x, y } = this.cursor;
    const ring = new Path2D();
    if (this.name === "brush" || this.name === "eraser") ring.arc(x, y, this.desk.radius, 0, 2 * Math.PI);
    if (this.keyboard) {
      ring.moveTo(x - 9 * px, y);
      ring.lineTo(x + 9 * px, y);
      ring.moveTo(x, y - 9 * px);
      ring.lineTo(x, y + 9 * px);
    }
    line(ring);
  }
}
