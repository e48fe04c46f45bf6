/** The page: one set of sockets for the address in its query, `?ws=ws://host:port`. */

import { Bus, Pair1, Pull, Push, Req, Sub, Surveyor } from "./sp.js";

const ENTRIES = 100;
const LONGEST = 500;
const STATES = {
  open: "connected",
  connecting: "connecting",
  waiting: "not connected",
  closed: "stopped",
  idle: "stopped",
};

const $ = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));

/** Adds a line to a log. What peers send is text, and never markup. @param {string} id @param {string} line */
function log(id, line) {
  const entry = document.createElement("div");
  entry.textContent = line.length > LONGEST ? `${line.slice(0, LONGEST)}… (${line.length} characters)` : line;
  const list = $(id);
  list.append(entry);
  while (list.childElementCount > ENTRIES) list.firstElementChild.remove();
  list.scrollTop = list.scrollHeight;
}

/**
 * Calls back with what a form's field holds, and empties it.
 *
 * @param {string} name
 * @param {(text: string) => unknown} use
 */
function onSubmit(name, use) {
  $(`${name}-form`).onsubmit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const field = $(`${name}-text`);
    const text = field.value;
    field.value = "";
    try {
      await use(text);
    } catch (error) {
      log(`${name}-log`, `✗ ${/** @type {Error} */ (error).message}`);
    }
  };
}

const parameters = new URLSearchParams(location.search);
const base = (parameters.get("ws") ?? `ws://${location.hostname}:8081`).replace(/\/+$/, "");
$("server").value = base;
$("server-form").onsubmit = (/** @type {Event} */ event) => {
  event.preventDefault();
  location.search = new URLSearchParams({ ws: $("server").value }).toString();
};

/** @type {Map<string, import("./sp.js").Socket[]>} The sockets of each box. */
const boxes = new Map();

/** @param {string} name */
function show(name) {
  const dialers = (boxes.get(name) ?? []).flatMap((socket) => socket.dialers);
  const state =
    /** @type {const} */ (["waiting", "connecting", "open"]).find((one) =>
      dialers.some(({ state }) => state === one),
    ) ?? "idle";
  // Each attempt takes a moment, in which what went wrong before is still of interest.
  const error = dialers.find(({ error }) => error)?.error;
  const shown = $(`${name}-state`);
  shown.dataset.state = error ? "waiting" : state;
  shown.textContent = error ? STATES.waiting : STATES[state];
  $(`${name}-error`).textContent = error ? `${error.message}. Trying again.` : "";
  const connected = [...boxes.keys()].filter((box) => $(`${box}-state`).dataset.state === "open").length;
  $("summary").textContent = `${connected} of ${boxes.size} connected to ${base}`;
}

/**
 * Connects a socket, and shows its state in a box.
 *
 * @param {string} name
 * @param {import("./sp.js").Socket} socket
 * @param {string} path
 */
function connect(name, socket, path) {
  const sockets = boxes.get(name) ?? [];
  if (!sockets.includes(socket)) {
    boxes.set(name, [...sockets, socket]);
    socket.addEventListener("state", () => show(name));
  }
  try {
    return socket.dial(`${base}/${path}`);
  } catch (error) {
    $(`${name}-error`).textContent = /** @type {Error} */ (error).message;
  }
}

// ---- chat ----

const pair = new Pair1();
connect("pair", pair, "pair");
onSubmit("pair", (text) => pair.send(text));

async function chat() {
  for await (const message of pair) log("pair-log", message.text());
}

// ---- requests ----

const req = new Req();
connect("req", req, "rep");
onSubmit("req", async (text) => {
  const start = performance.now();
  const reply = await req.request(text, { retry: 5000 });
  log("req-log", `${reply.text()}  (${(performance.now() - start).toFixed(1)} ms)`);
});

// ---- survey ----

const surveyor = new Surveyor();
for (const name of ["ann", "ben", "eve"]) connect("survey", surveyor, `respondent/${name}`);
onSubmit("survey", async (text) => {
  let count = 0;
  for await (const answer of surveyor.survey(text, { timeout: 500 })) {
    log("survey-log", answer.text());
    count++;
  }
  log("survey-log", `${count} answered`);
});

// ---- ticker and jobs ----

const sub = new Sub();
connect("sub", sub, "pub");
sub.subscribe("done.");
for (const name of ["clock", "dice"]) {
  const box = $(`sub-${name}-on`);
  box.onchange = () => {
    if (box.checked) return sub.subscribe(`${name}.`);
    sub.unsubscribe(`${name}.`);
    $(`sub-${name}`).textContent = "–";
  };
  box.onchange();
}

async function news() {
  for await (const message of sub) {
    const [topic, ...rest] = message.text().split(".");
    const text = rest.join(".");
    if (topic === "done") log("push-log", `done: ${text}`);
    else $(`sub-${topic}`).textContent = text;
  }
}

const push = new Push();
connect("push", push, "pull");
onSubmit("push", (text) => push.send(text));

// ---- work ----

const pull = new Pull();
let taking = connect("pull", pull, "push");
$("pull-toggle").onclick = () => {
  if (taking) {
    taking.close();
    taking = undefined;
  } else {
    taking = connect("pull", pull, "push");
  }
  $("pull-toggle").textContent = taking ? "Stop taking work" : "Take work";
};

async function work() {
  for await (const task of pull) log("pull-log", task.text());
}

// ---- bus ----

for (const side of ["left", "right"]) {
  const bus = new Bus();
  connect("bus", bus, "bus");
  onSubmit(`bus-${side}`, (text) => bus.send(text));
  (async () => {
    for await (const message of bus) log(`bus-${side}-log`, message.text());
  })();
}

chat();
news();
work();
