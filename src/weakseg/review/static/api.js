// Talking to the server. The token stands behind the # of the address, which browsers send to nobody.

const [givenToken, givenId] = location.hash.slice(1).split("/", 2).map(decodeURIComponent);
const token = givenToken || "";

export const startId = givenId || "";

export function rememberImage(id) {
  history.replaceState(null, "", `#${encodeURIComponent(token)}/${encodeURIComponent(id)}`);
}

export class ServerError extends Error {
  constructor(message, status, answer) {
    super(message);
    this.status = status;
    this.answer = answer;
  }
}

async function request(path, options = {}) {
  const headers = { "X-Weakseg-Token": token, ...(options.headers || {}) };
  let response;
  try {
    response = await fetch(path, { ...options, headers, credentials: "omit" });
  } catch {
    throw new ServerError("The server does not answer. Is 'weakseg review' still running?", 0, null);
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new ServerError(answer.error || `The server answered ${response.status}.`, response.status, answer);
}

const about = (what, id) => `/api/${what}?id=${encodeURIComponent(id)}`;

export async function getJson(path) {
  return (await request(path)).json();
}

export const getSession = () => getJson("/api/session");
export const getAbout = (what, id) => getJson(about(what, id));
export const prepare = (id) => request(about("prepare", id));

export async function getPicture(id) {
  return createImageBitmap(await (await request(about("picture", id))).blob());
}

export async function getThumbnail(id, revision) {
  return URL.createObjectURL(await (await request(`${about("thumbnail", id)}&revision=${revision}`)).blob());
}

export async function send(what, id, message, method = "POST", { leaving = false } = {}) {
  const body = JSON.stringify(message);
  const headers = { "Content-Type": "application/json" };
  // Browsers carry on a small request after its tab has gone.
  const keepalive = leaving && body.length < 60000;
  return (await request(about(what, id), { method, body, headers, keepalive })).json();
}

export function fromBase64(text, Kind = Uint8Array) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let at = 0; at < characters.length; at++) bytes[at] = characters.charCodeAt(at);
  return Kind === Uint8Array ? bytes : new Kind(bytes.buffer);
}

export async function deflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  const packed = new Uint8Array(await new Response(stream).arrayBuffer());
  let characters = "";
  for (let at = 0; at < packed.length; at += 8192) {
    characters += String.fromCharCode(...packed.subarray(at, at + 8192));
  }
  return btoa(characters);
}
