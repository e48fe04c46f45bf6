/**
 * What the module does when peers and connections behave as real ones seldom do. The WebSockets here do what the test
 * says; each function fails if the module does not do what it should.
 */

import * as sp from "/sp.js";

/** @type {Fake[]} */
let fakes = [];

class Fake {
  static OPEN = 1;
  static CLOSED = 3;
  /** @type {any} */ onopen;
  /** @type {any} */ onclose;
  /** @type {any} */ onmessage;
  readyState = 0;
  bufferedAmount = 0;
  /** @type {Uint8Array[]} */ sent = [];

  constructor(url, protocol) {
    Object.assign(this, { url, protocol });
    fakes.push(this);
  }
  send(bytes) {
    this.sent.push(bytes);
    this.onsend?.();
  }
  close() {
    this.readyState = Fake.CLOSED;
    this.onclose?.({ code: 1000, reason: "" });
  }
  accept() {
    this.readyState = Fake.OPEN;
    this.onopen();
  }
  drop(code = 1006) {
    this.readyState = Fake.CLOSED;
    this.onclose({ code, reason: "" });
  }
  receive(...parts) {
    this.onmessage({ data: bytes(...parts).buffer });
  }
}

/** Words from numbers, and UTF-8 from strings. */
function bytes(...parts) {
  const encoded = parts.map((part) => {
    if (typeof part === "string") return [...new TextEncoder().encode(part)];
    return [24, 16, 8, 0].map((shift) => (part >>> shift) & 0xff);
  });
  return Uint8Array.from(encoded.flat());
}

function equal(found, expected, what = "") {
  const [one, other] = [found, expected].map((value) => JSON.stringify(value));
  if (one !== other) throw new Error(`${what} ${one} instead of ${other}`);
}

async function fails(promise, name) {
  const error = await promise.then(
    () => ({ name: "no error" }),
    (error) => error,
  );
  if (error.name !== name) throw new Error(`${error.name} ${error.message} instead of ${name}`);
  return error;
}

/** A socket and its open connection. */
function open(socket) {
  globalThis.WebSocket = /** @type {any} */ (Fake);
  socket.dial("ws://peer/");
  const fake = /** @type {Fake} */ (fakes.at(-1));
  fake.accept();
  return { socket, fake };
}

/** The next connection of the same dialer, once it is tried. */
async function next(known = fakes.length) {
  while (fakes.length === known) await new Promise((later) => setTimeout(later));
  return /** @type {Fake} */ (fakes.at(-1));
}

async function received(socket, count) {
  const texts = [];
  while (texts.length < count) texts.push((await socket.recv({ timeout: 1000 })).text());
  return texts;
}

export async function bounds() {
  const options = { recvMessages: 3 };
  const sub = open(new sp.Sub(options));
  sub.socket.subscribe();
  const pull = open(new sp.Pull(options));
  for (const { fake } of [sub, pull]) for (const text of ["1", "2", "3", "4", "5"]) fake.receive(text);
  equal(await received(sub.socket, 3), ["3", "4", "5"]);
  equal(await received(pull.socket, 3), ["1", "2", "3"]);
  for (const { socket } of [sub, pull]) equal([socket.stats.received, socket.stats.dropped], [5, 2]);

  const narrow = open(new sp.Pull({ recvBytes: 4 }));
  for (const text of ["12345", "12", "34", "5"]) narrow.fake.receive(text);
  equal(await received(narrow.socket, 2), ["12", "34"]);
  narrow.fake.receive("6789");
  equal(await received(narrow.socket, 1), ["6789"]);
  equal(narrow.socket.stats.dropped, 2);
}

export async function subscriptions() {
  const { socket, fake } = open(new sp.Sub());
  const say = (...texts) => texts.forEach((text) => fake.receive(text));
  say("a");
  socket.subscribe("ab");
  socket.subscribe(Uint8Array.of(0));
  say("a", "ab", "abc", "b", "\0x", "");
  equal(await received(socket, 3), ["ab", "abc", "\0x"]);
  say("abd", "\0y");
  socket.unsubscribe("ab");
  equal(await received(socket, 1), ["\0y"]);
  equal(socket.stats.received, 5);
}

