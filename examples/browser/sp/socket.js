/**
 * Connections that are made again, and what all sockets have in common.
 *
 * @module
 */

import {
  AddressError,
  ClosedError,
  ConnectError,
  Inbox,
  ProtocolError,
  QueueFullError,
  toBytes,
  toMessage,
  waiter,
} from "./message.js";

/** @typedef {import("./message.js").Bytes} Bytes */
/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./message.js").SpError} SpError */
/** @typedef {import("./message.js").Wait} Wait */

/**
 * @typedef {object} Options
 * @property {number} [recvMessages] Messages that wait to be received, at most. Default 1024.
 * @property {number} [recvBytes] Their bytes, at most. Default 64 MiB.
 * @property {number} [sendMessages] Sends, requests or surveys under way, at most. More fail. Default 1024.
 * @property {number} [sendBytes] Bytes that a connection may hold unsent before it counts as full. Default 1 MiB.
 * @property {number} [reconnectMin] Milliseconds before a lost connection is made again. Default 100.
 * @property {number} [reconnectMax] To this it doubles while that fails. Default 5000.
 * @property {number} [connectTimeout] Milliseconds an attempt to connect may take. Default 10000.
 * @property {number} [linger] Milliseconds that `close` waits for the peers. Default 1000.
 */

/** @typedef {"idle" | "connecting" | "open" | "waiting" | "closed"} State `waiting` comes before the next attempt. */

/**
 * @typedef {object} Stats
 * @property {number} sent Messages handed to a connection.
 * @property {number} received Messages for the program.
 * @property {number} dropped Received messages that found the queue full.
 * @property {number} missed Messages that a peer missed because its connection was full.
 * @property {number} ignored Replies and answers that came too late, and messages that passed too many devices.
 */

const DEFAULTS = {
  recvMessages: 1024,
  recvBytes: 64 << 20,
  sendMessages: 1024,
  sendBytes: 1 << 20,
  reconnectMin: 100,
  reconnectMax: 5000,
  connectTimeout: 10_000,
  linger: 1000,
};

/** A connection that lasted so long, in milliseconds, ends the doubling of delays. */
const STEADY = 1000;

/** A browser does not say when a connection has room again. In milliseconds. */
const LOOK_AGAIN = 10;

/** Said by a socket each time one of its connections changes. Its type is `state`. */
export class StateEvent extends Event {
  /** @param {Dialer} dialer */
  constructor(dialer) {
    super("state");
    /** Whose state it is. */
    this.dialer = dialer;
    /** @type {State} */
    this.state = dialer.state;
    /** What ended the last attempt or connection, until the next is open. */
    this.error = dialer.error;
  }
}

/** Keeps one connection of a socket to an address. {@link Socket.dial} makes it. */
export class Dialer {
  /** @type {WebSocket | undefined} */ #ws;
  /** @type {Set<import("./message.js").Waiter<void>>} */ #waiting = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #socket;
  #delay;
  #since = 0;

  /** @param {Socket} socket @param {string} url @ignore */
  constructor(socket, url) {
    this.#socket = socket;
    this.#delay = socket.options.reconnectMin;
    /** The address. */
    this.url = url;
    /** @type {State} */
    this.state = "idle";
    /** @type {SpError | undefined} What ended the last attempt or connection, until the next is open. */
    this.error = undefined;
  }

  /**
   * Waits until it is connected.
   *
   * @param {Wait} [wait]
   * @returns {Promise<void>}
   * @throws {ConnectError} when the attempt under way, or the next, fails. It goes on trying all the same.
   */
  async connected(wait) {
    if (this.state === "open") return;
    if (this.state === "closed") throw new ClosedError(`the dialer to ${this.url} is closed`);
    return waiter(wait, `connecting to ${this.url}`, this.#waiting).promise;
  }

  /**
   * Ends the connection, once what was handed to it is sent, and makes no other.
   *
   * @returns {Promise<void>} Settled when the peer has said good-bye, or after the linger time.
   */
  close() {
    clearTimeout(this.#timer);
    const ws = this.#release();
    const open = this.state === "open";
    this.#change("closed");
    if (!ws || ws.readyState === WebSocket.CLOSED) return Promise.resolve();
    ws.close();
    if (!open) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#socket.options.linger);
      ws.onclose = () => (clearTimeout(timer), resolve());
    });
  }

  /** What stands for the present connection. @ignore */
  get _connection() {
    return this.#ws;
  }

