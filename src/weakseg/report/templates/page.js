// Pictures enlarge in a dialog, commands can be copied. Without this script the page has everything but that.
"use strict";
(() => {
  const viewer = document.getElementById("viewer");
  const big = viewer.querySelector("img");
  const caption = viewer.querySelector("#viewer-caption");
  const place = viewer.querySelector("#viewer-place");
  const rows = [];
  let row = 0;
  let column = 0;

  const show = (toRow, toColumn) => {
    row = (toRow + rows.length) % rows.length;
    const pictures = rows[row];
    column = (toColumn + pictures.length) % pictures.length;
    const picture = pictures[column];
    big.src = picture.src;
    big.alt = picture.alt;
    big.width = picture.width;
    big.height = picture.height;
    caption.textContent = picture.alt;
    place.textContent = `picture ${column + 1} of ${pictures.length}, image ${row + 1} of ${rows.length}`;
    if (!viewer.open) viewer.showModal();
  };
  const moves = {
    left: () => show(row, column - 1),
    right: () => show(row, column + 1),
    up: () => show(row - 1, column),
    down: () => show(row + 1, column),
  };

  for (const strip of document.querySelectorAll(".panels")) {
    const pictures = [...strip.querySelectorAll("img")];
    if (!pictures.length) continue;
    const own = rows.push(pictures) - 1;
    pictures.forEach((picture, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "enlarge";
      button.setAttribute("aria-haspopup", "dialog");
      picture.replaceWith(button);
      button.append(picture);
      button.addEventListener("click", () => show(own, at));
    });
    strip.removeAttribute("tabindex"); // its pictures can be reached themselves now
  }
  viewer.addEventListener("click", (event) => {
    const move = event.target.closest("[data-move]");
    if (move) moves[move.dataset.move]();
    else if (event.target === viewer || event.target.closest("[data-close]")) viewer.close();
  });
  viewer.addEventListener("keydown", (event) => {
    const move = moves[event.key.replace("Arrow", "").toLowerCase()];
    if (!move || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    move();
  });
  viewer.addEventListener("close", () => {
    const button = rows[row][column].closest("button"); // where the reader has got to
    button.focus();
    button.scrollIntoView({ block: "nearest", inline: "nearest" });
  });

  const told = document.getElementById("told");
  for (const line of document.querySelectorAll(".command")) {
    const code = line.querySelector("code");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy: ${code.textContent}`);
    button.addEventListener("click", async () => {
      getSelection().selectAllChildren(code);
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Selected"; // the browser allows no more
      }
      told.textContent = button.textContent;
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    line.append(button);
  }
})();
