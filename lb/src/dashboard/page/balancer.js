// What is asked of the balancer. Errors carry what it said, in its own words.

const PATIENCE_MS = 8000;

/** Everything the page draws. `view`: what to show, as the balancer's query knows it. */
export async function ask(view, signal) {
  const query = new URLSearchParams(view);
  const limit = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
  return answer(await fetch(`/api/state?${query}`, { signal: limit, cache: "no-store" }));
}

export function setPolicy(pool, policy) {
  return change("/api/policy", { pool, policy });
}

export function setDrain(pool, address, drain, force) {
  return change("/api/drain", { pool, address, drain, force });
}

async function change(path, body) {
  return answer(await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-strife-dashboard": "1" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(PATIENCE_MS),
  }));
}

async function answer(response) {
  const said = await response.json();
  if (response.ok) return said;
  throw Object.assign(new Error(said.error), { status: response.status });
}
