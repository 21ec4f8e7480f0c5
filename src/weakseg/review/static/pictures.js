// The pictures of the images that were shown last, and of the one that comes next.

import * as api from "./api.js";

const KEPT = 6;

const pictures = new Map();

export function pictureOf(id) {
  if (!pictures.has(id)) {
    const loading = api.getPicture(id);
    loading.catch(() => pictures.delete(id));
    pictures.set(id, loading);
    if (pictures.size > KEPT) pictures.delete(pictures.keys().next().value);
  }
  return pictures.get(id);
}
