// The list and the panel, which are sheets over the image where the screen is narrow.

import { $ } from "./elements.js";

export function openSheet(name, isOpen) {
  const opener = $(name === "rail" ? "open-list" : "open-panel");
  if ($(name).classList.contains("open") === isOpen) return;
  $(name).classList.toggle("open", isOpen);
  opener.setAttribute("aria-expanded", String(isOpen));
  if (opener.offsetParent !== null) (isOpen ? $(name).querySelector("button, select, input") : opener).focus();
}

export function focusIn(sheet, element) {
  openSheet(sheet, true);
  $(element).focus();
}

export function listenToSheets() {
  $("open-list").addEventListener("click", () => openSheet("rail", true));
  $("close-list").addEventListener("click", () => openSheet("rail", false));
  $("open-panel").addEventListener("click", () => openSheet("panel", !$("panel").classList.contains("open")));
  $("close-panel").addEventListener("click", () => openSheet("panel", false));
}
