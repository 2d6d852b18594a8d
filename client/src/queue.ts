import { StreamError } from "./errors.js";

/** An async iterator that is fed from outside. */
export interface Queue<T> extends AsyncIterator<T, undefined> {
  /** Adds an item, or an error to throw in its place; the iteration can go on after it. */
  push(item: T | StreamError): void;
  /** Ends it after the items it still holds, with an error where one is given. */
  end(error?: StreamError): void;
}

/** Events a loop may fall behind before it is ended; none is ever dropped silently. */
const CAPACITY = 1000;

/**
 * Creates a queue; `onReturn` is called when its reader leaves early. It is among the
 * `interrupted` from an error that it has thrown until it is read on.
 */
export function createQueue<T>(onReturn: () => void, interrupted: Set<Queue<T>>): Queue<T> {
  const items: (T | StreamError)[] = [];
  const readers: PromiseWithHandlers<T>[] = [];
  let ended = false;
  let failure: StreamError | undefined;

  const end = (error?: StreamError) => {
    if (ended) return;
    ended = true;
    failure = error;
    for (const reader of readers.splice(0)) finish(reader);
  };

  const finish = ({ resolve, reject }: PromiseWithHandlers<T>) => {
    if (failure) reject(failure);
    else resolve({ done: true, value: undefined });
    failure = undefined;
  };

  const hand = (value: T | StreamError, { resolve, reject }: PromiseWithHandlers<T>) => {
    if (value instanceof StreamError) {
      interrupted.add(queue);
      reject(value);
    } else resolve({ done: false, value });
  };

  const queue: Queue<T> = {
    push(item) {
      if (ended) return;
      const reader = readers.shift();
      if (reader) hand(item, reader);
      else if (items.push(item) > CAPACITY) {
        items.length = 0;
        end(new StreamError("overflow", `the loop fell ${CAPACITY} events behind; await less in it`));
      }
    },
    end,
    next: () =>
      new Promise((resolve, reject) => {
        const reader = { resolve, reject };
        interrupted.delete(queue);
        if (items.length) hand(items.shift()!, reader);
        else if (ended) finish(reader);
        else readers.push(reader);
      }),
    return() {
      interrupted.delete(queue);
      items.length = 0;
      end();
      onReturn();
      return Promise.resolve({ done: true, value: undefined });
    },
  };
  return queue;
}

interface PromiseWithHandlers<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: StreamError): void;
}