export async function malformed() {
  const end = 0x8000_0001;
  const rows = [
    [new sp.Pair1(), ["abc"]],
    [new sp.Pair1(), [0x100, "too many hops to be true"]],
    [new sp.Req(), ["abc"]],
    [new sp.Surveyor(), [""]],
    [new sp.Rep(), [1, 2, "abc"]],
    [new sp.Push(), ["a pull does not send"]],
    [new sp.Pub(), [""]],
  ];
  for (const [socket, parts] of rows) {
    const { fake } = open(socket);
    fake.receive(...parts);
    const [dialer] = socket.dialers;
    equal([dialer.state, dialer.error?.name, dialer.error?.cause?.name], ["waiting", "ConnectError", "ProtocolError"]);
    equal([fake.readyState, socket.stats.received], [Fake.CLOSED, 0]);
    socket.close();
  }
  // What is only late, or has gone round in circles, does not cost the connection.
  const ignored = [
    [new sp.Pair1(), [9, "nine hops"]],
    [new sp.Req(), [end, "late"]],
    [new sp.Surveyor(), [end, "late"]],
    [new sp.Respondent(), [1, 2, 3, 4, 5, 6, 7, 8, end, "too many words"]],
  ];
  for (const [socket, parts] of ignored) {
    open(socket).fake.receive(...parts);
    equal([socket.state, socket.stats.ignored, socket.stats.received], ["open", 1, 0]);
  }
}

export async function backtraces() {
  const { socket, fake } = open(new sp.Rep({ reconnectMin: 0 }));
  const header = [1, 0x7fff_ffff, 3, 4, 5, 6, 7, 0x8000_002a];
  fake.receive(...header, "question");
  const request = await socket.recv();
  equal(request.text(), "question");
  equal(request.reply("answer"), true);
  equal([...fake.sent[0]], [...bytes(...header, "answer")]);
  // A reply to a connection that is gone goes nowhere, even if there is another.
  fake.receive(0x8000_0001, "");
  const late = await socket.recv();
  fake.drop();
  const other = await next();
  other.accept();
  equal([late.length, late.reply("x"), other.sent.length], [0, false, 0]);
}

export async function hops() {
  const { socket, fake } = open(new sp.Pair1());
  fake.receive(8, "far");
  equal(await received(socket, 1), ["far"]);
  await socket.send("out");
  equal([...fake.sent[0]], [...bytes(1, "out")]);
}

export async function requests() {
  const { socket, fake } = open(new sp.Req({ reconnectMin: 0, sendMessages: 2 }));
  const id = (sent) => new DataView(sent.buffer).getUint32(0);
  const one = socket.request("one");
  const two = socket.request("two", { retry: 0 });
  await fails(socket.request("three"), "QueueFullError");
  const [first, second] = fake.sent.map(id);
  equal([first >= 2 ** 31, second >= 2 ** 31, first === second], [true, true, false]);

  // The first is sent again, with its number; the second must not be.
  fake.drop();
  await fails(two, "ConnectError");
  const other = await next();
  other.accept();
  equal(
    other.sent.map((sent) => [...sent]),
    [[...bytes(first, "one")]],
  );
  other.receive(second, "nobody waits");
  other.receive(first, "reply");
  equal((await one).text(), "reply");
  other.receive(first, "again");
  equal(socket.stats.ignored, 2);

  // Without a reply it is sent again after a while, until it has one.
  const thrice = new Promise((resolve) => (other.onsend = () => other.sent.length === 4 && resolve(undefined)));
  const slow = socket.request("slow", { retry: 1 });
  await thrice;
  other.receive(id(other.sent[3]), "at last");
  equal((await slow).text(), "at last");

  await fails(socket.request("in vain", { timeout: 1 }), "TimeoutError");
  await fails(socket.request("given up", { signal: AbortSignal.abort() }), "AbortError");
  const waiting = socket.request("closed");
  socket.close();
  await fails(waiting, "ClosedError");
  await fails(socket.request("closed"), "ClosedError");
}

export async function surveys() {
  const { socket, fake } = open(new sp.Surveyor({ recvMessages: 1 }));
  const survey = socket.survey("who?", { timeout: 1 });
  const id = new DataView(fake.sent[0].buffer).getUint32(0);
  fake.receive(id, "me");
  fake.receive(id, "too many");
  equal(
    (await survey.all()).map((answer) => answer.text()),
    ["me"],
  );
  fake.receive(id, "late");
  equal([socket.stats.dropped, socket.stats.ignored], [1, 1]);
  const given = new AbortController();
  const aborted = socket.survey("", { timeout: 1000, signal: given.signal }).all();
  given.abort();
  await fails(aborted, "AbortError");
  const closed = socket.survey("", { timeout: 1000 }).all();
  socket.close();
  await fails(closed, "ClosedError");
}

