// What the page says of the image on show, and of what undo and redo would do.

import { $ } from "./elements.js";

const VERDICTS = { right: "called right", wrong: "called wrong" };

// For readers of the screen, once it is there.
export function announce(doc, image) {
  const verdict = VERDICTS[doc.verdict] || (doc.hasMask ? "mask corrected" : "not looked at yet");
  return `${doc.id}, ${doc.tags.join(", ") || "no tags"}, ${verdict}. ${image.why}`;
}

export function describeImage(doc, image, images) {
  $("name").textContent = doc.id.split("/").at(-1);
  $("name").title = doc.id;
  const shrunk = doc.fullWidth === doc.width ? "" : `, shown at ${doc.width} × ${doc.height}`;
  const place = `${images.indexOf(image) + 1} of ${images.length}`;
  $("place").textContent = `${place} · ${image.split} · ${doc.fullWidth} × ${doc.fullHeight}${shrunk}`;
  $("why").textContent = image.why;
  $("why").hidden = !image.why;
  $("canvas").setAttribute("aria-label", `Image ${doc.id} with its mask`);
  $("accept").setAttribute("aria-pressed", String(doc.verdict === "right"));
  $("reject").setAttribute("aria-pressed", String(doc.verdict === "wrong"));
  $("reset").disabled = !doc.hasMask;
}

export function describeHistory(store) {
  for (const [button, entry, verb] of [["undo", store.nextUndo, "Undo"], ["redo", store.nextRedo, "Redo"]]) {
    $(button).disabled = !entry;
    $(button).setAttribute("aria-label", entry ? `${verb} ${entry.what}` : verb);
  }
}
