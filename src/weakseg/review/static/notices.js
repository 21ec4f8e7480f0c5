// What the page tells in one line: what went wrong, what is under way, and what only readers of the screen need.

import { $ } from "./elements.js";

export function complain(message) {
  $("notice").textContent = message;
  $("notice").hidden = !message;
}

export function say(message) {
  $("say").textContent = message;
}

export function busy(message) {
  $("busy").textContent = message;
  $("busy").hidden = !message;
}
