// The list of images: only the rows on screen exist, and only they load their thumbnails.

import { getThumbnail } from "./api.js";

const ROW_PX = 76;
const SPARE_ROWS = 4;
const THUMBNAILS = 200;
const SETTLE_MS = 60; // rows that fly by load nothing

const isDone = (image) => image.verdict !== null || image.hasMask;
const FILTERS = {
  all: () => true,
  todo: (image) => !isDone(image),
  right: (image) => image.verdict === "right",
  wrong: (image) => image.verdict === "wrong",
  edited: (image) => image.hasMask,
  doubtful: (image) => image.doubtfulTags.length + image.missingTags.length > 0,
};
const STATES = {
  right: ["✓", "called right"],
  wrong: ["✗", "called wrong"],
  edited: ["✎", "mask corrected"],
  none: ["", "not looked at yet"],
};

export function stateOf(image) {
  return image.verdict || (image.hasMask ? "edited" : "none");
}

export class List {
  constructor({ list, rows, filter, search, progress, open }) {
    Object.assign(this, { list, rows, filter, search, progress, open });
    this.all = [];
    this.shown = [];
    this.elements = new Map();
    this.thumbnails = new Map();
    this.active = 0;
    list.addEventListener("scroll", () => this.render());
    list.addEventListener("keydown", (event) => this.key(event));
    list.addEventListener("click", (event) => {
      const row = event.target.closest("[data-id]");
      if (row) this.open(row.dataset.id);
    });
    filter.addEventListener("change", () => this.sift());
    search.addEventListener("input", () => this.sift());
    new ResizeObserver(() => this.render()).observe(list);
  }

  fill(images) {
    for (const row of this.elements.values()) row.remove(); // their names tell the place that they had
    this.elements.clear();
    this.all = images;
    this.sift();
  }

  sift() {
    const words = this.search.value.trim().toLowerCase();
    const fits = FILTERS[this.filter.value];
    this.shown = this.all.filter((image) => fits(image) && image.id.toLowerCase().includes(words));
    this.rows.style.height = `${this.shown.length * ROW_PX}px`;
    this.active = Math.max(0, this.shown.findIndex((image) => image.id === this.current));
    this.count();
    this.render();
  }

  count() {
    const done = this.all.filter(isDone).length;
    const found = this.shown.length === this.all.length ? "" : `${this.shown.length} shown · `;
    this.progress.textContent = `${found}${done} of ${this.all.length} looked at`;
  }

  choose(id) {
    this.current = id;
    const at = this.shown.findIndex((image) => image.id === id);
    if (at >= 0) this.active = at;
    this.scrollTo(this.active);
    this.render();
  }

  // The image so many steps from the current one, among those shown.
  step(by) {
    const at = this.shown.findIndex((image) => image.id === this.current);
    if (at >= 0) return this.shown[at + by];
    const place = this.all.findIndex((image) => image.id === this.current);
    const order = new Map(this.all.map((image, index) => [image.id, index]));
    return by > 0
      ? this.shown.find((image) => order.get(image.id) > place)
      : this.shown.findLast((image) => order.get(image.id) < place);
  }

  scrollTo(at) {
    const { scrollTop, clientHeight } = this.list;
    if (at * ROW_PX < scrollTop) this.list.scrollTop = at * ROW_PX;
    else if ((at + 1) * ROW_PX > scrollTop + clientHeight) this.list.scrollTop = (at + 1) * ROW_PX - clientHeight;
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.list.clientHeight / ROW_PX) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      this.active = Math.min(this.shown.length - 1, Math.max(0, this.active + steps[event.key]));
      this.scrollTo(this.active);
      this.render();
    } else if ((event.key === "Enter" || event.key === " ") && this.shown[this.active]) {
      this.open(this.shown[this.active].id);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  render() {
    const { scrollTop, clientHeight } = this.list;
    const first = Math.max(0, Math.floor(scrollTop / ROW_PX) - SPARE_ROWS);
    const last = Math.min(this.shown.length, Math.ceil((scrollTop + clientHeight) / ROW_PX) + SPARE_ROWS);
    const wanted = new Set();
    for (let at = first; at < last; at++) {
      const image = this.shown[at];
      wanted.add(image.id);
      if (!this.elements.has(image.id)) this.elements.set(image.id, this.makeRow(image));
      this.fillRow(this.elements.get(image.id), image, at);
    }
    for (const [id, row] of this.elements) {
      if (!wanted.has(id)) {
        row.remove();
        this.elements.delete(id);
      }
    }
    const active = this.shown[this.active];
    const row = active && this.elements.get(active.id);
    if (row) this.list.setAttribute("aria-activedescendant", row.id);
    else this.list.removeAttribute("aria-activedescendant");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.loadThumbnails(), SETTLE_MS);
  }

  update(id) {
    this.count();
    if (this.elements.has(id)) this.render();
  }

  makeRow(image) {
    const row = document.createElement("div");
    row.className = "row";
    row.id = `row-${this.all.indexOf(image)}`;
    row.dataset.id = image.id;
    row.setAttribute("role", "option");
    row.innerHTML =
      '<span class="thumb"><img alt="" decoding="async" draggable="false"></span>' +
      '<span class="about"><span class="id"></span><span class="small"></span></span>' +
      '<span class="mark" role="img"></span>';
    this.rows.append(row);
    return row;
  }

  fillRow(row, image, at) {
    const [mark, words] = STATES[stateOf(image)];
    row.style.transform = `translateY(${at * ROW_PX}px)`;
    row.setAttribute("aria-posinset", at + 1);
    row.setAttribute("aria-setsize", this.shown.length);
    row.setAttribute("aria-selected", String(image.id === this.current));
    row.classList.toggle("active", at === this.active);
    row.querySelector(".id").textContent = image.id.split("/").at(-1);
    row.querySelector(".small").textContent = image.problem || image.why || image.tags.join(", ") || "no tags";
    const sign = row.querySelector(".mark");
    sign.textContent = mark;
    sign.className = `mark ${stateOf(image)}`;
    sign.setAttribute("aria-label", words);
  }

  async loadThumbnails() {
    for (const [id, row] of [...this.elements]) {
      const image = this.all.find((one) => one.id === id);
      const picture = row.querySelector("img");
      const name = `${id} ${image.revision}`;
      if (picture.dataset.name === name || !row.isConnected) continue;
      try {
        if (!this.thumbnails.has(name)) this.thumbnails.set(name, await getThumbnail(id, image.revision));
      } catch {
        continue;
      }
      picture.src = this.thumbnails.get(name);
      picture.dataset.name = name;
      while (this.thumbnails.size > THUMBNAILS) {
        const [oldest, address] = this.thumbnails.entries().next().value;
        if (this.elements.has(oldest.slice(0, oldest.lastIndexOf(" ")))) break;
        URL.revokeObjectURL(address);
        this.thumbnails.delete(oldest);
      }
    }
  }
}
