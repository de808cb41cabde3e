// The start of the page: what is asked, how often, and who shows it.
import { ask } from './api.js';
import { byId, mark, put } from './dom.js';
import { setClock } from './format.js';
import { showHistory } from './charts.js';
import { showStatus } from './status.js';
import { showLimits } from './limits.js';
import { showMap } from './map.js';
import { showCertificates } from './certificates.js';
import { askSessions, onFilter, startSessions } from './sessions.js';
import { startEvents, redrawFeeds } from './events.js';

const problems = new Map(); // what does not work, by what was asked

function showProblems() {
  const [text] = problems.values();
  const node = byId('problem');
  put(node, text ?? '');
  node.hidden = !text;
  if (problems.has('status')) {
    put(byId('state'), 'not answering');
    mark(byId('state'), 'class', 'badge bad');
  }
  document.body.classList.toggle('stale', problems.size > 0);
}

// repeat calls job every so many milliseconds while the page is visible. A job that takes long is
// called less often. It returns what calls it at once.
function repeat(name, every, job) {
  let timer = 0;
  let running = false;
  let again = false;
  async function turn() {
    clearTimeout(timer);
    if (running) {
      again = true;
      return;
    }
    if (document.hidden) return;
    running = true;
    const began = performance.now();
    try {
      await job();
      problems.delete(name);
    } catch (error) {
      problems.set(name, error.message);
    }
    showProblems();
    running = false;
    timer = setTimeout(turn, again ? 0 : Math.max(every, 4 * (performance.now() - began)));
    again = false;
  }
  document.addEventListener('visibilitychange', turn);
  turn();
  return turn;
}

let routes = null; // as they were last
let status = null;

startSessions();
startEvents();

repeat('status', 2000, async () => {
  [status, routes] = await Promise.all([ask('GET', 'status'), ask('GET', 'routes')]);
  setClock(Date.parse(status.started) + status.uptime_seconds * 1000);
  showStatus(status);
  showLimits(status, routes);
  redrawFeeds();
});
const askBackends = repeat('backends', 2000, async () => {
  const backends = await ask('GET', 'backends');
  routes ??= await ask('GET', 'routes');
  showMap(routes, backends, askBackends);
});
repeat('certificates', 10000, async () => showCertificates(await ask('GET', 'certificates')));
repeat('history', 5000, async () => showHistory(await ask('GET', 'history')));
onFilter(repeat('sessions', 2000, () => askSessions(status)));
