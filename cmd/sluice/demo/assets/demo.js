// The page of "sluice demo". Text that came over the network is only ever set
// as text, never as HTML.

const $ = (id) => document.getElementById(id);
const socketURL = (path) => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
const milliseconds = (ms) => `${ms.toFixed(ms < 10 ? 2 : 1)} ms`;

const maxLines = 200;

function log(list, text, { kind = "", who = "", aside = "" } = {}) {
  const line = document.createElement("li");
  line.className = kind;
  if (aside) line.append(Object.assign(document.createElement("code"), { textContent: aside }));
  if (who) line.append(Object.assign(document.createElement("b"), { textContent: who }), " ");
  line.append(text);
  list.append(line);
  if (list.children.length > maxLines) list.firstChild.remove();
  list.scrollTop = list.scrollHeight;
}

// watch shows the life of a socket in a state badge and a line of detail.
function watch(socket, badge, detail, ended) {
  const show = (state, text) => {
    badge.dataset.state = state;
    badge.textContent = state;
    detail.textContent = text;
  };
  let opened = false;
  show("connecting", socket.url);
  socket.addEventListener("open", () => {
    opened = true;
    show("open", socket.url);
  });
  socket.addEventListener("close", (e) => {
    const how = e.wasClean ? "clean" : "not clean";
    show(opened ? "closed" : "failed", `code ${e.code}${e.reason && `, “${e.reason}”`}, ${how}`);
    ended();
  });
}

// Echo: what is typed, and a small probe each second for the round trip times.

const echo = { socket: null, sent: [], times: [], timer: 0 };

function openEcho() {
  const socket = new WebSocket(socketURL("/ws/echo"));
  socket.binaryType = "arraybuffer";
  Object.assign(echo, { socket, sent: [], times: [] });
  watch(socket, $("echo-state"), $("echo-detail"), () => {
    clearInterval(echo.timer);
    $("echo-open").disabled = false;
  });
  socket.addEventListener("open", () => {
    echo.timer = setInterval(() => sendEcho("probe", true), 1000);
    sendEcho("probe", true);
  });
  socket.addEventListener("message", (e) => {
    // An echo keeps the order, so the oldest message not answered is this one.
    const { at, quiet } = echo.sent.shift();
    const took = performance.now() - at;
    if (quiet) return showTime(took);
    const text = typeof e.data === "string" ? e.data : `${e.data.byteLength} bytes`;
    log($("echo-log"), text, { aside: milliseconds(took) });
  });
  $("echo-open").disabled = true;
}

function sendEcho(data, quiet = false) {
  if (echo.socket.readyState !== WebSocket.OPEN) return log($("echo-log"), "The socket is not open.", { kind: "bad" });
  echo.sent.push({ at: performance.now(), quiet });
  echo.socket.send(data);
}

function showTime(took) {
  echo.times = [...echo.times, took].slice(-60);
  const sorted = echo.times.toSorted((a, b) => a - b);
  $("rtt-last").textContent = milliseconds(took);
  $("rtt-median").textContent = milliseconds(sorted[sorted.length >> 1]);
  $("rtt-best").textContent = milliseconds(sorted[0]);
  const scale = 44 / sorted.at(-1);
  const points = echo.times.map((t, i) => `${(240 * (i + 60 - echo.times.length)) / 59},${46 - t * scale}`);
  $("rtt-chart").firstElementChild.setAttribute("points", points.join(" "));
}

$("echo-form").addEventListener("submit", (e) => {
  e.preventDefault();
  if (!$("echo-text").value) return;
  sendEcho($("echo-text").value);
  $("echo-text").value = "";
});
$("echo-binary").addEventListener("click", () => sendEcho(new Uint8Array(100 << 10)));
$("echo-open").addEventListener("click", openEcho);
$("close-form").addEventListener("submit", (e) => {
  e.preventDefault();
  try {
    echo.socket.close($("close-code").valueAsNumber, $("close-reason").value);
  } catch (err) {
    log($("echo-log"), `The browser allows 1000 and 3000 to 4999: ${err.message}`, { kind: "bad" });
  }
});

// Chat: one socket for each membership of a room.

let chat = null;

const tell = {
  welcome: (e) => `You are ${e.name} in ${e.room}.`,
  join: (e) => `${e.name} joined.`,
  leave: (e) => `${e.name} left.`,
};

function inChat(yes) {
  for (const id of ["chat-name", "chat-room"]) $(id).disabled = yes;
  for (const id of ["chat-text", "chat-say"]) $(id).disabled = !yes;
  $("chat-join").textContent = yes ? "Leave" : "Join";
  if (!yes) $("chat-members").textContent = "";
}

function joinChat() {
  const query = new URLSearchParams({ room: $("chat-room").value, name: $("chat-name").value });
  chat = new WebSocket(socketURL(`/ws/chat?${query}`));
  watch(chat, $("chat-state"), $("chat-detail"), () => {
    chat = null;
    inChat(false);
  });
  chat.addEventListener("open", () => inChat(true));
  chat.addEventListener("message", ({ data }) => {
    const event = JSON.parse(data);
    if (event.members) $("chat-members").textContent = `Here: ${event.members.join(", ")}`;
    if (event.kind === "say") log($("chat-log"), event.text, { who: event.name });
    else log($("chat-log"), tell[event.kind](event), { kind: "note" });
  });
}

$("join-form").addEventListener("submit", (e) => {
  e.preventDefault();
  if (chat) chat.close(1000, "left the room");
  else joinChat();
});
$("say-form").addEventListener("submit", (e) => {
  e.preventDefault();
  if (!$("chat-text").value) return;
  chat.send($("chat-text").value);
  $("chat-text").value = "";
});

// Refusals: what a page can do that the gateway does not let through.

async function answer(path) {
  const response = await fetch(path, { cache: "no-store" });
  return `${response.status} ${response.statusText}`;
}

// A sandboxed frame has the opaque origin "null", as a page from elsewhere has
// another origin; its socket is not same-origin.
function fromForeignOrigin() {
  return new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    frame.src = "/assets/foreign.html";
    const listen = (e) => {
      if (e.source !== frame.contentWindow) return;
      removeEventListener("message", listen);
      frame.remove();
      resolve(String(e.data));
    };
    addEventListener("message", listen);
    document.body.append(frame);
  });
}

const refusals = {
  plain: { request: "GET /ws/echo", run: () => answer("/ws/echo") },
  path: { request: "GET /%00", run: () => answer("/%00") },
  origin: { request: "WebSocket, Origin: null", run: fromForeignOrigin },
};

for (const button of document.querySelectorAll("[data-refuse]")) {
  const { request, run } = refusals[button.dataset.refuse];
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      log($("refuse-log"), request, { aside: await run() });
    } catch (err) {
      log($("refuse-log"), `${request}: ${err.message}`, { kind: "bad" });
    }
    button.disabled = false;
  });
}

const protocols = { h2: "HTTP/2", "http/1.1": "HTTP/1.1" };
const [navigation] = performance.getEntriesByType("navigation");
const over = protocols[navigation.nextHopProtocol] ?? navigation.nextHopProtocol;
$("facts").textContent = `page: ${location.protocol.slice(0, -1)} over ${over} · sockets: ${socketURL("")} over HTTP/1.1`;
$("chat-name").value = `guest ${Math.floor(Math.random() * 900) + 100}`;
openEcho();
$("config").textContent = await (await fetch("/assets/config.yaml")).text();
