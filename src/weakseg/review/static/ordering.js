// The list comes as the data set has it; once the server knows which masks are doubtful it is put in order.

import * as api from "./api.js";
import { $ } from "./elements.js";
import { complain } from "./notices.js";

const ASK_MS = 1500;

// Returns what is known of all images, in the order in which the server has them now.
export async function takeOrder(store) {
  const now = await api.getSession();
  for (const image of now.images) Object.assign(store.summaries.get(image.id), image);
  return now.images.map((image) => store.summaries.get(image.id));
}

// Asks until the order is found, and calls `reorder` then.
export async function awaitOrder(reorder) {
  const line = $("ordering");
  let state = null;
  while (!state || !(state.isDone || state.problem)) {
    if (state) await new Promise((resolve) => setTimeout(resolve, ASK_MS));
    state = await api.getJson("/api/ordering").catch(() => state || {});
    line.hidden = false;
    line.textContent = state.total
      ? `Looking for doubtful masks: ${state.done} of ${state.total}. Then the list is put in order.`
      : "Looking for doubtful masks. Then the list is put in order.";
  }
  line.hidden = true;
  if (state.problem) return complain(state.problem);
  try {
    await reorder();
  } catch (error) {
    complain(error.message);
  }
}
