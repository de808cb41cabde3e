// Runs in a sandboxed frame: tries the echo from an origin that is not the
// gateway's, and tells the page what came of it. A browser never shows a script
// the status of a refused handshake.
const scheme = location.protocol === "https:" ? "wss" : "ws";
const socket = new WebSocket(`${scheme}://${location.host}/ws/echo`);
let opened = false;
socket.onopen = () => {
  opened = true;
  socket.close(1000);
};
socket.onclose = (e) => parent.postMessage(opened ? "was let in" : `refused (403), browser says ${e.code}`, "*");