  /** Whether it is open and not full. @ignore */
  get _free() {
    return this.state === "open" && /** @type {WebSocket} */ (this.#ws).bufferedAmount < this.#socket.options.sendBytes;
  }

  /** @param {Bytes} bytes @ignore */
  _send(bytes) {
    this.#ws?.send(bytes);
  }

  /** @ignore */
  _connect() {
    this.#change("connecting");
    const name = `${this.#socket.peer}.sp.nanomsg.org`;
    let ws;
    try {
      ws = new WebSocket(this.url, name);
    } catch (cause) {
      return this.#lost(`the address ${this.url} is not allowed here`, cause);
    }
    this.#ws = ws;
    ws.binaryType = "arraybuffer";
    // A browser does not say whether the address, the path or the protocol is wrong.
    const refused = `cannot connect to ${this.url}: no ${this.#socket.peer} listens there`;
    const { connectTimeout } = this.#socket.options;
    this.#timer = setTimeout(
      () => this.#lost(`no answer from ${this.url} within ${connectTimeout} ms`),
      connectTimeout,
    );
    ws.onopen = () => {
      clearTimeout(this.#timer);
      if (ws.protocol !== name) return this.#lost(refused);
      this.#since = Date.now();
      ws.onclose = ({ code, reason }) => this.#lost(`lost the connection to ${this.url} (${reason || `code ${code}`})`);
      this.error = undefined;
      this.#change("open");
    };
    // Not every Node sends `close` after `error`.
    ws.onerror = () => ws.readyState !== WebSocket.OPEN && this.#lost(refused);
    ws.onclose = () => this.#lost(refused);
    ws.onmessage = ({ data }) => {
      try {
        this.#socket._received(toBytes(data), this);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.#lost(`closed the connection to ${this.url}: ${error.message}`, error);
      }
    };
  }

  #release() {
    const ws = this.#ws;
    if (ws) ws.onopen = ws.onerror = ws.onclose = ws.onmessage = null;
    this.#ws = undefined;
    return ws;
  }

  /** @param {string} why @param {unknown} [cause] */
  #lost(why, cause) {
    clearTimeout(this.#timer);
    this.#release()?.close();
    const { reconnectMin, reconnectMax } = this.#socket.options;
    if (this.state === "open" && Date.now() - this.#since >= STEADY) this.#delay = reconnectMin;
    // Clients that lost the same server do not come back all at once.
    this.#timer = setTimeout(() => this._connect(), this.#delay * (0.5 + Math.random() / 2));
    this.#delay = Math.min(this.#delay * 2, Math.max(reconnectMin, reconnectMax));
    this.error = new ConnectError(why, { cause });
    this.#change("waiting");
  }

  /** @param {State} state */
  #change(state) {
    const was = this.state;
    if (was === state) return;
    this.state = state;
    if (state !== "connecting") {
      for (const waiting of this.#waiting) {
        if (state === "open") waiting.resolve();
        else waiting.reject(this.error ?? new ClosedError(`the dialer to ${this.url} is closed`));
      }
    }
    this.#socket._changed(this, was);
  }
}

/** What all sockets are: connections to peers, and a queue of what waits for one. */
export class Socket extends EventTarget {
  /** @type {Set<Dialer>} */ #dialers = new Set();
  /** @type {Set<{bytes: Bytes, sent: (dialer: Dialer) => void, failed: (reason: unknown) => void}>} */
  #outbox = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #again;

  /** @param {string} peer @param {Options} [options] @ignore */
  constructor(peer, options) {
    super();
    /** The name of the peer's side of the protocol. */
    this.peer = peer;
    /** The options in force. @type {Required<Options>} */
    this.options = { ...DEFAULTS, ...options };
    for (const [name, value] of Object.entries(this.options)) {
      if (!(name in DEFAULTS)) throw new RangeError(`there is no option ${name}`);
      if (!(value >= 0)) throw new RangeError(`${name} is ${value}, but has to be a number from 0`);
    }
    /** @type {Stats} */
    this.stats = { sent: 0, received: 0, dropped: 0, missed: 0, ignored: 0 };
    /** Whether `close` was called. */
    this.closed = false;
  }

  /** The best state of its connections. @returns {State} */
  get state() {
    if (this.closed) return "closed";
    const states = this.dialers.map(({ state }) => state);
    return /** @type {const} */ (["open", "connecting", "waiting"]).find((state) => states.includes(state)) ?? "idle";
  }

