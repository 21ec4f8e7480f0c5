// Which pixels a shape covers. A pixel belongs to a shape if its centre lies inside.

export class Box {
  constructor() {
    this.x0 = this.y0 = Infinity;
    this.x1 = this.y1 = -Infinity;
  }

  add(x0, y0, x1 = x0, y1 = y0) {
    this.x0 = Math.min(this.x0, x0);
    this.y0 = Math.min(this.y0, y0);
    this.x1 = Math.max(this.x1, x1);
    this.y1 = Math.max(this.y1, y1);
  }

  get empty() {
    return this.x1 < this.x0;
  }

  get rectangle() {
    return { x: this.x0, y: this.y0, w: this.x1 - this.x0 + 1, h: this.y1 - this.y0 + 1 };
  }
}

// Fills all within `radius` of the line from a to b.
export function fillLine(values, width, height, a, b, radius, value, box) {
  const x0 = Math.max(0, Math.floor(Math.min(a.x, b.x) - radius));
  const x1 = Math.min(width - 1, Math.ceil(Math.max(a.x, b.x) + radius));
  const y0 = Math.max(0, Math.floor(Math.min(a.y, b.y) - radius));
  const y1 = Math.min(height - 1, Math.ceil(Math.max(a.y, b.y) + radius));
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const length = dx * dx + dy * dy;
  const limit = radius * radius;
  for (let y = y0; y <= y1; y++) {
    for (let x = x0; x <= x1; x++) {
      const [px, py] = [x + 0.5 - a.x, y + 0.5 - a.y];
      const share = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      const [qx, qy] = [px - share * dx, py - share * dy];
      if (qx * qx + qy * qy <= limit) {
        values[y * width + x] = value;
        box.add(x, y);
      }
    }
  }
}

export function fillPolygon(values, width, height, points, value, box) {
  for (let y = 0; y < height; y++) {
    const centre = y + 0.5;
    const crossings = [];
    for (let at = 0; at < points.length; at++) {
      const [a, b] = [points[at], points[(at + 1) % points.length]];
      if (a.y <= centre !== b.y <= centre) crossings.push(a.x + ((centre - a.y) / (b.y - a.y)) * (b.x - a.x));
    }
    crossings.sort((one, other) => one - other);
    for (let at = 0; at + 1 < crossings.length; at += 2) {
      const first = Math.max(0, Math.ceil(crossings[at] - 0.5));
      const last = Math.min(width - 1, Math.ceil(crossings[at + 1] - 0.5) - 1);
      if (last < first) continue;
      values.fill(value, y * width + first, y * width + last + 1);
      box.add(first, y, last, y);
    }
  }
}

export function cutOut(values, width, { x, y, w, h }) {
  const part = new Uint8Array(w * h);
  for (let row = 0; row < h; row++) {
    part.set(values.subarray((y + row) * width + x, (y + row) * width + x + w), row * w);
  }
  return part;
}

export function putBack(values, width, { x, y, w, h }, part) {
  for (let row = 0; row < h; row++) values.set(part.subarray(row * w, row * w + w), (y + row) * width + x);
}

// The smallest rectangle that holds all differences; null if there are none.
export function findChange(before, after, width, height) {
  const box = new Box();
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) if (before[at] !== after[at]) box.add(x, y);
  }
  return box.empty ? null : box.rectangle;
}
