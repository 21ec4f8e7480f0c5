// Fingers, pens and mice on the canvas: one paints, two zoom and move.

const WHEEL_ZOOM = 0.0015;
const LINE_PX = 16; // of a wheel that counts lines

export class Pointers {
  constructor(canvas, view, tools) {
    Object.assign(this, { canvas, view, tools, down: new Map(), space: false, mode: "none" });
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", (event) => this.release(event, true));
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => tools.name === "polygon" && tools.points.length > 2 && tools.closePolygon());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    document.addEventListener("keydown", (event) => this.hold(event, true));
    document.addEventListener("keyup", (event) => this.hold(event, false));
  }

  hold(event, isDown) {
    if (event.key !== " " || event.target.matches("button, input, select, [role=listbox]")) return;
    event.preventDefault();
    this.space = isDown;
    this.canvas.classList.toggle("moving", isDown);
  }

  press(event) {
    event.preventDefault(); // the focus stays where it is, so that arrow keys go on leafing
    if (document.activeElement && document.activeElement !== document.body) document.activeElement.blur();
    this.canvas.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.tools.keyboard = false;
    if (this.down.size > 1) {
      if (this.mode === "paint") this.tools.cancel();
      this.mode = "pinch";
    } else if (event.button === 1 || this.space || !this.tools.paints) this.mode = "pan";
    else if (event.button === 0) {
      this.mode = "paint";
      this.tools.start(this.view.toImage(event));
    }
  }

  move(event) {
    const before = this.down.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") this.hover(event);
      return;
    }
    const now = { x: event.clientX, y: event.clientY };
    if (this.mode === "paint") {
      const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      for (const one of events.length ? events : [event]) this.tools.move(this.view.toImage(one));
    } else if (this.mode === "pan") this.view.pan(now.x - before.x, now.y - before.y);
    else if (this.mode === "pinch") this.pinch(event.pointerId, before, now);
    this.down.set(event.pointerId, now);
  }

  hover(event) {
    this.tools.cursor = this.view.toImage(event);
    this.tools.keyboard = false;
    this.view.draw();
  }

  leave() {
    if (this.mode === "paint" || this.tools.keyboard) return;
    this.tools.cursor = null;
    this.view.draw();
  }

  pinch(id, before, now) {
    const other = [...this.down].find(([one]) => one !== id);
    if (!other) return;
    const { x, y } = other[1];
    const box = this.canvas.getBoundingClientRect();
    const factor = Math.hypot(now.x - x, now.y - y) / Math.max(1, Math.hypot(before.x - x, before.y - y));
    this.view.zoomAt(x - box.left, y - box.top, factor);
    this.view.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
  }

  release(event, isLost = false) {
    if (!this.down.delete(event.pointerId)) return;
    if (this.mode === "paint") {
      if (isLost) this.tools.cancel();
      else this.tools.end();
      if (event.pointerType === "touch" && this.tools.name !== "polygon") this.tools.cursor = null;
    }
    if (!this.down.size) this.mode = "none";
  }

  wheel(event) {
    event.preventDefault();
    const box = this.canvas.getBoundingClientRect();
    const step = event.deltaMode === 1 ? event.deltaY * LINE_PX : event.deltaY;
    this.view.zoomAt(event.clientX - box.left, event.clientY - box.top, Math.exp(-step * WHEEL_ZOOM));
  }
}
