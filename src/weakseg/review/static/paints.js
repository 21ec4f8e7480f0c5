// What is painted with: a class, background, or "not looked at".

export const UNSEEN = 255;
const ALL_CLASSES = 9; // as many have a key of their own
const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };

// The colours of all labels.
export function paletteOf(classes) {
  const palette = [[0, 0, 0], ...classes.map((one) => one.colour)];
  palette[UNSEEN] = [235, 235, 235];
  return palette;
}

export class Paints {
  // chosen(label) is called when a person has chosen another.
  constructor(group, classes, palette, chosen) {
    Object.assign(this, { group, classes, palette, chosen, doc: null, label: 1 });
    group.addEventListener("click", (event) => {
      const button = event.target.closest("[data-label]");
      if (button) this.choose(Number(button.dataset.label));
    });
    group.addEventListener("keydown", (event) => this.step(event));
  }

  get isClass() {
    return this.label > 0 && this.label !== UNSEEN;
  }

  // The labels of the classes that the image has tags of.
  get own() {
    return this.doc.tags.map((name) => this.classes.findIndex((one) => one.name === name) + 1);
  }

  // The labels of the classes that have a button.
  get offered() {
    const every = this.classes.map((_, key) => key + 1);
    if (every.length <= ALL_CLASSES) return every;
    return [...new Set([...this.own, ...(this.isClass ? [this.label] : [])])];
  }

  nameOf(label) {
    return label === 0 ? "background" : label === UNSEEN ? "not looked at" : this.classes[label - 1].name;
  }

  // Another image is on show: the class goes on if the image has a tag of it.
  open(doc) {
    this.doc = doc;
    const { own } = this;
    if (own.length && this.isClass && !own.includes(this.label)) this.label = own[0];
  }

  choose(label) {
    this.label = label;
    this.chosen(label);
    this.show();
  }

  step(event) {
    const by = STEPS[event.key];
    const buttons = [...this.group.querySelectorAll("[data-label]")];
    const at = buttons.indexOf(event.target);
    if (!by || at < 0) return;
    event.preventDefault();
    event.stopPropagation();
    this.choose(Number(buttons[(at + by + buttons.length) % buttons.length].dataset.label));
    this.focus();
  }

  focus() {
    this.group.querySelector('[aria-checked="true"]').focus();
  }

  show() {
    const shown = this.offered;
    const { own } = this;
    if (this.isClass && !shown.includes(this.label)) this.label = own[0] || shown[0] || 0;
    this.group.replaceChildren(...[...shown, 0, UNSEEN].map((label) => this.makeButton(label, shown, own)));
    if (this.classes.length > ALL_CLASSES) this.group.append(this.makeSelect(shown));
  }

  makeButton(label, shown, own) {
    const button = document.createElement("button");
    button.className = "choice";
    button.dataset.label = label;
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(label === this.label));
    button.tabIndex = label === this.label ? 0 : -1;
    const swatch = document.createElement("span");
    swatch.className = label === 0 ? "swatch empty" : label === UNSEEN ? "swatch striped" : "swatch";
    if (label !== 0 && label !== UNSEEN) swatch.style.background = `rgb(${this.palette[label].join(" ")})`;
    const name = document.createElement("span");
    name.textContent = this.nameOf(label);
    const key = document.createElement("kbd");
    const place = shown.indexOf(label);
    key.textContent = label === 0 ? "0" : label === UNSEEN ? "X" : place < ALL_CLASSES ? String(place + 1) : "";
    button.append(swatch, name, key);
    button.classList.toggle("own", own.includes(label));
    return button;
  }

  makeSelect(shown) {
    const select = document.createElement("select");
    select.className = "choice";
    select.id = "other-class";
    select.setAttribute("aria-label", "Paint with another class");
    select.append(new Option("Another class…", ""));
    this.classes.forEach((one, key) => {
      if (!shown.includes(key + 1)) select.append(new Option(one.name, key + 1));
    });
    select.addEventListener("change", () => {
      this.choose(Number(select.value));
      this.focus(); // the list is made anew
    });
    return select;
  }
}
