/**
 * Scalability-protocol sockets for browsers, and for Node from version 22, over WebSocket.
 *
 * A browser cannot listen, so every socket here dials; the peer may be any of nng, wirebird, mangos and nanomsg that
 * listens at a `ws://` or `wss://` address. One WebSocket message is one message of the protocol, and the subprotocol
 * of the WebSocket names the peer's side of it.
 *
 * What always holds: every queue has a bound, what meets it is counted in `stats`, and a connection that is lost is
 * made again until its dialer or socket is closed.
 *
 * @module
 */

import {
  ClosedError,
  ConnectError,
  Inbox,
  Message,
  NO_HEADER,
  ProtocolError,
  QueueFullError,
  Request,
  frame,
  toBytes,
  toHeader,
  toMessage,
  waiter,
  word,
} from "./sp/message.js";
import { Dialer, Receiver, Socket } from "./sp/socket.js";

export {
  AddressError,
  ClosedError,
  ConnectError,
  Message,
  ProtocolError,
  QueueFullError,
  Request,
  SpError,
  TimeoutError,
} from "./sp/message.js";
export { Dialer, Receiver, Socket, StateEvent } from "./sp/socket.js";

/** @typedef {import("./sp/message.js").Bytes} Bytes */
/** @typedef {import("./sp/message.js").Data} Data */
/** @typedef {import("./sp/message.js").Wait} Wait */
/** @template T @typedef {import("./sp/message.js").Waiter<T>} Waiter */
/** @typedef {import("./sp/socket.js").Options} Options */
/** @typedef {import("./sp/socket.js").State} State */
/** @typedef {import("./sp/socket.js").Stats} Stats */

/** A request id and a survey id have this bit; what comes before it on the way back belongs to devices. */
const LAST = 0x8000_0000;

/** A message that has passed more devices than this goes round in circles. */
const MAX_HOPS = 8;

/** Pair, version 0: one peer, messages both ways. */
export class Pair0 extends Receiver {
  /** @param {Options} [options] */
  constructor(options) {
    super("pair", options);
  }

  /**
   * Sends a message. It waits for a connection with room.
   *
   * @param {Data} data
   * @param {Wait} [wait]
   * @returns {Promise<void>}
   * @throws {TimeoutError | QueueFullError | ClosedError}
   */
  async send(data, wait) {
    return this._sendOne(frame(NO_HEADER, data), wait);
  }
}

/** Pair, version 1: as {@link Pair0}, and messages count the devices they pass. */
export class Pair1 extends Receiver {
  /** @param {Options} [options] */
  constructor(options) {
    super("pair1", options);
  }

  /**
   * Sends a message. It waits for a connection with room.
   *
   * @param {Data} data
   * @param {Wait} [wait]
   * @returns {Promise<void>}
   * @throws {TimeoutError | QueueFullError | ClosedError}
   */
  async send(data, wait) {
    return this._sendOne(frame(toHeader(1), data), wait);
  }

  /** @param {Bytes} bytes @ignore */
  _received(bytes) {
    const hops = word(bytes);
    if (hops > 0xff) throw new ProtocolError(`a message came with the hop count ${hops}`);
    if (hops > MAX_HOPS) this.stats.ignored++;
    else this._deliver(toMessage(bytes, 4));
  }
}

/** Push: each message goes to one peer, in turn. */
export class Push extends Socket {
  /** @param {Options} [options] */
  constructor(options) {
    super("pull", options);
  }

  /**
   * Sends a message. It waits for a connection with room.
   *
   * @param {Data} data
   * @param {Wait} [wait]
   * @returns {Promise<void>}
   * @throws {TimeoutError | QueueFullError | ClosedError}
   */
  async send(data, wait) {
    return this._sendOne(frame(NO_HEADER, data), wait);
  }
}

/** Pull: receives what {@link Push} sends. */
export class Pull extends Receiver {
  /** @param {Options} [options] */
  constructor(options) {
    super("push", options);
  }
}

/** Publisher: each message goes to every peer. */
export class Pub extends Socket {
  /** @param {Options} [options] */
  constructor(options) {
    super("sub", options);
  }

  /**
   * Sends a message to every peer that is connected and has room; the others miss it. It never waits.
   *
   * @param {Data} data
   * @throws {ClosedError}
   */
  send(data) {
    this._sendAll(frame(NO_HEADER, data));
  }
}

/** Subscriber: receives messages that begin with one of its topics; at first none. A full queue loses its oldest. */
export class Sub extends Receiver {
  /** @type {Map<string, Bytes>} */ #topics = new Map();

