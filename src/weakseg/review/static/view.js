// The image with its mask on a canvas: zoom, pan, and what lies over them.

const UNSEEN = 255;
const CONTOUR_BONUS = 0.4;
const MAX_SCALE = 40;
const MARGIN_PX = 12;

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.layer = document.createElement("canvas");
    this.grid = null; // borders of the patches, drawn while their tool is used
    this.opacity = 0.5;
    this.hidden = false;
    this.palette = [];
    this.scale = 1;
    this.left = 0;
    this.top = 0;
    this.drawings = []; // functions that draw over the image in its own coordinates
    this.waiting = false;
    this.fitted = true;
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  setPalette(colours) {
    this.palette = colours; // by label
  }

  show(picture, labels, width, height) {
    this.picture = picture;
    this.labels = labels;
    this.strokes = null;
    this.grid = null;
    this.width = width;
    this.height = height;
    this.layer.width = width;
    this.layer.height = height;
    this.layerContext = this.layer.getContext("2d");
    this.pixels = this.layerContext.createImageData(width, height);
    this.words = new Uint32Array(this.pixels.data.buffer);
    this.repaint();
    this.fit();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.max(1, Math.round(clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * ratio));
    if (this.fitted) this.fit();
    else this.draw();
  }

  fit() {
    if (!this.picture) return;
    const { clientWidth, clientHeight } = this.canvas;
    const room = [clientWidth - 2 * MARGIN_PX, clientHeight - 2 * MARGIN_PX];
    this.scale = Math.max(0.01, Math.min(room[0] / this.width, room[1] / this.height));
    this.left = (clientWidth - this.width * this.scale) / 2;
    this.top = (clientHeight - this.height * this.scale) / 2;
    this.fitted = true;
    this.smallest = this.scale / 2;
    this.draw();
  }

  zoomAt(x, y, factor) {
    const scale = Math.min(MAX_SCALE, Math.max(this.smallest || 0.01, this.scale * factor));
    this.left = x - ((x - this.left) / this.scale) * scale;
    this.top = y - ((y - this.top) / this.scale) * scale;
    this.scale = scale;
    this.fitted = false;
    this.draw();
  }

  zoomCentre(factor) {
    this.zoomAt(this.canvas.clientWidth / 2, this.canvas.clientHeight / 2, factor);
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.fitted = false;
    this.draw();
  }

  reveal(point) {
    const [x, y] = [this.left + point.x * this.scale, this.top + point.y * this.scale];
    const edge = 24;
    const dx = Math.max(edge - x, 0) || Math.min(this.canvas.clientWidth - edge - x, 0);
    const dy = Math.max(edge - y, 0) || Math.min(this.canvas.clientHeight - edge - y, 0);
    if (dx || dy) this.pan(dx, dy);
  }

  toImage(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: (event.clientX - box.left - this.left) / this.scale,
      y: (event.clientY - box.top - this.top) / this.scale,
    };
  }

  colours() {
    const fills = new Uint32Array(256);
    const lines = new Uint32Array(256);
    const share = this.hidden ? 0 : this.opacity;
    const word = (colour, alpha) => (Math.round(255 * alpha) << 24) | (colour[2] << 16) | (colour[1] << 8) | colour[0];
    this.palette.forEach((colour, label) => {
      if (label === 0) return;
      fills[label] = word(colour, share);
      lines[label] = word(colour, share ? Math.min(1, share + CONTOUR_BONUS) : 0);
    });
    const solid = this.palette.map((colour, label) => word(label === 0 ? [20, 20, 24] : colour, this.hidden ? 0 : 0.95));
    return { fills, lines, solid };
  }

  repaint(box) {
    if (!this.labels) return;
    const { width, height, labels, strokes, words } = this;
    const x0 = box ? Math.max(0, box.x - 1) : 0;
    const y0 = box ? Math.max(0, box.y - 1) : 0;
    const x1 = box ? Math.min(width, box.x + box.w + 1) : width;
    const y1 = box ? Math.min(height, box.y + box.h + 1) : height;
    if (x1 <= x0 || y1 <= y0) return;
    const { fills, lines, solid } = this.colours();
    for (let y = y0; y < y1; y++) {
      for (let x = x0, at = y * width + x0; x < x1; x++, at++) {
        const label = labels[at];
        const isBorder =
          (x > 0 && labels[at - 1] !== label) ||
          (x + 1 < width && labels[at + 1] !== label) ||
          (y > 0 && labels[at - width] !== label) ||
          (y + 1 < height && labels[at + width] !== label);
        let word = isBorder ? lines[label] : fills[label];
        if (label === UNSEEN && !isBorder && ((x + y) >> 2) & 1) word = 0; // stripes
        if (strokes && strokes[at] !== this.noStroke) word = solid[strokes[at]];
        words[at] = word;
      }
    }
    this.layerContext.putImageData(this.pixels, 0, 0, x0, y0, x1 - x0, y1 - y0);
    this.draw();
  }

  makeGrid(patches) {
    const { width, height } = this;
    const grid = document.createElement("canvas");
    grid.width = width;
    grid.height = height;
    const pixels = new ImageData(width, height);
    const words = new Uint32Array(pixels.data.buffer);
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const differs =
          (x + 1 < width && patches[at + 1] !== patches[at]) || (y + 1 < height && patches[at + width] !== patches[at]);
        words[at] = differs ? 0x70ffffff : 0;
      }
    }
    grid.getContext("2d").putImageData(pixels, 0, 0);
    return grid;
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.drawNow();
    });
  }

  drawNow() {
    const { context, canvas } = this;
    const ratio = canvas.width / Math.max(1, canvas.clientWidth);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.picture) return;
    const scale = this.scale * ratio;
    context.setTransform(scale, 0, 0, scale, this.left * ratio, this.top * ratio);
    context.imageSmoothingEnabled = this.scale < 4;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, 0, 0, this.width, this.height);
    context.imageSmoothingEnabled = this.scale < 1;
    context.drawImage(this.layer, 0, 0);
    if (this.grid) context.drawImage(this.grid, 0, 0);
    for (const drawing of this.drawings) drawing(context, 1 / this.scale);
  }
}
