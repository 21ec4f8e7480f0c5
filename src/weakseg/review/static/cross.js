// The cross that is moved by arrow keys while the image has the focus, and the tool that Enter puts down there.

import { say } from "./notices.js";

const KEY_STEP_PX = 8;
const FAR = 5;
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function steerByKeys(canvas, desk, tools) {
  canvas.addEventListener("keydown", (event) => {
    if (steer(event, desk, tools)) {
      event.preventDefault();
      event.stopPropagation();
    }
  });
}

// Does what a key means on the image; returns whether it means anything.
function steer(event, { doc, view }, tools) {
  if (!doc || event.ctrlKey || event.metaKey || event.altKey) return false;
  if (!tools.keyboard || !tools.cursor) {
    tools.cursor ||= { x: doc.width / 2, y: doc.height / 2 };
    tools.keyboard = true;
  }
  const direction = DIRECTIONS[event.key];
  if (direction) {
    const px = Math.max(1, KEY_STEP_PX / view.scale) * (event.shiftKey ? FAR : 1);
    const point = {
      x: Math.min(doc.width - 0.5, Math.max(0.5, tools.cursor.x + direction[0] * px)),
      y: Math.min(doc.height - 0.5, Math.max(0.5, tools.cursor.y + direction[1] * px)),
    };
    if (tools.name === "hand") view.pan(-direction[0] * px * view.scale, -direction[1] * px * view.scale);
    tools.move(point);
    view.reveal(point);
  } else if (event.key === "Enter") pressEnter(tools);
  else return false;
  view.draw();
  return true;
}

function pressEnter(tools) {
  const at = tools.points.at(-1);
  if (at && at.x === tools.cursor.x && at.y === tools.cursor.y) tools.closePolygon();
  else if (tools.active || tools.stroking) tools.end();
  else if (tools.paints) {
    tools.start(tools.cursor);
    if (tools.name === "patch") tools.end();
    say(tools.active || tools.stroking ? "Tool is down" : "");
  }
}
