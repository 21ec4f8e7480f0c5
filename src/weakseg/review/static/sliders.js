// The sliders of brush and opacity. The browser keeps where they stand.

import { $ } from "./elements.js";

const setting = (name, fallback) => Number(localStorage.getItem(`weakseg-review-${name}`) ?? fallback);
const keepSetting = (name, value) => localStorage.setItem(`weakseg-review-${name}`, value);

export class Sliders {
  constructor(view) {
    this.view = view;
    $("size").value = setting("size", 16);
    this.setOpacity(setting("opacity", 50));
    $("size").addEventListener("input", () => this.setSize(this.size));
    $("opacity").addEventListener("input", () => this.setOpacity(this.opacity));
  }

  get size() {
    return Number($("size").value);
  }

  get opacity() {
    return Number($("opacity").value);
  }

  setOpacity(percent) {
    $("opacity").value = Math.min(100, Math.max(0, percent));
    this.view.opacity = this.opacity / 100;
    keepSetting("opacity", $("opacity").value);
    this.show();
    this.view.repaint();
  }

  setSize(px) {
    $("size").value = px;
    keepSetting("size", $("size").value);
    this.show();
    this.view.draw();
  }

  show() {
    $("size-value").textContent = `${$("size").value} px`;
    $("opacity-value").textContent = `${$("opacity").value} %`;
  }
}
