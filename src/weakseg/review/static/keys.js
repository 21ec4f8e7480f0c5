// Which key does what. Keys go by the letter they write, wherever it lies on the keyboard.

const LETTERS = {
  n: "next", p: "previous", a: "accept", r: "reject", u: "undo", m: "hide", t: "threshold", y: "tags", l: "list",
  c: "classes", i: "image", x: "unseen", z: "fit", "?": "help", 0: "background", "[": "smaller", "]": "larger",
  ",": "less", ".": "more", "+": "zoomIn", "=": "zoomIn", "-": "zoomOut", ArrowRight: "next", ArrowLeft: "previous",
  Escape: "escape",
};
const TOOLS = { b: "brush", e: "eraser", s: "patch", f: "spread", g: "polygon", h: "hand" };

const HELP = [
  [["N", "→"], "next image"],
  [["P", "←"], "previous image"],
  [["A"], "the mask is right; on to the next"],
  [["R"], "the mask is wrong; on to the next"],
  [["1", "…", "9"], "paint with a class"],
  [["C"], "choose a class"],
  [["0"], "paint background"],
  [["X"], "paint “not looked at”"],
  [["B"], "brush"],
  [["E"], "eraser"],
  [["S"], "fill patches of like colour"],
  [["F"], "scribble; like colours nearby follow"],
  [["G"], "polygon; Enter twice, or a click on the first corner, closes it"],
  [["H"], "move the image"],
  [["[", "]"], "smaller, larger brush"],
  [[",", "."], "lower, higher opacity"],
  [["M"], "hide and show the mask"],
  [["T"], "threshold"],
  [["Y"], "tags"],
  [["L"], "list of images"],
  [["I"], "to the image, to paint by keys"],
  [["+", "-"], "zoom"],
  [["Z"], "show the whole image"],
  [["Ctrl+Z", "U"], "undo"],
  [["Ctrl+Shift+Z", "Ctrl+Y"], "redo"],
  [["Esc"], "leave a polygon, a scribble, a list"],
];

function findCommand(event) {
  const { key, target } = event;
  if (document.querySelector("dialog[open]")) return null;
  if (event.ctrlKey || event.metaKey) {
    const letter = key.toLowerCase();
    if (letter === "z") return { name: event.shiftKey ? "redo" : "undo" };
    if (letter === "y") return { name: "redo" };
    return null;
  }
  if (event.altKey) return null;
  if (key === "Escape") return { name: "escape" };
  if (target.matches('input:not([type="range"], [type="checkbox"]), textarea')) return null;
  if (target.matches("select") && key.length === 1) return null; // letters choose there
  if (target.matches('input[type="range"], select') && key.startsWith("Arrow")) return null;
  const letter = key.length === 1 ? key.toLowerCase() : key;
  if (/^[1-9]$/.test(letter)) return { name: "paint", value: Number(letter) };
  if (letter in TOOLS) return { name: "tool", value: TOOLS[letter] };
  return letter in LETTERS ? { name: LETTERS[letter] } : null;
}

// Lets keys do what the commands say, wherever the focus is.
export function listenToKeys(commands) {
  document.addEventListener("keydown", (event) => {
    const command = findCommand(event);
    if (!command) return;
    event.preventDefault();
    commands[command.name](command.value);
  });
}

export function listKeys(element) {
  const rows = HELP.map(([keys, what]) => `<dt>${keys.map((key) => `<kbd>${key}</kbd>`).join(" ")}</dt><dd>${what}</dd>`);
  element.innerHTML = rows.join("");
}