  /** Its dialers that are not closed. @returns {Dialer[]} */
  get dialers() {
    return [...this.#dialers];
  }

  /**
   * Connects to an address, and again whenever that fails or the connection is lost. It does not wait for it:
   * `await socket.dial(url).connected()` does. A socket may dial several addresses.
   *
   * @param {string | URL} url `ws://host:port/path` or `wss://…`.
   * @returns {Dialer}
   * @throws {AddressError} when the address is no such URL.
   */
  dial(url) {
    this._check();
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    if (!parsed || !["ws:", "wss:"].includes(parsed.protocol) || parsed.hash) {
      throw new AddressError(`the address ${url} is not of the form ws://host:port/path or wss://host:port/path`);
    }
    const dialer = new Dialer(this, parsed.href);
    this.#dialers.add(dialer);
    dialer._connect();
    return dialer;
  }

  /**
   * Closes the socket. Whatever waits fails with a {@link ClosedError}; what was handed to a connection is still sent.
   *
   * @returns {Promise<void>} Settled when the peers have said good-bye, or after the linger time.
   */
  async close() {
    this.closed = true;
    clearTimeout(this.#again);
    const error = new ClosedError("the socket is closed");
    for (const { failed } of this.#outbox) failed(error);
    this.#outbox.clear();
    this._end(error);
    await Promise.all(this.dialers.map((dialer) => dialer.close()));
  }

  /** @protected */
  _check() {
    if (this.closed) throw new ClosedError("the socket is closed");
  }

  /** A message came. @param {Bytes} bytes @param {Dialer} dialer @ignore */
  _received(bytes, dialer) {
    throw new ProtocolError(`${bytes.length} bytes came from ${dialer.url}, which only receives`);
  }

  /** A connection is gone. @param {Dialer} dialer @ignore */
  _lost(dialer) {}

  /** Ends what waits. @param {ClosedError} error @ignore */
  _end(error) {}

  /** @param {Dialer} dialer @param {State} was @ignore */
  _changed(dialer, was) {
    if (dialer.state === "closed") this.#dialers.delete(dialer);
    if (was === "open") this._lost(dialer);
    this.#flush();
    this.dispatchEvent(new StateEvent(dialer));
  }

  /**
   * Sends to one connection as soon as one has room.
   *
   * @param {Bytes} bytes
   * @param {(dialer: Dialer) => void} sent
   * @param {(reason: unknown) => void} [failed]
   * @returns {() => void} Takes it back.
   * @ignore
   */
  _queue(bytes, sent, failed = () => {}) {
    const entry = { bytes, sent, failed };
    this.#outbox.add(entry);
    this.#flush();
    return () => this.#outbox.delete(entry);
  }

  /** @param {Bytes} bytes @param {Wait} [wait] @returns {Promise<void>} @ignore */
  async _sendOne(bytes, wait) {
    this._check();
    if (this.#outbox.size >= this.options.sendMessages) {
      throw new QueueFullError(`${this.#outbox.size} messages wait already to be sent`);
    }
    const { promise, resolve, reject } = /** @type {import("./message.js").Waiter<void>} */ (waiter(wait, "sending"));
    const takeBack = this._queue(bytes, () => resolve(), reject);
    try {
      await promise;
    } finally {
      takeBack();
    }
  }

  /** Sends to each connection that has room. @param {Bytes} bytes @ignore */
  _sendAll(bytes) {
    this._check();
    for (const dialer of this.#dialers) {
      if (dialer.state !== "open") continue;
      if (!this._sendTo(dialer, bytes)) this.stats.missed++;
    }
  }

  /** @param {Dialer} dialer @param {Bytes} bytes @returns {boolean} Whether it had room. @ignore */
  _sendTo(dialer, bytes) {
    if (!dialer._free) return false;
    dialer._send(bytes);
    this.stats.sent++;
    return true;
  }

  #flush() {
    clearTimeout(this.#again);
    for (const entry of this.#outbox) {
      const dialer = this.dialers.find(({ _free }) => _free);
      if (!dialer) break;
      // The next message is another's turn.
      this.#dialers.delete(dialer);
      this.#dialers.add(dialer);
      this.#outbox.delete(entry);
      this._sendTo(dialer, entry.bytes);
      entry.sent(dialer);
    }
    if (this.#outbox.size && this.state === "open") this.#again = setTimeout(() => this.#flush(), LOOK_AGAIN);
  }
}

/** A socket that receives. It is also an async iterable of its messages, which ends when the socket is closed. */
export class Receiver extends Socket {
  /** @ignore */ _inbox;

  /** @param {string} peer @param {Options} [options] @param {boolean} [newest] @ignore */
  constructor(peer, options, newest = false) {
    super(peer, options);
    this._inbox = new Inbox(this.options, newest);
  }

  /**
   * The next message. A browser reads without being asked, so a program that receives too slowly loses messages; see
   * `recvMessages` and `stats.dropped`.
   *
   * @param {Wait} [wait]
   * @returns {Promise<Message>}
   * @throws {TimeoutError | ClosedError}
   */
  async recv(wait) {
    const { done, value } = await this._inbox.next(wait);
    if (done) throw new ClosedError("the socket is closed");
    return value;
  }

  /** @returns {AsyncGenerator<Message, void, void>} */
  async *[Symbol.asyncIterator]() {
    for (let next; !(next = await this._inbox.next()).done;) yield next.value;
  }

  /** @param {Bytes} bytes @param {Dialer} dialer @ignore */
  _received(bytes, dialer) {
    this._deliver(toMessage(bytes));
  }

  /** @param {Message} message @ignore */
  _deliver(message) {
    this.stats.received++;
    this.stats.dropped += this._inbox.put(message);
  }

  /** @param {ClosedError} error @ignore */
  _end(error) {
    this._inbox.keep(() => false);
    this._inbox.end();
  }
}
