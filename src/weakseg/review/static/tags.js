// The tags of the image on show: which it came with, which a person has added or taken away.

const ALL_CLASSES = 9; // up to so many, each has a button at once

export class Tags {
  constructor(group, hint, classes, change) {
    Object.assign(this, { group, hint, classes, change });
    group.addEventListener("click", (event) => {
      const button = event.target.closest("[data-name]");
      if (button) this.toggle(button.dataset.name);
    });
  }

  toggle(name) {
    const { tags } = this.doc;
    this.change(tags.includes(name) ? tags.filter((one) => one !== name) : [...tags, name]);
    this.group.querySelector(`[data-name="${CSS.escape(name)}"]`)?.focus();
  }

  show(doc, image) {
    this.doc = doc;
    const every = this.classes.map((one) => one.name);
    const few = every.length <= ALL_CLASSES;
    const told = [...doc.ownTags, ...doc.tags, ...image.missingTags];
    const shown = few ? every : every.filter((name) => told.includes(name));
    this.group.replaceChildren(...shown.map((name) => this.makeChip(name, doc, image)));
    if (!few) this.group.append(this.makeSelect(every.filter((name) => !shown.includes(name))));
    const doubts = [
      ...image.doubtfulTags.map((name) => `${name} may not be there`),
      ...image.missingTags.map((name) => `${name} may be missing`),
    ];
    this.hint.textContent = doubts.length ? `The run doubts: ${doubts.join(", ")}.` : "";
    this.hint.hidden = !doubts.length;
  }

  makeChip(name, doc, image) {
    const chip = document.createElement("button");
    const isOn = doc.tags.includes(name);
    chip.className = "chip";
    chip.dataset.name = name;
    chip.setAttribute("aria-pressed", String(isOn));
    const isDoubtful = isOn ? image.doubtfulTags.includes(name) : image.missingTags.includes(name);
    chip.classList.toggle("doubtful", isDoubtful);
    chip.classList.toggle("removed", !isOn && doc.ownTags.includes(name));
    chip.classList.toggle("added", isOn && !doc.ownTags.includes(name));
    chip.textContent = isDoubtful ? `${name} ?` : name;
    if (isDoubtful) chip.setAttribute("aria-label", `${name}, doubtful`);
    return chip;
  }

  makeSelect(names) {
    const select = document.createElement("select");
    select.className = "chip";
    select.setAttribute("aria-label", "Add a tag");
    select.append(new Option("Add…", ""), ...names.map((name) => new Option(name, name)));
    select.addEventListener("change", () => this.toggle(select.value));
    return select;
  }
}
