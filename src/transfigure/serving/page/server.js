// The two requests of the page, with the token where the server wants one.

const STORED = "transfigure.token";

/** What went wrong, as a sentence to show; `status` 0 is no answer at all, `wait` are seconds to wait before it is tried again. */
export class Problem extends Error {
  constructor(status, detail, wait = null) {
    super(detail);
    this.status = status;
    this.wait = wait;
  }
}

/** Take a token out of the address (#token=...), so that it is neither seen there nor kept as a bookmark. */
export function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return;
  sessionStorage.setItem(STORED, token);
  history.replaceState(null, "", location.pathname + location.search);
}

let asking = null; // one question for all requests that wait for its answer
let declined = false; // it is not asked again at every stroke

function askForToken(words) {
  asking ??= new Promise(resolve => {
    const dialog = document.getElementById("token");
    const field = dialog.querySelector("input");
    dialog.querySelector("p").textContent = words;
    field.value = "";
    dialog.onclose = () => {
      asking = null;
      const token = dialog.returnValue === "ok" ? field.value.trim() : "";
      if (token) sessionStorage.setItem(STORED, token);
      declined = !token;
      resolve(Boolean(token));
    };
    dialog.returnValue = "";
    dialog.showModal();
  });
  return asking;
}

async function ask(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(STORED);
    const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch {
      throw new Problem(0, "The server does not answer. Is it still running?", 3);
    }
    if (answer.ok) return answer;
    if (answer.status === 401 && !declined) {
      const again = token === sessionStorage.getItem(STORED); // else another request has asked meanwhile
      if (!again || (await askForToken(token ? "This token was not accepted. Is it whole?" : "This server wants its token; whoever started it has seen it."))) continue;
    }
    throw new Problem(answer.status, await sentence(answer), answer.status === 429 ? Number(answer.headers.get("Retry-After")) || 1 : null);
  }
}

async function sentence(answer) {
  const problem = await answer.json().catch(() => null);
  return problem?.detail ?? `The server answered ${answer.status} ${answer.statusText}.`;
}

/** `{models, limits}` of the server. */
export async function overview() {
  return (await ask("v1/models")).json();
}

/** The picture that a model makes of an image file, as a Blob. */
export async function translate(model, image, { seed, noise }) {
  const query = new URLSearchParams({ model: model.name });
  if (image instanceof File) query.set("alpha", "white"); // transparent parts show the paper
  if (model.noise) {
    query.set("seed", seed);
    query.set("noise", noise ? "dropout" : "none");
  }
  const type = image.type || "application/octet-stream";
  return (await ask(`v1/translate?${query}`, { method: "POST", body: image, headers: { "Content-Type": type } })).blob();
}
