// Requests to the interface that this page comes from.

// Refused is an answer other than the one that was wanted. Its message is what the interface said.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const patience = 20000; // milliseconds for an answer

// ask sends a request and returns what the answer has. Parameters that are empty are left out.
export async function ask(method, path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== '' && value !== null && value !== undefined) query.set(name, value);
  }
  const text = query.toString();
  let answer;
  try {
    answer = await fetch(text ? `${path}?${text}` : path, {
      method, cache: 'no-store', headers: { Accept: 'application/json' }, signal: AbortSignal.timeout(patience),
    });
  } catch (error) {
    throw new Refused(0, error.name === 'TimeoutError'
      ? 'The gateway did not answer in 20 seconds.'
      : 'Nothing answers: the gateway has stopped, or "sluice dashboard" has ended. Start it again and reload this page.');
  }
  let body = null;
  try {
    body = await answer.json();
  } catch {
    throw new Refused(answer.status, `The answer (${answer.status}) is not understood.`);
  }
  if (!answer.ok) throw new Refused(answer.status, body?.error ?? `The answer was ${answer.status}.`);
  return body;
}

// path returns a path whose parts may have any characters.
export const path = (...parts) => parts.map(encodeURIComponent).join('/');