  /** @param {Options} [options] */
  constructor(options) {
    super("pub", options, true);
  }

  /** Receives messages that begin with the topic from now on; an empty topic is all. @param {Data} [topic] */
  subscribe(topic = "") {
    const bytes = toBytes(topic).slice();
    this.#topics.set(bytes.join(), bytes);
  }

  /**
   * Ends a subscription, and drops what waits and no other subscription matches.
   *
   * @param {Data} [topic]
   * @returns {boolean} Whether there was one.
   */
  unsubscribe(topic = "") {
    const was = this.#topics.delete(toBytes(topic).join());
    this._inbox.keep((message) => this.#wants(message));
    return was;
  }

  /** @param {Bytes} bytes @ignore */
  _received(bytes) {
    if (this.#wants(bytes)) this._deliver(toMessage(bytes));
  }

  /** @param {Bytes} bytes */
  #wants(bytes) {
    for (const topic of this.#topics.values()) {
      if (topic.every((byte, at) => byte === bytes[at])) return true;
    }
    return false;
  }
}

/** Bus: each message goes to every peer, and theirs come here. */
export class Bus extends Receiver {
  /** @param {Options} [options] */
  constructor(options) {
    super("bus", options);
  }

  /**
   * Sends a message to every peer that is connected and has room; the others miss it. It never waits.
   *
   * @param {Data} data
   * @throws {ClosedError}
   */
  send(data) {
    this._sendAll(frame(NO_HEADER, data));
  }
}

/** The numbers of requests or surveys. */
class Ids {
  #last = Math.floor(Math.random() * LAST);

