// Requests to the interface that this page comes from.

// Refused is an answer other than the one that was wanted. Its message is what the interface said.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const patience = 20000; // milliseconds for an answer
const late = 'The gateway did not answer in 20 seconds. A browser has six connections to it: if other tabs show frames, close some.';
const gone = 'Nothing answers: the gateway has stopped, or "sluice dashboard" has ended. Start it again and reload this page.';

// address returns a path with parameters. Those that are empty are left out.
function address(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== '' && value !== null && value !== undefined) query.set(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

// ask sends a request and returns what the answer has. Parameters that are empty are left out.
export async function ask(method, path, parameters = {}) {
  let answer;
  try {
    answer = await fetch(address(path, parameters), {
      method, cache: 'no-store', headers: { Accept: 'application/json' }, signal: AbortSignal.timeout(patience),
    });
  } catch (error) {
    throw new Refused(0, error.name === 'TimeoutError' ? late : gone);
  }
  return read(answer);
}

// read returns what an answer has.
async function read(answer) {
  let body = null;
  try {
    body = await answer.json();
  } catch {
    throw new Refused(answer.status, `The answer (${answer.status}) is not understood.`);
  }
  if (!answer.ok) throw new Refused(answer.status, body?.error ?? `The answer was ${answer.status}.`);
  return body;
}

// lines asks for an answer that goes on, and calls each with its lines until it ends. Where signal aborts
// it, that is an error too.
export async function lines(path, parameters, signal, each) {
  try {
    const answer = await fetch(address(path, parameters), { cache: 'no-store', signal });
    if (!answer.ok) await read(answer);
    const text = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ''; ;) {
      const { value, done } = await text.read();
      if (done) return;
      const parts = (rest + value).split('\n');
      rest = parts.pop();
      parts.forEach(each);
    }
  } catch (error) {
    throw error instanceof Refused || signal.aborted ? error : new Refused(0, gone);
  }
}

// path returns a path whose parts may have any characters.
export const path = (...parts) => parts.map(encodeURIComponent).join('/');
