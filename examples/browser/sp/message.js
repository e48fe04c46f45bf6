/**
 * Errors, messages, and the ways to wait for them.
 *
 * @module
 */

/** @typedef {string | ArrayBuffer | ArrayBufferView<ArrayBuffer>} Data What can be sent. A string is sent as UTF-8. */
/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

/**
 * @typedef {object} Wait How long an operation may take.
 * @property {number} [timeout] Milliseconds after which it fails with a {@link TimeoutError}. Default: never.
 * @property {AbortSignal} [signal] Gives it up; it then fails with the signal's reason.
 */

// ---- errors ----

/** What all errors of this module are. */
export class SpError extends Error {
  /**
   * @param {string} message
   * @param {ErrorOptions} [options]
   */
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}
/** The socket, or the dialer, is closed. */
export class ClosedError extends SpError {}
/** The operation took longer than its `timeout`. */
export class TimeoutError extends SpError {}
/** No connection came to be, or it was lost. */
export class ConnectError extends SpError {}
/** The address is none that can be dialed. */
export class AddressError extends SpError {}
/** Too many sends or requests wait already. */
export class QueueFullError extends SpError {}
/** A peer sent what its protocol does not allow. Its connection was closed. */
export class ProtocolError extends SpError {}

// ---- messages ----

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * A received message: its bytes.
 *
 * @extends {Uint8Array<ArrayBuffer>}
 */
export class Message extends Uint8Array {
  /** The message as text. @returns {string} */
  text() {
    return decoder.decode(this);
  }
}

/** A message that wants an answer. */
export class Request extends Message {
  /** @type {((answer: Data) => boolean) | undefined} */
  #answer;

  /**
   * @param {Bytes} bytes
   * @param {(answer: Data) => boolean} answer
   * @returns {Request}
   * @ignore
   */
  static _of(bytes, answer) {
    const request = new Request(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    request.#answer = answer;
    return request;
  }

  /**
   * Sends the answer to the peer that asked. It can be done once.
   *
   * @param {Data} data
   * @returns {boolean} Whether the peer was still there.
   * @throws {SpError} when it was answered before.
   */
  reply(data) {
    const answer = this.#answer;
    if (!answer) throw new SpError("this request was answered before");
    this.#answer = undefined;
    return answer(data);
  }
}

/** @param {Data} data @returns {Bytes} */
export function toBytes(data) {
  if (typeof data === "string") return encoder.encode(data);
  if (data instanceof Uint8Array) return /** @type {Bytes} */ (data);
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw new TypeError(`a message is a string or bytes, not ${data === null ? "null" : typeof data}`);
}

/** A copy of the data behind a header. @param {Bytes} header @param {Data} data @returns {Bytes} */
export function frame(header, data) {
  const body = toBytes(data);
  const whole = new Uint8Array(header.length + body.length);
  whole.set(header);
  whole.set(body, header.length);
  return whole;
}

export const NO_HEADER = new Uint8Array();

/** @param {number} word @returns {Bytes} */
export function toHeader(word) {
  const header = new Uint8Array(4);
  new DataView(header.buffer).setUint32(0, word);
  return header;
}

/** @param {Bytes} bytes @param {number} [at] @returns {number} */
export function word(bytes, at = 0) {
  if (bytes.length < at + 4) throw new ProtocolError(`a message of ${bytes.length} bytes has no whole header`);
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}

/** @param {Bytes} bytes @param {number} [from] @returns {Message} */
export function toMessage(bytes, from = 0) {
  return new Message(bytes.buffer, bytes.byteOffset + from, bytes.length - from);
}

// ---- waiting ----

/**
 * A promise that others settle, and that gives up by itself.
 *
 * @template T
 * @typedef {{promise: Promise<T>, resolve: (value: T) => void, reject: (reason: unknown) => void}} Waiter
 */

/**
 * @template T
 * @param {Wait} wait
 * @param {string} what
 * @param {Set<Waiter<T>>} [among] It is in this set until it is settled.
 * @returns {Waiter<T>}
 */
export function waiter({ timeout = Infinity, signal } = {}, what, among) {
  if (!(timeout >= 0)) throw new RangeError(`the timeout is ${timeout}, but has to be 0 or more milliseconds`);
  signal?.throwIfAborted();
  /** @type {(value: T) => void} */ let yes = () => {};
  /** @type {(reason: unknown) => void} */ let no = () => {};
  const promise = /** @type {Promise<T>} */ (new Promise((...settle) => ([yes, no] = settle)));
  const done = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", aborted);
    among?.delete(one);
  };
  const one = {
    promise,
    resolve: (/** @type {T} */ value) => (done(), yes(value)),
    reject: (/** @type {unknown} */ reason) => (done(), no(reason)),
  };
  const aborted = () => one.reject(signal?.reason);
  const late = () => one.reject(new TimeoutError(`${what} took longer than ${timeout} ms`));
  // Longer than 24 days is for ever: timers cannot count further.
  const timer = timeout < 2 ** 31 ? setTimeout(late, timeout) : undefined;
  signal?.addEventListener("abort", aborted);
  among?.add(one);
  return one;
}

/** Received messages on their way to the program. */
export class Inbox {
  /** @type {Message[]} */ #messages = [];
  /** @type {Set<Waiter<IteratorResult<any, undefined>>>} */
  #takers = new Set();
  #bytes = 0;
  #ended = false;
  /** @type {unknown} */ #error;

  /**
   * @param {{recvMessages: number, recvBytes: number}} options
   * @param {boolean} newest Whether the newest are kept when it is full.
   */
  constructor(options, newest) {
    this.options = options;
    this.newest = newest;
  }

  /** @param {Message} message @returns {number} How many messages were dropped. */
  put(message) {
    if (this.#ended) return 1;
    const [taker] = this.#takers;
    if (taker) {
      taker.resolve({ done: false, value: message });
      return 0;
    }
    let dropped = 0;
    const { recvMessages, recvBytes } = this.options;
    const full = () => this.#messages.length >= recvMessages || this.#bytes + message.length > recvBytes;
    while (this.newest && full() && this.#shift()) dropped++;
    if (full()) return dropped + 1;
    this.#messages.push(message);
    this.#bytes += message.length;
    return dropped;
  }

  /** @param {Wait} [wait] @returns {Promise<IteratorResult<any, undefined>>} */
  async next(wait) {
    const message = this.#shift();
    if (message) return { done: false, value: message };
    if (this.#error) throw this.#error;
    if (this.#ended) return { done: true, value: undefined };
    return waiter(wait, "receiving", this.#takers).promise;
  }

  /** Nothing comes any more. @param {unknown} [error] */
  end(error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    for (const taker of this.#takers) error ? taker.reject(error) : taker.resolve({ done: true, value: undefined });
  }

  /** @param {(message: Message) => boolean} keep */
  keep(keep) {
    this.#messages = this.#messages.filter(keep);
    this.#bytes = this.#messages.reduce((sum, message) => sum + message.length, 0);
  }

  #shift() {
    const message = this.#messages.shift();
    this.#bytes -= message?.length ?? 0;
    return message;
  }
}