export async function backPressure() {
  const { socket, fake } = open(new sp.Push({ sendBytes: 10, sendMessages: 1 }));
  fake.bufferedAmount = 10;
  await fails(socket.send("late", { timeout: 1 }), "TimeoutError");
  const waiting = socket.send("waits");
  await fails(socket.send("one too many"), "QueueFullError");
  equal(fake.sent.length, 0);
  fake.bufferedAmount = 9;
  await waiting;
  equal(
    fake.sent.map((sent) => new TextDecoder().decode(sent)),
    ["waits"],
  );

  const bus = open(new sp.Bus({ sendBytes: 10 }));
  bus.fake.bufferedAmount = 10;
  bus.socket.send("missed");
  bus.fake.bufferedAmount = 0;
  bus.socket.send("sent");
  equal([bus.fake.sent.length, bus.socket.stats.sent, bus.socket.stats.missed], [1, 1, 1]);
}

/** Two peers get a message each in turn, and a full one is passed over. */
export async function turns() {
  const { socket, fake: one } = open(new sp.Push({ sendBytes: 10 }));
  const { fake: other } = open(socket);
  for (const text of ["1", "2", "3", "4"]) await socket.send(text);
  equal([one.sent.length, other.sent.length], [2, 2]);
  one.bufferedAmount = 10;
  for (const text of ["5", "6"]) await socket.send(text);
  equal([one.sent.length, other.sent.length], [2, 4]);
}

export async function closing() {
  const { socket } = open(new sp.Pair1());
  const recv = fails(socket.recv(), "ClosedError");
  const loop = (async () => {
    for await (const _ of socket);
    return "ended";
  })();
  const away = new sp.Push();
  const send = fails(away.send("nobody is there"), "ClosedError");
  await Promise.all([socket.close(), away.close()]);
  await Promise.all([recv, send]);
  equal(await loop, "ended");
  await fails((async () => socket.dial("ws://peer/"))(), "ClosedError");
  equal([socket.state, socket.dialers.length], ["closed", 0]);
}

export async function delays() {
  const real = globalThis.setTimeout;
  const delays = [];
  globalThis.setTimeout = /** @type {any} */ (
    (then, delay, ...more) => {
      // The attempts' own limit is the longest of all.
      if (delay < 10_000 && delay > 0) delays.push(delay);
      return real(then, delay < 10_000 ? 0 : delay, ...more);
    }
  );
  const { socket, fake } = open(new sp.Pull({ reconnectMin: 100, reconnectMax: 400 }));
  fake.drop();
  for (let attempt = 0; attempt < 4; attempt++) (await next()).drop();
  globalThis.setTimeout = real;
  [100, 200, 400, 400, 400].forEach((most, at) =>
    equal([delays[at] >= most / 2, delays[at] <= most], [true, true], delays),
  );
  await socket.close();
}

export async function attempts() {
  globalThis.WebSocket = /** @type {any} */ (Fake);
  const socket = new sp.Pull({ connectTimeout: 1 });
  const slow = await fails(socket.dial("ws://peer/slow").connected(), "ConnectError");
  equal(slow.message, "no answer from ws://peer/slow within 1 ms");
  const connected = socket.dial("ws://peer/other").connected();
  const fake = /** @type {Fake} */ (fakes.at(-1));
  /** @type {any} */ (fake).protocol = "";
  fake.accept();
  const other = await fails(connected, "ConnectError");
  equal([other.message, fake.readyState], ["cannot connect to ws://peer/other: no push listens there", Fake.CLOSED]);
  const dialer = socket.dial("ws://peer/closed");
  const closed = dialer.connected();
  dialer.close();
  await fails(closed, "ClosedError");
  await socket.close();
}

export async function misuse() {
  const rows = [
    [() => new sp.Pull({ recvMessages: -1 }), "RangeError"],
    [() => new sp.Pull(/** @type {any} */ ({ recvMessage: 1 })), "RangeError"],
    [() => new sp.Pull().recv({ timeout: NaN }), "RangeError"],
    [() => new sp.Push().send(/** @type {any} */ (42)), "TypeError"],
    [() => new sp.Req().request("", { retry: -1 }), "RangeError"],
    [() => new sp.Pull().dial("nowhere"), "AddressError"],
    [() => new sp.Pull().dial("ws://peer/#part"), "AddressError"],
  ];
  for (const [misuse, name] of rows) await fails((async () => misuse())(), name);
}
