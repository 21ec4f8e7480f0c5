// What the page shows of saving: whether all is saved, and the choice where somebody else was faster.

import { $ } from "./elements.js";
import { complain } from "./notices.js";

export class Saving {
  // answered(doc) is called when a person has chosen between two versions of an image.
  constructor(store, answered) {
    Object.assign(this, { store, answered, conflicting: null });
    store.addEventListener("saving", () => this.show("Saving…"));
    store.addEventListener("saved", () => {
      this.show(store.unsaved ? "Saving…" : "Saved");
      complain("");
    });
    store.addEventListener("failed", ({ detail }) => {
      this.show("Not saved", true);
      complain(`Not saved: ${detail.message}`);
    });
    store.addEventListener("conflict", ({ detail }) => this.ask(detail.doc));
    $("conflict").addEventListener("cancel", (event) => event.preventDefault());
    $("take-theirs").addEventListener("click", () => this.answer((doc) => store.takeTheirs(doc)));
    $("keep-mine").addEventListener("click", () => this.answer((doc) => store.keepMine(doc)));
    window.addEventListener("beforeunload", (event) => {
      if (store.unsaved) event.preventDefault();
    });
  }

  show(words, isBad = false) {
    $("saved").textContent = words;
    $("saved").classList.toggle("bad", isBad);
  }

  ask(doc) {
    this.show("Not saved", true);
    $("conflict-text").textContent = `${doc.id} was changed in another tab or by another program after this page had loaded it.`;
    this.conflicting = doc;
    if (!$("conflict").open) $("conflict").showModal();
  }

  answer(act) {
    $("conflict").close();
    act(this.conflicting);
    this.answered(this.conflicting);
  }
}