  /** One that is not in use. @param {Map<number, unknown>} used */
  next(used) {
    do this.#last = (this.#last + 1) % LAST;
    while (used.has(LAST + this.#last));
    return LAST + this.#last;
  }
}

/** Requester: each request gets the reply of one peer. Any number of requests may be under way. */
export class Req extends Socket {
  /** @type {Map<number, Pick<Waiter<Message>, "resolve" | "reject"> & {lost: (dialer: Dialer) => void}>} */
  #requests = new Map();
  #ids = new Ids();

  /** @param {Options} [options] */
  constructor(options) {
    super("rep", options);
  }

  /**
   * Sends a request, and gives the reply. The request is sent again when its connection is lost, and when there is no
   * reply after `retry` milliseconds, so that a peer may see it more than once.
   *
   * @param {Data} data
   * @param {Wait & {retry?: number}} [wait] `retry` is 60000 unless given. With 0 the request is sent once, and fails
   *   with a {@link ConnectError} when its connection is lost.
   * @returns {Promise<Message>}
   * @throws {TimeoutError | ConnectError | QueueFullError | ClosedError}
   */
  async request(data, { retry = 60_000, ...wait } = {}) {
    this._check();
    if (!(retry >= 0)) throw new RangeError(`retry is ${retry}, but has to be 0 or more milliseconds`);
    if (this.#requests.size >= this.options.sendMessages) {
      throw new QueueFullError(`${this.#requests.size} requests are under way already`);
    }
    const id = this.#ids.next(this.#requests);
    const bytes = frame(toHeader(id), data);
    const { promise, resolve, reject } = /** @type {import("./sp/message.js").Waiter<Message>} */ (
      waiter(wait, "the request")
    );
    /** @type {Dialer | undefined} */ let at;
    /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;
    let takeBack = () => {};
    const send = () => {
      at = undefined;
      takeBack = this._queue(bytes, (dialer) => {
        at = dialer;
        if (retry > 0 && retry < 2 ** 31) timer = setTimeout(send, retry);
      });
    };
    const lost = (/** @type {Dialer} */ dialer) => {
      if (at !== dialer) return;
      clearTimeout(timer);
      if (retry > 0) send();
      else reject(dialer.error ?? new ConnectError(`the connection to ${dialer.url} was closed`));
    };
    this.#requests.set(id, { lost, resolve, reject });
    send();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      takeBack();
      this.#requests.delete(id);
    }
  }

  /** @param {Bytes} bytes @ignore */
  _received(bytes) {
    const request = this.#requests.get(word(bytes));
    if (!request) return void this.stats.ignored++;
    this.stats.received++;
    request.resolve(toMessage(bytes, 4));
  }

  /** @param {Dialer} dialer @ignore */
  _lost(dialer) {
    for (const { lost } of this.#requests.values()) lost(dialer);
  }

  /** @param {ClosedError} error @ignore */
  _end(error) {
    for (const { reject } of this.#requests.values()) reject(error);
  }
}

/** The answers to one survey: an async iterable that ends with the time of the survey. */
export class Answers {
  #inbox;
  #end;

  /** @param {Inbox} inbox @param {() => void} end @ignore */
  constructor(inbox, end) {
    this.#inbox = inbox;
    this.#end = end;
  }

  /** Leaving the loop ends the survey. @returns {AsyncGenerator<Message, void, void>} */
  async *[Symbol.asyncIterator]() {
    try {
      for (let next; !(next = await this.#inbox.next()).done;) yield next.value;
    } finally {
      this.#end();
    }
  }

  /** All of them, when the time is over. @returns {Promise<Message[]>} */
  async all() {
    const answers = [];
    for await (const answer of this) answers.push(answer);
    return answers;
  }
}

/** Surveyor: asks every peer. Any number of surveys may be under way. */
export class Surveyor extends Socket {
  /** @type {Map<number, {inbox: Inbox, end: (error?: unknown) => void}>} */ #surveys = new Map();
  #ids = new Ids();

  /** @param {Options} [options] */
  constructor(options) {
    super("respondent", options);
  }

  /**
   * Asks every peer that is connected and has room.
   *
   * @param {Data} data
   * @param {Wait} [wait] `timeout` is the time of the survey, 1000 unless given. After it, answers are ignored.
   * @returns {Answers} Iterating it throws a {@link ClosedError} when the socket is closed meanwhile, and the reason
   *   of the signal.
   * @throws {QueueFullError | ClosedError}
   */
  survey(data, { timeout = 1000, signal } = {}) {
    this._check();
    signal?.throwIfAborted();
    if (!(timeout >= 0 && timeout < 2 ** 31))
      throw new RangeError(`the timeout is ${timeout}, but has to be 0 to 2147483647 ms`);
    if (this.#surveys.size >= this.options.sendMessages) {
      throw new QueueFullError(`${this.#surveys.size} surveys are under way already`);
    }
    const id = this.#ids.next(this.#surveys);
    const bytes = frame(toHeader(id), data);
    const inbox = new Inbox(this.options, false);
    const aborted = () => end(signal?.reason);
    const end = (/** @type {unknown} */ error = undefined) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", aborted);
      this.#surveys.delete(id);
      inbox.end(error);
    };
    const timer = setTimeout(() => end(), timeout);
    signal?.addEventListener("abort", aborted);
    this.#surveys.set(id, { inbox, end });
    this._sendAll(bytes);
    return new Answers(inbox, end);
  }

  /** @param {Bytes} bytes @ignore */
  _received(bytes) {
    const survey = this.#surveys.get(word(bytes));
    if (!survey) return void this.stats.ignored++;
    this.stats.received++;
    this.stats.dropped += survey.inbox.put(toMessage(bytes, 4));
  }

  /** @param {ClosedError} error @ignore */
  _end(error) {
    for (const { end } of this.#surveys.values()) end(error);
  }
}

/** A socket that answers. What it receives are {@link Request}s. */
class Answering extends Receiver {
  /** @param {Wait} [wait] @returns {Promise<Request>} @throws {TimeoutError | ClosedError} */
  async recv(wait) {
    return /** @type {Request} */ (await super.recv(wait));
  }

  /** @returns {AsyncGenerator<Request, void, void>} */
  [Symbol.asyncIterator]() {
    return /** @type {AsyncGenerator<Request, void, void>} */ (super[Symbol.asyncIterator]());
  }

  /** @param {Bytes} bytes @param {Dialer} dialer @ignore */
  _received(bytes, dialer) {
    let at = 0;
    while (word(bytes, at) < LAST) {
      at += 4;
      if (at >= 4 * MAX_HOPS) return void this.stats.ignored++;
    }
    const header = bytes.slice(0, at + 4);
    const connection = dialer._connection;
    const answer = (/** @type {Data} */ data) => {
      const reply = frame(header, data);
      if (dialer._connection !== connection) return false;
      const sent = this._sendTo(dialer, reply);
      if (!sent) this.stats.missed++;
      return sent;
    };
    this._deliver(Request._of(bytes.subarray(at + 4), answer));
  }
}

/** Replier: receives requests, and answers each with {@link Request.reply}. */
export class Rep extends Answering {
  /** @param {Options} [options] */
  constructor(options) {
    super("req", options);
  }
}

/** Respondent: receives surveys, and answers those it wants to with {@link Request.reply}. */
export class Respondent extends Answering {
  /** @param {Options} [options] */
  constructor(options) {
    super("surveyor", options);
  }
}
