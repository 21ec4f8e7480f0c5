// Cutting a seed in the browser: small maps become, once, the strongest class and its score of every pixel.

import { fromBase64 } from "./api.js";

export class Seed {
  constructor(answer, width, height) {
    this.keys = answer.keys;
    this.best = new Uint8Array(width * height);
    this.label = new Uint8Array(width * height);
    const maps = fromBase64(answer.maps);
    const size = answer.width * answer.height;
    answer.keys.forEach((key, at) => {
      this.add(maps.subarray(at * size, (at + 1) * size), answer.width, answer.height, key + 1, width, height);
    });
  }

  // Upsamples a map bilinearly, pixel centres aligned as areas, and keeps it where it is the strongest.
  add(map, w, h, label, width, height) {
    const columns = Array.from({ length: width }, (_, x) => place(x, width, w));
    for (let y = 0, at = 0; y < height; y++) {
      const row = place(y, height, h);
      const [upper, lower] = [row.first * w, row.second * w];
      for (let x = 0; x < width; x++, at++) {
        const { first, second, share } = columns[x];
        const above = map[upper + first] + share * (map[upper + second] - map[upper + first]);
        const below = map[lower + first] + share * (map[lower + second] - map[lower + first]);
        const value = above + row.share * (below - above);
        if (value > this.best[at]) {
          this.best[at] = value;
          this.label[at] = label;
        }
      }
    }
  }

  cut(threshold, into) {
    const least = 255 * threshold;
    for (let at = 0; at < into.length; at++) into[at] = this.best[at] > least ? this.label[at] : 0;
  }
}

function place(position, size, smallSize) {
  const at = Math.max(0, ((position + 0.5) * smallSize) / size - 0.5);
  const first = Math.min(smallSize - 1, Math.floor(at));
  return { first, second: Math.min(smallSize - 1, first + 1), share: at - first };
}
